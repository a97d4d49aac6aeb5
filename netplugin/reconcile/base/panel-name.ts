import type { Logger } from "pino";
import type { Panel } from "../../../drivers/ovs/pod-ports/panel.ts";
import { asNetError } from "../../../state/errors.ts";

export interface PanelNameOptions {
  readonly panel: Pick<Panel, "ensureName">;
  readonly name: string;
  readonly log: Logger;
}

/** Sees that the panel's namespace keeps its name: without one it ends with this process, and pods' interfaces with it. */
export class PanelName {
  readonly #options: PanelNameOptions;
  #fault: string | undefined;

  constructor(options: PanelNameOptions) {
    this.#options = options;
  }

  /** Gives the name back when it is lost. One line in the log when that fails, one when it is there again; never throws. */
  look(): void {
    const { panel, name, log } = this.#options;
    const fault = this.#faultOf(() => {
      if (panel.ensureName()) log.warn(`Network namespace "${name}" had lost its name; it has it again`);
      else if (this.#fault !== undefined) log.info(`Network namespace "${name}" has its name again`);
    });
    if (fault !== undefined && fault !== this.#fault)
      log.error({ error: fault }, `Network namespace "${name}" has lost its name; netplugin tries again`);
    this.#fault = fault;
  }

  #faultOf(work: () => void): string | undefined {
    try {
      work();
      return undefined;
    } catch (thrown) {
      return asNetError(thrown, `look at network namespace "${this.#options.name}"`).message;
    }
  }

  /** Why the namespace has no name, what that means and what to do; undefined when it has one. */
  fault(): string | undefined {
    if (this.#fault === undefined) return undefined;
    return `${this.#fault}; when netplugin ends now, all pods of this node lose their interfaces until it is back: remove what stands in the way before restarting it`;
  }
}
