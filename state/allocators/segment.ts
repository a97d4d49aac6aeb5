import { type Compare, compareBigint } from "../sorted-map.ts";
import { emptyFreedQueue, type FreedQueue } from "./freed-queue.ts";
import { emptyIntervalSet, type Interval, type IntervalSet } from "./interval-set.ts";

interface Parts {
  readonly bounds: Interval;
  /** What may not be handed out now. */
  readonly taken: IntervalSet;
  /** What was handed out and is free again. */
  readonly freed: FreedQueue;
  /** `taken` and `freed` together: the rest was never used, as far as is remembered. */
  readonly used: IntervalSet;
  /** Where the search for a never-used number begins. */
  readonly cursor: bigint;
}

/**
 * Hands out the numbers of one interval: first those never used, going on after the last one, then the one freed longest ago.
 * Nothing here depends on the width of the interval.
 */
export class Segment {
  readonly bounds: Interval;
  readonly #taken: IntervalSet;
  readonly #freed: FreedQueue;
  readonly #used: IntervalSet;
  #cursor: bigint;

  constructor({ bounds, taken, freed, used, cursor }: Parts) {
    this.bounds = bounds;
    this.#taken = taken;
    this.#freed = freed;
    this.#used = used;
    this.#cursor = cursor;
  }

  clone(): Segment {
    const parts = { taken: this.#taken.clone(), freed: this.#freed.clone(), used: this.#used.clone() };
    return new Segment({ ...parts, bounds: this.bounds, cursor: this.#cursor });
  }

  get taken(): IntervalSet {
    return this.#taken;
  }

  take(value: bigint): void {
    if (value === this.#nextNeverUsed()) this.#cursor = value + 1n;
    this.#freed.delete(value);
    this.#taken.add(value);
    this.#used.add(value);
  }

  release(value: bigint): void {
    if (!this.#taken.has(value)) return;
    this.#taken.remove(value);
    const forgotten = this.#freed.push(value);
    if (forgotten !== undefined) this.#used.remove(forgotten);
  }

  /** The number to hand out next, or undefined when all are taken. */
  get next(): bigint | undefined {
    return this.#nextNeverUsed() ?? this.#freed.oldest;
  }

  #nextNeverUsed(): bigint | undefined {
    const { first, last } = this.bounds;
    return this.#used.firstGap(this.#cursor, last) ?? this.#used.firstGap(first, this.#cursor - 1n);
  }

  /** Sets a range aside for someone else; none of it may be taken. The result is its freed numbers, oldest first. */
  exclude(first: bigint, last: bigint): readonly bigint[] {
    this.#taken.add(first, last);
    this.#used.add(first, last);
    return this.#freed.takeRange(first, last);
  }

  /** Takes back a range that was set aside, with its freed numbers, oldest first. */
  include(range: Interval, freed: readonly bigint[]): void {
    this.#taken.remove(range.first, range.last);
    this.#used.remove(range.first, range.last);
    this.adoptFreed(freed);
  }

  adoptFreed(freed: readonly bigint[]): void {
    for (const value of freed) {
      this.#used.add(value);
      const forgotten = this.#freed.push(value);
      if (forgotten !== undefined) this.#used.remove(forgotten);
    }
  }

  /** All freed numbers, oldest first; they count as never used afterwards. */
  surrenderFreed(): readonly bigint[] {
    const freed = this.#freed.takeRange(this.bounds.first, this.bounds.last);
    for (const value of freed) this.#used.remove(value);
    return freed;
  }

  /** After a load, which knows nothing of what was freed before: go on after the highest number taken. */
  startAfter(value: bigint): void {
    this.#cursor = value >= this.bounds.last ? this.bounds.first : value + 1n;
  }
}

/** @param compare replaceable only so that tests can count comparisons */
export function emptySegment(bounds: Interval, compare: Compare<bigint> = compareBigint): Segment {
  const sets = { taken: emptyIntervalSet(compare), freed: emptyFreedQueue(compare), used: emptyIntervalSet(compare) };
  return new Segment({ bounds, cursor: bounds.first, ...sets });
}
