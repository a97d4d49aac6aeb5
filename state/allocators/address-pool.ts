import type { AddressRange } from "../address.ts";
import { type Compare, compareBigint, compareText, type SortedMap, sortedMap } from "../sorted-map.ts";
import { emptyIntervalSet, type IntervalSet } from "./interval-set.ts";
import { emptySegment, type Segment } from "./segment.ts";

/** The addresses of one network and family as a plan sees them. Addresses are numbers, see state/address.ts. */
export interface AddressPoolView {
  /** What may be handed out: hosts of the subnet, or of the admin's range within it. Gateway and group pools lie inside. */
  readonly bounds: AddressRange;
  /** True when a lease, the gateway or a bare allocation holds it. An address of a group's pool is taken only when leased. */
  isTaken(address: bigint): boolean;
  /** True when any address of the range is taken or belongs to the pool of a group. */
  isRangeTouched(range: AddressRange): boolean;
  /** The group (its key) whose pool holds the address. */
  poolOf(address: bigint): string | undefined;
  /** The range of a group's pool. */
  poolRange(groupKey: string): AddressRange | undefined;
  /** The address to hand out next: of the group's pool, or of what no pool holds. Undefined when none is left. */
  nextFree(groupKey?: string): bigint | undefined;
  /** Leases and bare allocations; neither the gateway nor the pools count. */
  readonly leasedCount: number;
  /** What is not available, ascending: leases, the gateway, whole pools. */
  takenRanges(): IterableIterator<AddressRange>;
  /** What `nextFree()` without a group can still give, ascending. */
  freeRanges(): IterableIterator<AddressRange>;
  /** The same within a group's pool. */
  takenRangesOf(groupKey: string): IterableIterator<AddressRange>;
  freeRangesOf(groupKey: string): IterableIterator<AddressRange>;
}

interface Parts {
  readonly open: Segment;
  readonly pools: SortedMap<string, Segment>;
  readonly groupByFirst: SortedMap<bigint, string>;
  readonly held: IntervalSet;
  readonly reserved: readonly bigint[];
}

/**
 * The book that a cluster view keeps for each network and family: fed with the leases, bare allocations and group pools of the
 * store, in any number of `clone()`s. Changing one clone leaves the others as they were.
 */
export class AddressPool implements AddressPoolView {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  clone(): AddressPool {
    const { open, pools, groupByFirst, held, reserved } = this.#parts;
    const cloned = { open: open.clone(), pools: pools.clone(), groupByFirst: groupByFirst.clone(), held: held.clone() };
    return new AddressPool({ ...cloned, reserved });
  }

  /** An endpoint or bare allocation holds the address from now on. Addresses outside the bounds are kept too (pool, then range changed). */
  take(address: bigint): void {
    this.#parts.held.add(address);
    this.#changeSegment(address, (segment) => segment.take(address));
  }

  /** The address is free again, and will be handed out after all that are free longer. */
  release(address: bigint): void {
    this.#parts.held.remove(address);
    this.#changeSegment(address, (segment) => segment.release(address));
  }

  /** A group took a range out of the network for its endpoints. */
  addPool(groupKey: string, range: AddressRange): void {
    const { open, pools, groupByFirst, held } = this.#parts;
    const segment = emptySegment(range);
    segment.adoptFreed(open.exclude(range.first, range.last));
    for (const leased of held.intervals(range)) {
      for (let address = leased.first; address <= leased.last; address += 1n) segment.take(address);
    }
    pools.set(groupKey, segment);
    groupByFirst.set(range.first, groupKey);
  }

  /** The group is gone: its range is the network's again. */
  removePool(groupKey: string): void {
    const { open, pools, groupByFirst, held, reserved } = this.#parts;
    const segment = pools.get(groupKey);
    if (segment === undefined) return;
    pools.delete(groupKey);
    groupByFirst.delete(segment.bounds.first);
    open.include(segment.bounds, segment.clone().surrenderFreed());
    for (const { first, last } of held.intervals(segment.bounds)) open.exclude(first, last);
    for (const address of reserved) if (isWithin(segment.bounds, address)) open.exclude(address, address);
  }

