import type { Logger } from "pino";
import { asNetError, type NetError, STORE_FULL } from "../../state/errors.ts";
import type { Store } from "../../state/store/store.ts";
import { pause } from "../../state/waiting/pause.ts";

export interface StoreSpaceOptions {
  readonly store: Pick<Store, "hasSpace">;
  readonly log: Logger;
  /** Default 5 s. */
  readonly intervalMs?: number;
}

const INTERVAL_MS = 5_000;

/** Whether the store has room for writes: asked regularly, so that replicas which write nothing know it too. */
export class StoreSpace {
  readonly #options: StoreSpaceOptions;
  #isFull = false;

  constructor(options: StoreSpaceOptions) {
    this.#options = options;
  }

  get isFull(): boolean {
    return this.#isFull;
  }

  /** A write failed, or was made. */
  noteWrite(error?: NetError): void {
    if (error === undefined) this.#set(false);
    else if (error.reason === STORE_FULL) this.#set(true);
  }

  /** Asks until the signal aborts; a store that does not answer tells nothing. */
  async watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        this.#set(!(await this.#options.store.hasSpace({ signal })));
      } catch (error) {
        this.noteWrite(asNetError(error, "ask the store for its alarms"));
      }
      await pause(this.#options.intervalMs ?? INTERVAL_MS, signal);
    }
  }

  #set(isFull: boolean): void {
    if (this.#isFull === isFull) return;
    this.#isFull = isFull;
    const { log } = this.#options;
    if (isFull)
      log.error(
        "etcd is full: every change is refused; compact and defragment etcd, then disarm its alarm (docs/operations.md)",
      );
    else log.info("etcd has room again: changes are accepted");
  }
}
