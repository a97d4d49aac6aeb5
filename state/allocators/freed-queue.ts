import { type Compare, compareBigint, type SortedMap, sortedMap } from "../sorted-map.ts";

/** Most freed values that one queue remembers; what was freed before those counts as never used. */
export const FREED_LIMIT = 16_384;

/** Values in the order in which they were freed. `clone()` costs nothing. */
export class FreedQueue {
  readonly #valueByTurn: SortedMap<bigint, bigint>;
  readonly #turnByValue: SortedMap<bigint, bigint>;

  constructor(valueByTurn: SortedMap<bigint, bigint>, turnByValue: SortedMap<bigint, bigint>) {
    this.#valueByTurn = valueByTurn;
    this.#turnByValue = turnByValue;
  }

  clone(): FreedQueue {
    return new FreedQueue(this.#valueByTurn.clone(), this.#turnByValue.clone());
  }

  get size(): number {
    return this.#turnByValue.size;
  }

  has(value: bigint): boolean {
    return this.#turnByValue.has(value);
  }

  /** The value freed longest ago. */
  get oldest(): bigint | undefined {
    const turn = this.#valueByTurn.minKey();
    return turn === undefined ? undefined : this.#valueByTurn.get(turn);
  }

  /** Puts a value at the end; the result is one that had to be forgotten for it. */
  push(value: bigint): bigint | undefined {
    this.delete(value);
    const turn = (this.#valueByTurn.maxKey() ?? 0n) + 1n;
    this.#valueByTurn.set(turn, value);
    this.#turnByValue.set(value, turn);
    if (this.size <= FREED_LIMIT) return undefined;
    const forgotten = this.oldest;
    if (forgotten !== undefined) this.delete(forgotten);
    return forgotten;
  }

  delete(value: bigint): void {
    const turn = this.#turnByValue.get(value);
    if (turn === undefined) return;
    this.#turnByValue.delete(value);
    this.#valueByTurn.delete(turn);
  }

  /** Takes out the values from `first` to `last`, the one freed longest ago first. */
  takeRange(first: bigint, last: bigint): readonly bigint[] {
    const taken = this.#turnByValue.getRange(first, last, true).sort((left, right) => compareBigint(left[1], right[1]));
    for (const [value] of taken) this.delete(value);
    return taken.map(([value]) => value);
  }
}

/** @param compare replaceable only so that tests can count comparisons */
export function emptyFreedQueue(compare: Compare<bigint> = compareBigint): FreedQueue {
  return new FreedQueue(sortedMap(compare), sortedMap(compare));
}
