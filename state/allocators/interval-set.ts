import { maxBigint, minBigint } from "../bigint.ts";
import { type Compare, compareBigint, type SortedMap, sortedMap } from "../sorted-map.ts";

/** Whole numbers `first` to `last`, both included. */
export interface Interval {
  readonly first: bigint;
  readonly last: bigint;
}

/**
 * A set of whole numbers, kept as the fewest intervals: its cost depends on how many intervals there are, never on how wide they
 * are. `clone()` costs nothing, and the copy may change without touching the original.
 */
export class IntervalSet {
  readonly #lastByFirst: SortedMap<bigint, bigint>;
  #size: bigint;

  /** @param lastByFirst the intervals, disjoint and not adjacent; taken over, not copied */
  constructor(lastByFirst: SortedMap<bigint, bigint>, size: bigint) {
    this.#lastByFirst = lastByFirst;
    this.#size = size;
  }

  clone(): IntervalSet {
    return new IntervalSet(this.#lastByFirst.clone(), this.#size);
  }

  /** How many numbers are in the set. */
  get size(): bigint {
    return this.#size;
  }

  has(value: bigint): boolean {
    const [, last] = this.#lastByFirst.getPairOrNextLower(value) ?? [];
    return last !== undefined && value <= last;
  }

  /** Adds a whole interval; what is there already stays. */
  add(first: bigint, last: bigint = first): void {
    let merged: Interval = { first, last };
    for (const touching of this.#touching(first - 1n, last + 1n)) {
      this.#drop(touching);
      merged = { first: minBigint(merged.first, touching.first), last: maxBigint(merged.last, touching.last) };
    }
    this.#keep(merged);
  }

  /** Removes a whole interval; what is absent stays absent. */
  remove(first: bigint, last: bigint = first): void {
    for (const touching of this.#touching(first, last)) {
      this.#drop(touching);
      if (touching.first < first) this.#keep({ first: touching.first, last: first - 1n });
      if (touching.last > last) this.#keep({ first: last + 1n, last: touching.last });
    }
  }

  /** The lowest number from `first` to `last` that is not in the set. */
  firstGap(first: bigint, last: bigint): bigint | undefined {
    const [, coveredTo] = this.#lastByFirst.getPairOrNextLower(first) ?? [];
    const gap = coveredTo === undefined || coveredTo < first ? first : coveredTo + 1n;
    return gap <= last ? gap : undefined;
  }

  /** True when any number from `first` to `last` is in the set. */
  intersects(first: bigint, last: bigint): boolean {
    return this.has(first) || (this.#lastByFirst.nextHigherKey(first) ?? last + 1n) <= last;
  }

  /** The intervals in ascending order, clipped to `first`…`last` when given. */
  *intervals(clip?: Interval): IterableIterator<Interval> {
    if (clip === undefined) {
      for (const [first, last] of this.#lastByFirst.entries()) yield { first, last };
      return;
    }
    const from = this.#lastByFirst.getPairOrNextLower(clip.first)?.[0] ?? clip.first;
    for (const [first, last] of this.#lastByFirst.entries(from)) {
      if (first > clip.last) return;
      if (last >= clip.first) yield { first: maxBigint(first, clip.first), last: minBigint(last, clip.last) };
    }
  }

  /** What lies between the intervals, within `clip`. */
  *gaps(clip: Interval): IterableIterator<Interval> {
    let next = clip.first;
    for (const { first, last } of this.intervals(clip)) {
      if (next < first) yield { first: next, last: first - 1n };
      next = last + 1n;
    }
    if (next <= clip.last) yield { first: next, last: clip.last };
  }

  get highest(): bigint | undefined {
    const key = this.#lastByFirst.maxKey();
    return key === undefined ? undefined : this.#lastByFirst.get(key);
  }

  #touching(first: bigint, last: bigint): Interval[] {
    const found: Interval[] = [];
    const from = this.#lastByFirst.getPairOrNextLower(first)?.[0] ?? first;
    this.#lastByFirst.forRange(from, last, true, (intervalFirst, intervalLast) => {
      if (intervalLast >= first) found.push({ first: intervalFirst, last: intervalLast });
    });
    return found;
  }

  #keep({ first, last }: Interval): void {
    this.#lastByFirst.set(first, last);
    this.#size += last - first + 1n;
  }

  #drop({ first, last }: Interval): void {
    this.#lastByFirst.delete(first);
    this.#size -= last - first + 1n;
  }
}

/** @param compare replaceable only so that tests can count comparisons */
export function emptyIntervalSet(compare: Compare<bigint> = compareBigint): IntervalSet {
  return new IntervalSet(sortedMap(compare), 0n);
}
