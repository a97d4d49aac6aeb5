import { KINDS, type Kind } from "../../state/records.ts";
import type { ClusterView } from "../view/types.ts";
import { type Interest, interestOf, isInScope, type Located, movedRefs, scopeRefs } from "./scope.ts";
import type { WatchLines } from "./watch-lines.ts";

/** What one node is yet to be told: of each object only the latest, however slowly the node reads. */
export class ScopedStream {
  readonly nodeName: string;
  readonly #lines: WatchLines;
  readonly #dirty: Set<string>;
  #interest: Interest;
  #isInterestStale = false;
  #isSynced = false;
  /** Revision of the last bookmark. */
  #told = -1n;
  #hasSentSince = false;

  constructor(nodeName: string, view: ClusterView, lines: WatchLines) {
    this.nodeName = nodeName;
    this.#lines = lines;
    this.#interest = interestOf(view, nodeName);
    this.#dirty = new Set(scopeRefs(view, this.#interest));
  }

  get interest(): Interest {
    return this.#interest;
  }

  get backlog(): number {
    return this.#dirty.size;
  }

  /** These objects have changed, and perhaps with them what concerns the node. */
  touch(refs: readonly string[], isInterestStale: boolean): void {
    for (const ref of refs) this.#dirty.add(ref);
    this.#isInterestStale ||= isInterestStale;
  }

  /** Looks again at what concerns the node, when that may have changed. True: it did. */
  refresh(view: ClusterView): boolean {
    if (!this.#isInterestStale) return false;
    this.#isInterestStale = false;
    const before = this.#interest;
    this.#interest = interestOf(view, this.nodeName);
    const countBefore = this.#dirty.size;
    for (const ref of movedRefs(view, before, this.#interest)) this.#dirty.add(ref);
    return this.#dirty.size !== countBefore || !hasSameMembers(before, this.#interest);
  }

  /**
   * The next lines to send, at most so many; undefined when the node knows everything of this view. What others depend on comes
   * first, and goes last.
   */
  take(view: ClusterView, maxLines: number): string | undefined {
    if (this.#dirty.size === 0) return undefined;
    const taken: Taken[] = [];
    for (const ref of this.#dirty) {
      this.#dirty.delete(ref);
      taken.push(this.#look(view, ref));
      if (taken.length >= maxLines) break;
    }
    this.#hasSentSince = true;
    taken.sort((left, right) => left.rank - right.rank);
    return taken.map(({ line }) => line).join("");
  }

  /** The line that ends a complete state: when something was sent since the last one, or always when `isDue`. */
  mark(view: ClusterView, isDue: boolean): string | undefined {
    if (this.#isSynced && !this.#hasSentSince && !(isDue && view.revision >= this.#told)) return undefined;
    const line = this.#isSynced ? this.#lines.bookmark(view.revision) : this.#lines.synced(view.revision);
    this.#isSynced = true;
    this.#hasSentSince = false;
    this.#told = view.revision;
    return line;
  }

  #look(view: ClusterView, ref: string): Taken {
    const slash = ref.indexOf("/");
    const kind = ref.slice(0, slash) as Kind;
    const key = ref.slice(slash + 1);
    const record = view.records(kind).get(key);
    const rank = KINDS.indexOf(kind) + 1;
    if (record !== undefined && isInScope(view, this.#interest, { kind, key, record } as Located)) {
      return { rank, line: this.#lines.put(view, kind, key, record) };
    }
    return { rank: 2 * KINDS.length - rank, line: this.#lines.delete(view, kind, key) };
  }
}

interface Taken {
  /** Puts in the order of the kinds, which is that of dependencies; then deletes in the reverse order. */
  readonly rank: number;
  readonly line: string;
}

function hasSameMembers(left: Interest, right: Interest): boolean {
  return (
    left.networks.size === right.networks.size &&
    left.objects.size === right.objects.size &&
    [...left.networks].every((key) => right.networks.has(key)) &&
    [...left.objects].every((ref) => right.objects.has(ref))
  );
}
