import { dirname, join } from "node:path";
import type { Logger } from "pino";
import { z } from "zod";
import { endpointKeyOf } from "../../state/endpoint-key.ts";
import { asNetError } from "../../state/errors.ts";
import { NoteFiles } from "../machine/note-files.ts";

const Call = z.object({ containerId: z.string().min(1), ifName: z.string().min(1) });
/** A CNI call, by the container's interface that it names. */
export type Call = Readonly<z.infer<typeof Call>>;

/** Beside the socket of the CNI plugin, in a directory that only root can change. */
export function unfinishedDirectoryOf(cniSocketPath: string): string {
  return join(dirname(cniSocketPath), "unfinished-calls");
}

/**
 * CNI calls that want several attachments, from the first one on until all are there or none is: what a call has left half done when this
 * process is killed is found here by the next one. A reboot ends all calls.
 */
export class UnfinishedCalls {
  readonly #notes: NoteFiles<Call>;
  readonly #log: Logger;
  /** Calls that are noted: most calls are not, and end without a look. */
  readonly #noted = new Set<string>();

  constructor(directory: string, log: Logger) {
    this.#log = log;
    this.#notes = new NoteFiles({
      ...{ directory, schema: Call, noun: "a call that is under way", nameOf: endpointKeyOf },
      onUnreadable: (path, { message }) =>
        log.warn(
          { path, error: message },
          "A file beside the CNI socket does not describe an unfinished call; it is removed",
        ),
    });
  }

  /** Before the call's first attachment begins. @throws NetError when it cannot be noted */
  begin({ containerId, ifName }: Call): void {
    const call = { containerId, ifName };
    this.#noted.add(endpointKeyOf(call));
    this.#notes.write(call);
  }

  /** All of the call's attachments are there, or none. A note that cannot be removed is told: the next start would take the pod for half done. */
  end(call: Call): void {
    if (!this.#noted.has(endpointKeyOf(call))) return;
    try {
      this.#notes.remove(call);
      this.#noted.delete(endpointKeyOf(call));
    } catch (error) {
      const { message } = asNetError(error, "remove it");
      this.#log.error(
        { path: this.#notes.pathOf(call), error: message },
        "The file that marks a CNI call as unfinished cannot be removed; remove it before netplugin restarts",
      );
    }
  }

  /** What earlier runs of this process have left. What cannot be read is told and taken away. */
  all(): readonly Call[] {
    const calls = this.#notes.all();
    for (const call of calls) this.#noted.add(endpointKeyOf(call));
    return calls;
  }
}
