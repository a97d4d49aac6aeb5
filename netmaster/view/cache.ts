import { asNetError, NetError } from "../../state/errors.ts";
import { MARK_KEY, OBJECTS } from "../../state/keys.ts";
import type { Store, StoreReport, Watch, WatchEvent } from "../../state/store/store.ts";
import { changeOf, type KeyEvent, readEvent } from "./changes.ts";
import { emptyView, type FrozenView, ViewDraft } from "./cluster-view.ts";
import { changesBetween } from "./diff.ts";
import { ChangeRing, type Journal } from "./journal.ts";
import { readMark, type SeenMark } from "./mark.ts";
import { Interner } from "./parse.ts";
import { RevisionWaits } from "./revision-waits.ts";
import type { ObjectChange, ViewChange } from "./types.ts";

type ObjectEvent = KeyEvent;

/** One value in the store that cannot be read; its object is treated as absent until somebody repairs it. */
export interface Quarantined {
  readonly storeKey: string;
  readonly reason: string;
}

export interface ViewCacheOptions {
  /** Told once for each value that cannot be read. */
  readonly onQuarantine?: (quarantined: Quarantined) => void;
  /** A listener threw; the others were still called. */
  readonly onListenerError?: (error: NetError) => void;
}

/** The cluster view of this process, kept equal to the store by one watch. */
export interface ViewCache extends AsyncDisposable {
  view(): FrozenView;
  /** Settles when the view is complete for the first time. */
  readonly synced: Promise<void>;
  isSynced(): boolean;
  /** Calls after every step that follows the first complete view, in order. Returns how to end it. */
  onChange(listener: (change: ViewChange) => void): () => void;
  /**
   * Resolves with the first view that shows `revision`. Rejects with TIMEOUT when it does not come in time, CLOSED on abort.
   * Only revisions at which an object was written come for sure. A view of another epoch than the given one does not show it.
   */
  waitForRevision(revision: bigint, options: RevisionWait): Promise<FrozenView>;
  /** Resolves with the first view that shows the mark with this value; rejects as `waitForRevision`. */
  waitForMark(value: string, options: RevisionWait): Promise<FrozenView>;
  /** The mark that the view shows. */
  mark(): SeenMark | undefined;
  /** Whether a leader has written since this process reads this store: then it is known to be the one that the leader knew. */
  hasWitnessedLeader(): boolean;
  /** The store is not the one that this view shows: forgets all of it and reads the store anew. */
  distrust(cause: string): void;
  /** Calls when the view was forgotten because the store was restored or replaced. Returns how to end it. */
  onReset(listener: (cause: string) => void): () => void;
  readonly journal: Journal;
  quarantined(): readonly Quarantined[];
  /** To be told what the store reports: after a break its next list may come in parts, which are kept back until complete. */
  noteReport(report: StoreReport): void;
}

export interface RevisionWait {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  readonly epoch?: string | undefined;
}

const MAX_QUARANTINED = 1_000;

/** Starts to follow the objects of the store. */
export function startViewCache(store: Store, options: ViewCacheOptions = {}): ViewCache {
  return new WatchedView(store, options);
}

class WatchedView implements ViewCache {
  readonly #store: Store;
  readonly #options: ViewCacheOptions;
  readonly #interner = new Interner();
  #watch: Watch;
  #watchCount = 0;
  #isClosed = false;
  readonly #resetListeners = new Set<(cause: string) => void>();
  readonly #listeners = new Set<(change: ViewChange) => void>();
  readonly #waits = new RevisionWaits();
  readonly #quarantined = new Map<string, Quarantined>();
  readonly #journal = new ChangeRing(0n);
  #view: FrozenView = emptyView();
  /** The last complete view of a store that was replaced: the difference to it is told once the new one has been read. */
  #replaced: FrozenView | undefined;
  #mark: SeenMark | undefined;
  #hasWitnessedLeader = false;
  #isSynced = false;
  /** The view in the making until the first list is complete. */
  #firstDraft: ViewDraft | undefined = new ViewDraft(this.#view);
  /** Changes of a list that is not complete yet, in order; undefined while the watch is live. */
  #pending: ObjectEvent[] | undefined;

