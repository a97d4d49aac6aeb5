import type { ObjectChange } from "./types.ts";

/** The last changes, bounded; for watches that begin at a revision of the past. */
export interface Journal {
  /** The changes after `revision`, oldest first; undefined when they are not all remembered any more. */
  since(revision: bigint): readonly ObjectChange[] | undefined;
}

/** Most changes that are remembered, in normal times; up to a tenth more are kept before the oldest are dropped. */
const JOURNAL_CHANGES = 10_000;

/** A journal that forgets its oldest changes. */
export class ChangeRing implements Journal {
  readonly #limit: number;
  #changes: ObjectChange[] = [];
  /** Everything after this revision is remembered. */
  #complete: bigint;

  constructor(complete: bigint, limit: number = JOURNAL_CHANGES) {
    this.#complete = complete;
    this.#limit = limit;
  }

  /** Adds changes in the order of their revisions. */
  push(changes: readonly ObjectChange[]): void {
    for (const change of changes) this.#changes.push(change);
    if (this.#changes.length <= this.#limit * 1.1) return;
    const dropped = this.#changes.length - this.#limit;
    this.#complete = this.#changes[dropped - 1]?.modRevision ?? this.#complete;
    this.#changes = this.#changes.slice(dropped);
  }

  /** Forgets everything up to a revision: what happened before is not known in order. */
  restart(complete: bigint): void {
    this.#changes = [];
    this.#complete = complete;
  }

  since(revision: bigint): readonly ObjectChange[] | undefined {
    if (revision < this.#complete) return undefined;
    return this.#changes.filter((change) => change.modRevision > revision);
  }
}