  /** Call once when a load is complete: what was freed before it is unknown, so go on after the highest address in use. */
  startAfterHighest(): void {
    const { open, pools, held } = this.#parts;
    for (const [groupKey, segment] of [...pools.entries()]) {
      const changed = segment.clone();
      moveCursor(changed, held);
      pools.set(groupKey, changed);
    }
    moveCursor(open, withoutPools(held, pools));
  }

  get bounds(): AddressRange {
    return this.#parts.open.bounds;
  }

  isTaken(address: bigint): boolean {
    return this.#parts.held.has(address) || this.#parts.reserved.includes(address);
  }

  isRangeTouched({ first, last }: AddressRange): boolean {
    const { open, held, reserved } = this.#parts;
    const touchesReserved = reserved.some((address) => first <= address && address <= last);
    return touchesReserved || held.intersects(first, last) || open.taken.intersects(first, last);
  }

  poolOf(address: bigint): string | undefined {
    const [, groupKey] = this.#parts.groupByFirst.getPairOrNextLower(address) ?? [];
    const range = groupKey === undefined ? undefined : this.poolRange(groupKey);
    return range !== undefined && address <= range.last ? groupKey : undefined;
  }

  poolRange(groupKey: string): AddressRange | undefined {
    return this.#parts.pools.get(groupKey)?.bounds;
  }

  nextFree(groupKey?: string): bigint | undefined {
    const { open, pools } = this.#parts;
    return groupKey === undefined ? open.next : pools.get(groupKey)?.next;
  }

  get leasedCount(): number {
    return Number(this.#parts.held.size);
  }

  takenRanges(): IterableIterator<AddressRange> {
    return this.#parts.open.taken.intervals(this.bounds);
  }

  freeRanges(): IterableIterator<AddressRange> {
    return this.#parts.open.taken.gaps(this.bounds);
  }

  *takenRangesOf(groupKey: string): IterableIterator<AddressRange> {
    const segment = this.#parts.pools.get(groupKey);
    if (segment !== undefined) yield* segment.taken.intervals(segment.bounds);
  }

  *freeRangesOf(groupKey: string): IterableIterator<AddressRange> {
    const segment = this.#parts.pools.get(groupKey);
    if (segment !== undefined) yield* segment.taken.gaps(segment.bounds);
  }

  #changeSegment(address: bigint, change: (segment: Segment) => void): void {
    const { open, pools } = this.#parts;
    const groupKey = this.poolOf(address);
    const segment = groupKey === undefined ? undefined : pools.get(groupKey);
    if (groupKey === undefined || segment === undefined) {
      if (isWithin(open.bounds, address)) change(open);
      return;
    }
    const changed = segment.clone();
    change(changed);
    pools.set(groupKey, changed);
  }
}

function isWithin(range: AddressRange, address: bigint): boolean {
  return range.first <= address && address <= range.last;
}

function moveCursor(segment: Segment, held: IntervalSet): void {
  let highest: bigint | undefined;
  for (const { last } of held.intervals(segment.bounds)) highest = last;
  if (highest !== undefined) segment.startAfter(highest);
}

function withoutPools(held: IntervalSet, pools: SortedMap<string, Segment>): IntervalSet {
  const outside = held.clone();
  for (const segment of pools.values()) outside.remove(segment.bounds.first, segment.bounds.last);
  return outside;
}

export interface AddressPoolOptions {
  /** What may be handed out. */
  readonly bounds: AddressRange;
  /** Addresses that never are: the gateway. */
  readonly reserved: readonly bigint[];
  /** Replaceable only so that tests can count comparisons. */
  readonly compare?: Compare<bigint>;
}

export function emptyAddressPool({ bounds, reserved, compare = compareBigint }: AddressPoolOptions): AddressPool {
  const open = emptySegment(bounds, compare);
  for (const address of reserved) if (isWithin(bounds, address)) open.exclude(address, address);
  const pools = sortedMap<string, Segment>(compareText);
  const groupByFirst = sortedMap<bigint, string>(compare);
  return new AddressPool({ open, pools, groupByFirst, held: emptyIntervalSet(compare), reserved });
}