  constructor(store: Store, options: ViewCacheOptions) {
    this.#store = store;
    this.#options = options;
    this.#watch = this.#openWatch();
  }

  /** A watch that was replaced may be in the middle of a call: what it still says is not heard. */
  #openWatch(): Watch {
    this.#watchCount += 1;
    const number = this.#watchCount;
    const consume = (events: readonly WatchEvent[]) => {
      if (number === this.#watchCount) this.#consume(events);
    };
    return this.#store.watch(OBJECTS, consume, { anchor: MARK_KEY });
  }

  view(): FrozenView {
    return this.#view;
  }

  get synced(): Promise<void> {
    return this.#watch.synced;
  }

  isSynced(): boolean {
    return this.#isSynced;
  }

  get journal(): Journal {
    return this.#journal;
  }

  quarantined(): readonly Quarantined[] {
    return [...this.#quarantined.values()];
  }

  onChange(listener: (change: ViewChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  waitForRevision(revision: bigint, { timeoutMs, signal, epoch }: RevisionWait): Promise<FrozenView> {
    const isShown = () =>
      this.#isSynced && this.#view.revision >= revision && (epoch ?? this.#view.epoch) === this.#view.epoch;
    if (isShown()) return Promise.resolve(this.#view);
    return this.#waits.add({ doing: `see revision ${revision}`, isShown }, timeoutMs, signal);
  }

  waitForMark(value: string, { timeoutMs, signal }: RevisionWait): Promise<FrozenView> {
    const isShown = () => this.#isSynced && this.#mark?.value === value;
    if (isShown()) return Promise.resolve(this.#view);
    return this.#waits.add({ doing: "see the leader's mark", isShown }, timeoutMs, signal);
  }

  mark(): SeenMark | undefined {
    return this.#isSynced ? this.#mark : undefined;
  }

  hasWitnessedLeader(): boolean {
    return this.#isSynced && this.#hasWitnessedLeader;
  }

  distrust(cause: string): void {
    if (this.#isClosed || !this.#isSynced) return;
    const doubted = this.#watch;
    this.#forget(cause);
    this.#watch = this.#openWatch();
    void doubted.close();
  }

  onReset(listener: (cause: string) => void): () => void {
    this.#resetListeners.add(listener);
    return () => this.#resetListeners.delete(listener);
  }

  noteReport(report: StoreReport): void {
    if (!("prefix" in report) || report.prefix !== OBJECTS || !this.#isSynced) return;
    if (report.kind === "watch-down") this.#pending ??= [];
    if (report.kind === "watch-live") this.#pending = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await this.#watch.close();
    this.#waits.rejectAll(new NetError("CLOSED", "The cluster view was closed"));
  }

  #consume(events: readonly WatchEvent[]): void {
    const last = events.at(-1);
    const objectEvents = events.filter((event) => event.kind === "put" || event.kind === "delete");
    if (last?.kind === "reset") this.#forget(last.cause);
    else if (last?.kind === "synced") this.#finishList(objectEvents, last.revision);
    else if (this.#firstDraft !== undefined) this.#addTo(this.#firstDraft, objectEvents);
    else if (this.#pending !== undefined) this.#pending.push(...objectEvents);
    else this.#follow(objectEvents);
  }

  /** Nothing is known any more, as at the start; whoever waits for something learns that it may not come. */
  #forget(cause: string): void {
    if (this.#isSynced) this.#replaced = this.#view;
    this.#view = emptyView();
    this.#isSynced = false;
    this.#mark = undefined;
    this.#hasWitnessedLeader = false;
    this.#firstDraft = new ViewDraft(this.#view);
    this.#pending = undefined;
    this.#quarantined.clear();
    const message = `The store was restored or replaced (${cause}); a change that was under way may have been lost`;
    this.#waits.rejectAll(new NetError("TIMEOUT", message, { reason: "store-replaced" }));
    for (const listener of [...this.#resetListeners]) this.#tell(listener, cause);
  }

  /** A complete list: at first, or after a gap of which only the difference is known, not the order. */
  #finishList(events: readonly ObjectEvent[], revision: bigint): void {
    const draft = this.#firstDraft ?? new ViewDraft(this.#view);
    const changes = this.#addTo(draft, latestPerKey([...(this.#pending ?? []), ...events]));
    const isFirst = !this.#isSynced;
    const replaced = this.#replaced;
    this.#replaced = undefined;
    this.#firstDraft = undefined;
    this.#pending = undefined;
    this.#isSynced = true;
    this.#journal.restart(revision);
    const view = draft.freeze(revision);
    if (replaced !== undefined) this.#publish(view, changesBetween(replaced, view));
    else this.#publish(view, isFirst ? [] : changes);
  }

  /** Live events, ordered by revision; each revision is one step of the view's books. */
  #follow(events: readonly ObjectEvent[]): void {
    const draft = new ViewDraft(this.#view);
    const changes: ObjectChange[] = [];
    let revision = this.#view.revision;
    this.#hasWitnessedLeader ||= events.some((event) => event.kind === "put" && event.value.key === MARK_KEY);
    for (const group of byRevision(events)) {
      changes.push(...this.#addTo(draft, group));
      revision = maxOf(revision, revisionOf(group[0]));
    }
    this.#journal.push(changes);
    this.#publish(draft.freeze(revision), changes);
  }

  #addTo(draft: ViewDraft, events: readonly ObjectEvent[]): readonly ObjectChange[] {
    const changes: ObjectChange[] = [];
    for (const event of events) {
      const change = this.#read(draft, event);
      if (change !== undefined) changes.push(change);
    }
    draft.apply(changes);
    return changes;
  }

  #read(draft: ViewDraft, event: ObjectEvent): ObjectChange | undefined {
    if (event.kind === "put" && event.value.key === MARK_KEY) {
      this.#mark = readMark(event.value);
      draft.epoch = this.#mark.epoch;
      return undefined;
    }
    const read = readEvent(event, this.#interner);
    if (read.is === "foreign") return undefined;
    const storeKey = event.kind === "put" ? event.value.key : event.key;
    if (read.is === "unreadable") this.#quarantine(storeKey, read.error);
    else this.#quarantined.delete(storeKey);
    const record = read.is === "object" ? read.record : undefined;
    return changeOf(read.kind, read.key, { record, previous: draft.record(read.kind, read.key) }, revisionOf(event));
  }

  #quarantine(storeKey: string, error: NetError): void {
    const quarantined = { storeKey, reason: error.message };
    if (this.#quarantined.size < MAX_QUARANTINED) this.#quarantined.set(storeKey, quarantined);
    this.#options.onQuarantine?.(quarantined);
  }

  #publish(view: FrozenView, changes: readonly ObjectChange[]): void {
    this.#view = view;
    this.#waits.reached(view);
    if (changes.length === 0) return;
    for (const listener of [...this.#listeners]) this.#tell(listener, { view, changes });
  }

  #tell<News>(listener: (news: News) => void, news: News): void {
    try {
      listener(news);
    } catch (error) {
      this.#options.onListenerError?.(asNetError(error, "tell a listener of the cluster view"));
    }
  }
}

/** A list that had to begin again may tell of one key twice. */
function latestPerKey(events: readonly ObjectEvent[]): readonly ObjectEvent[] {
  const latest = new Map<string, ObjectEvent>();
  for (const event of events) latest.set(event.kind === "put" ? event.value.key : event.key, event);
  return [...latest.values()];
}

function* byRevision(events: readonly ObjectEvent[]): Generator<readonly ObjectEvent[]> {
  let start = 0;
  for (let index = 1; index <= events.length; index += 1) {
    if (index < events.length && revisionOf(events[index]) === revisionOf(events[start])) continue;
    yield events.slice(start, index);
    start = index;
  }
}

function revisionOf(event: ObjectEvent | undefined): bigint {
  if (event === undefined) return 0n;
  return event.kind === "put" ? event.value.modRevision : event.modRevision;
}

function maxOf(left: bigint, right: bigint): bigint {
  return left > right ? left : right;
}
