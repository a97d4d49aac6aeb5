import { compareBigint } from "../sorted-map.ts";
import { emptyIntervalSet, type IntervalSet } from "./interval-set.ts";

/** Numbers from `first` to `last`, both included. */
export interface NumberRange {
  readonly first: number;
  readonly last: number;
}

/** Ids of one kind as a plan sees them. */
export interface IdPoolView {
  readonly takenCount: number;
  isTaken(id: number): boolean;
  /** The lowest id of the ranges that is free (tags: contract §6.2). */
  lowestFree(ranges: readonly NumberRange[]): number | undefined;
  /** An id that was not handed out for as long as possible: going on after the last one (tenants, networks, groups). */
  nextFree(): number | undefined;
  /** Ascending. */
  takenRanges(): IterableIterator<NumberRange>;
}

/** The ids in use, in any number of clones. */
export class IdPool implements IdPoolView {
  readonly #bounds: NumberRange;
  readonly #taken: IntervalSet;
  #cursor: bigint;

  constructor(bounds: NumberRange, taken: IntervalSet, cursor: bigint) {
    this.#bounds = bounds;
    this.#taken = taken;
    this.#cursor = cursor;
  }

  clone(): IdPool {
    return new IdPool(this.#bounds, this.#taken.clone(), this.#cursor);
  }

  /** Someone has the id from now on. */
  take(id: number): void {
    this.#taken.add(BigInt(id));
    if (BigInt(id) >= this.#cursor) this.#cursor = BigInt(id) + 1n;
  }

  release(id: number): void {
    this.#taken.remove(BigInt(id));
  }

  get takenCount(): number {
    return Number(this.#taken.size);
  }

  isTaken(id: number): boolean {
    return this.#taken.has(BigInt(id));
  }

  lowestFree(ranges: readonly NumberRange[]): number | undefined {
    for (const { first, last } of [...ranges].sort((left, right) => left.first - right.first)) {
      const gap = this.#taken.firstGap(BigInt(first), BigInt(last));
      if (gap !== undefined) return Number(gap);
    }
    return undefined;
  }

  nextFree(): number | undefined {
    const [first, last] = [BigInt(this.#bounds.first), BigInt(this.#bounds.last)];
    const next = this.#taken.firstGap(this.#cursor, last) ?? this.#taken.firstGap(first, this.#cursor - 1n);
    return next === undefined ? undefined : Number(next);
  }

  *takenRanges(): IterableIterator<NumberRange> {
    for (const { first, last } of this.#taken.intervals()) yield { first: Number(first), last: Number(last) };
  }
}

export function emptyIdPool(bounds: NumberRange): IdPool {
  return new IdPool(bounds, emptyIntervalSet(compareBigint), BigInt(bounds.first));
}
