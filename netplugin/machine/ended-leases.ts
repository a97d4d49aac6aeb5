import { dirname, join } from "node:path";
import type { Logger } from "pino";
import { z } from "zod";
import { asNetError } from "../../state/errors.ts";
import { NoteFiles } from "./note-files.ts";

const EndedLease = z.object({ key: z.string().min(1), epoch: z.string().min(1) });
/** The lease of one epoch of an endpoint. */
export type EndedLease = Readonly<z.infer<typeof EndedLease>>;

/** Beside the socket of the CNI plugin, in a directory that only root can change. */
export function endedDirectoryOf(cniSocketPath: string): string {
  return join(dirname(cniSocketPath), "ended-leases");
}

/**
 * Leases whose pods' DEL has been answered, until netmaster shows that they have ended. Switch, kernel and records may still show the
 * attachment when this process is killed in that time; the next run finds here that it is no living pod's.
 */
export class EndedLeases {
  readonly #notes: NoteFiles<EndedLease>;
  readonly #log: Logger;
  readonly #byName = new Map<string, EndedLease>();

  constructor(directory: string, log: Logger) {
    this.#log = log;
    this.#notes = new NoteFiles({
      ...{ directory, schema: EndedLease, noun: "an ended lease", nameOf },
      onUnreadable: (path, { message }) =>
        log.warn(
          { path, error: message },
          "A file beside the CNI socket does not describe an ended lease; it is removed",
        ),
    });
    try {
      for (const lease of this.#notes.all()) this.#byName.set(nameOf(lease), lease);
    } catch (error) {
      const { message } = asNetError(error, "read them");
      log.warn(
        { error: message },
        "Notes of ended leases cannot be read; ports of pods that were just deleted may come back",
      );
    }
  }

  has(lease: EndedLease): boolean {
    return this.#byName.has(nameOf(lease));
  }

  all(): readonly EndedLease[] {
    return [...this.#byName.values()];
  }

  /** False: it cannot be written down; it was told why not. */
  add({ key, epoch }: EndedLease): boolean {
    const lease = { key, epoch };
    try {
      this.#notes.write(lease);
    } catch (error) {
      const { message } = asNetError(error, "write it");
      this.#log.warn({ error: message }, "An ended lease cannot be noted down; DEL waits for netmaster instead");
      return false;
    }
    this.#byName.set(nameOf(lease), lease);
    return true;
  }

  /** Netmaster knows, or the pod has the lease again. */
  remove(lease: EndedLease): void {
    if (!this.#byName.delete(nameOf(lease))) return;
    try {
      this.#notes.remove(lease);
    } catch (error) {
      const { message } = asNetError(error, "remove it");
      const path = this.#notes.pathOf(lease);
      this.#log.error(
        { path, error: message },
        "The note of an ended lease cannot be removed; remove it before netplugin restarts",
      );
    }
  }
}

function nameOf({ key, epoch }: EndedLease): string {
  return `${epoch} ${key}`;
}
