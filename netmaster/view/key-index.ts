import { compareText, type SortedMap, sortedMap } from "../../state/sorted-map.ts";
import type { KeySet } from "./types.ts";

type Members = SortedMap<string, number>;

/** One entry of an index: the object `key` is found under `under`. */
export interface IndexEntry {
  readonly under: string;
  readonly key: string;
}

/**
 * Sets of keys by another key, each with a count of how often it was added. `clone()` costs nothing, and the copy may change without
 * touching the original.
 */
export class KeyIndex {
  readonly #sets: SortedMap<string, Members>;
  /** The sets that no clone shares; they may be changed in place. */
  readonly #own = new Set<Members>();

  constructor(sets: SortedMap<string, Members> = sortedMap(compareText)) {
    this.#sets = sets;
  }

  clone(): KeyIndex {
    this.#own.clear();
    return new KeyIndex(this.#sets.clone());
  }

  get(under: string): KeySet {
    const members = this.#sets.get(under);
    return members === undefined ? EMPTY_KEY_SET : new IndexedKeys(members);
  }

  add({ under, key }: IndexEntry): void {
    const members = this.#writable(under);
    members.set(key, (members.get(key) ?? 0) + 1);
  }

  remove({ under, key }: IndexEntry): void {
    if (!this.#sets.get(under)?.has(key)) return;
    const members = this.#writable(under);
    const count = members.get(key) ?? 0;
    if (count > 1) members.set(key, count - 1);
    else members.delete(key);
    if (members.isEmpty) this.#sets.delete(under);
  }

  #writable(under: string): Members {
    const present = this.#sets.get(under);
    if (present !== undefined && this.#own.has(present)) return present;
    const members = present?.clone() ?? sortedMap<string, number>(compareText);
    this.#own.add(members);
    this.#sets.set(under, members);
    return members;
  }
}

class IndexedKeys implements KeySet {
  readonly #members: Members;

  constructor(members: Members) {
    this.#members = members;
  }

  get size(): number {
    return this.#members.size;
  }

  has(key: string): boolean {
    return this.#members.has(key);
  }

  [Symbol.iterator](): IterableIterator<string> {
    return this.#members.keys();
  }
}

const EMPTY_KEY_SET: KeySet = new IndexedKeys(sortedMap(compareText));
