import type { StoredValue, WatchEvent } from "./store.ts";

/** What one consumer has been told: the keys it knows with their revisions, and the first revision it has not seen. */
export interface WatchProgress {
  /** First revision not yet delivered; undefined: a complete list is needed first. */
  next: bigint | undefined;
  /** Every key the consumer believes to exist, with its mod_revision. */
  readonly known: Map<string, bigint>;
  /** The last version of the anchor that was delivered. */
  anchor: StoredValue | undefined;
  /** What was complete last: the anchor with the first revision not seen. A store that continues must agree with it. */
  proven: { readonly anchor: StoredValue | undefined; readonly next: bigint } | undefined;
  /** While set, collects keys whose deletion was delivered; see verification. */
  deletedSince: Set<string> | undefined;
}

export function newProgress(): WatchProgress {
  return { next: undefined, known: new Map(), anchor: undefined, proven: undefined, deletedSince: undefined };
}

/** Puts for those of the listed values that are new to the consumer or changed. */
export function changedPuts(progress: WatchProgress, values: readonly StoredValue[]): WatchEvent[] {
  const events: WatchEvent[] = [];
  for (const value of values) {
    if (progress.known.get(value.key) !== value.modRevision) events.push({ kind: "put", value });
  }
  return events;
}

/** Deletes for keys which the consumer knows and a complete list at `revision` did not show. */
export function vanishedDeletes(
  progress: WatchProgress,
  listed: ReadonlySet<string>,
  revision: bigint,
): readonly WatchEvent[] {
  const events: WatchEvent[] = [];
  for (const key of progress.known.keys()) {
    if (!listed.has(key)) events.push({ kind: "delete", key, modRevision: revision });
  }
  return events;
}

/** The next list delivers every value, also those that have not changed. */
export function forgetVersions(progress: WatchProgress): void {
  progress.next = undefined;
  for (const key of progress.known.keys()) progress.known.set(key, 0n);
}

/** Everything up to the revision has been delivered. */
export function reachRevision(progress: WatchProgress, revision: bigint): void {
  progress.next = revision + 1n;
  progress.proven = { anchor: progress.anchor, next: progress.next };
}

/** Notes what the consumer has accepted. */
export function acceptEvents(progress: WatchProgress, events: readonly WatchEvent[], anchorKey?: string): void {
  for (const event of events) {
    switch (event.kind) {
      case "put":
        progress.known.set(event.value.key, event.value.modRevision);
        if (event.value.key === anchorKey) progress.anchor = event.value;
        break;
      case "delete":
        progress.known.delete(event.key);
        progress.deletedSince?.add(event.key);
        if (event.key === anchorKey) progress.anchor = undefined;
        break;
      case "reset":
        progress.known.clear();
        progress.next = undefined;
        progress.anchor = undefined;
        progress.proven = undefined;
        break;
      case "synced":
        reachRevision(progress, event.revision);
        break;
      default:
        event satisfies never;
    }
  }
}

export function revisionOf(event: WatchEvent): bigint {
  switch (event.kind) {
    case "put":
      return event.value.modRevision;
    case "delete":
      return event.modRevision;
    case "synced":
      return event.revision;
    case "reset":
      return 0n;
    default:
      return event satisfies never;
  }
}

/** Cuts events into batches of about `size` without parting those of one revision. */
export function* wholeRevisions<T>(
  events: readonly T[],
  size: number,
  revision: (event: T) => unknown,
): Generator<readonly T[]> {
  let start = 0;
  for (let index = 1; index <= events.length; index += 1) {
    const [before, here] = [events[index - 1], events[index]];
    const atEnd = here === undefined || before === undefined;
    if (!atEnd && (index - start < size || revision(before) === revision(here))) continue;
    yield events.slice(start, index);
    start = index;
  }
}
