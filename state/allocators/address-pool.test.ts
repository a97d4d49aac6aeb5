import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type AddressRange, hostRange, parseSubnet } from "../address.ts";
import { compareBigint } from "../sorted-map.ts";
import { type AddressPool, emptyAddressPool } from "./address-pool.ts";
import { FREED_LIMIT } from "./freed-queue.ts";

const BOUNDS = { first: 1n, last: 14n };

function pool(bounds: AddressRange = BOUNDS, reserved: readonly bigint[] = []): AddressPool {
  return emptyAddressPool({ bounds, reserved });
}

function takeNext(book: AddressPool, groupKey?: string): bigint | undefined {
  const address = book.nextFree(groupKey);
  if (address !== undefined) book.take(address);
  return address;
}

function takeAll(book: AddressPool, groupKey?: string): bigint[] {
  const taken: bigint[] = [];
  for (let next = takeNext(book, groupKey); next !== undefined; next = takeNext(book, groupKey)) taken.push(next);
  return taken;
}

describe("order", () => {
  it("gives never-used addresses first, then the one freed longest ago", () => {
    const book = pool({ first: 1n, last: 4n });
    takeNext(book);
    takeNext(book);
    book.release(2n);
    book.release(1n);
    expect([takeNext(book), takeNext(book), takeNext(book), takeNext(book), takeNext(book)]).toEqual([
      3n,
      4n,
      2n,
      1n,
      undefined,
    ]);
  });

  it("is not moved by an address that was asked for", () => {
    const book = pool();
    book.take(9n);
    expect(takeNext(book)).toBe(1n);
  });

  it("goes on after the highest address in use after a load, and comes back to the gaps", () => {
    const book = pool({ first: 1n, last: 5n });
    book.take(1n);
    book.take(3n);
    book.startAfterHighest();
    expect(takeAll(book)).toEqual([4n, 5n, 2n]);
  });

  it("remembers a bounded number of freed addresses and loses none of them", () => {
    const count = FREED_LIMIT + 100;
    const book = pool({ first: 1n, last: BigInt(count) });
    expect(takeAll(book)).toHaveLength(count);
    for (let address = 1n; address <= BigInt(count); address += 1n) book.release(address);
    const again = takeAll(book);
    expect(again).toHaveLength(count);
    expect(new Set(again).size).toBe(count);
  });
});

describe("gateway and group pools", () => {
  it("never gives the gateway", () => {
    expect(takeAll(pool({ first: 1n, last: 3n }, [2n]))).toEqual([1n, 3n]);
  });

  it("gives a group's endpoints exactly the pool, and others nothing of it", () => {
    const book = pool({ first: 1n, last: 6n });
    book.addPool("t:g", { first: 2n, last: 4n });
    expect(takeAll(book, "t:g")).toEqual([2n, 3n, 4n]);
    expect(takeAll(book)).toEqual([1n, 5n, 6n]);
    expect(book.poolOf(3n)).toBe("t:g");
    expect(book.poolOf(5n)).toBeUndefined();
  });

  it("gives nothing for a group that has no pool", () => {
    expect(pool().nextFree("t:none")).toBeUndefined();
  });

  it("keeps the order of freed addresses when a pool comes and goes", () => {
    const book = pool({ first: 1n, last: 4n });
    takeAll(book);
    for (const address of [3n, 2n, 1n, 4n]) book.release(address);
    book.addPool("t:g", { first: 2n, last: 3n });
    expect(takeNext(book, "t:g")).toBe(3n);
    book.release(3n);
    book.removePool("t:g");
    expect(takeAll(book)).toEqual([1n, 4n, 2n, 3n]);
  });

  it("takes leases into account that came before the pool", () => {
    const book = pool();
    book.take(3n);
    book.addPool("t:g", { first: 3n, last: 4n });
    expect(takeAll(book, "t:g")).toEqual([4n]);
    book.removePool("t:g");
    expect(takeAll(book)).not.toContain(3n);
  });

  it("tells which ranges a new pool may have", () => {
    const book = pool(BOUNDS, [14n]);
    book.take(1n);
    book.addPool("t:g", { first: 5n, last: 6n });
    expect(book.isRangeTouched({ first: 2n, last: 4n })).toBe(false);
    expect(book.isRangeTouched({ first: 4n, last: 5n })).toBe(true);
    expect(book.isRangeTouched({ first: 1n, last: 2n })).toBe(true);
    expect(book.isRangeTouched({ first: 7n, last: 14n })).toBe(true);
  });
});

type Step = {
  readonly step: "take" | "release" | "give" | "pool" | "unpool";
  readonly value: bigint;
  readonly group: string;
};

const step: fc.Arbitrary<Step> = fc.record({
  step: fc.constantFrom("take", "take", "release", "give", "pool", "unpool"),
  value: fc.bigInt(BOUNDS.first, BOUNDS.last),
  group: fc.constantFrom("a", "b"),
});

interface Model {
  readonly held: Set<bigint>;
  readonly pools: Map<string, AddressRange>;
}

/** Does the step on the book and on the plain model; refuses what an intent would refuse. */
function apply(book: AddressPool, model: Model, { step, value, group }: Step): void {
  if (step === "take") {
    const groupKey = model.pools.has(group) ? group : undefined;
    const next = book.nextFree(groupKey);
    const range = groupKey === undefined ? undefined : model.pools.get(groupKey);
    if (next === undefined) return;
    expect(model.held.has(next)).toBe(false);
    if (range !== undefined) expect(range.first <= next && next <= range.last).toBe(true);
    else for (const other of model.pools.values()) expect(other.first <= next && next <= other.last).toBe(false);
    book.take(next);
    model.held.add(next);
  } else if (step === "give" && !model.held.has(value)) {
    book.take(value);
    model.held.add(value);
  } else if (step === "release") {
    book.release(value);
    model.held.delete(value);
  } else if (step === "pool" && !model.pools.has(group)) {
    const range = { first: value, last: value + 2n > BOUNDS.last ? BOUNDS.last : value + 2n };
    if (book.isRangeTouched(range)) return;
    book.addPool(group, range);
    model.pools.set(group, range);
  } else if (step === "unpool" && ![...model.held].some((address) => book.poolOf(address) === group)) {
    book.removePool(group);
    model.pools.delete(group);
  }
}

/** What the book shows as free: of the network, and of each pool. */
function shownFree(book: AddressPool): object {
  const list = (ranges: Iterable<AddressRange>) => Array.from(ranges, ({ first, last }) => `${first}-${last}`).join();
  const groups = ["a", "b"].map((group) => list(book.freeRangesOf(group)));
  return { open: list(book.freeRanges()), groups };
}

function modelFree({ held, pools }: Model): object {
  const isPooled = (address: bigint) =>
    [...pools.values()].some(({ first, last }) => first <= address && address <= last);
  const rangesWhere = (isFree: (address: bigint) => boolean) => {
    const ranges: string[] = [];
    for (let address = BOUNDS.first; address <= BOUNDS.last; address += 1n) {
      if (!isFree(address)) continue;
      const first = address;
      while (address < BOUNDS.last && isFree(address + 1n)) address += 1n;
      ranges.push(`${first}-${address}`);
    }
    return ranges.join();
  };
  const groups = ["a", "b"].map((group) => {
    const range = pools.get(group);
    return rangesWhere(
      (address) => range !== undefined && range.first <= address && address <= range.last && !held.has(address),
    );
  });
  return { open: rangesWhere((address) => !held.has(address) && !isPooled(address)), groups };
}

describe("properties", () => {
  it("never gives an address twice, never loses one, and old clones stay as they were", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const model = { held: new Set<bigint>(), pools: new Map<string, AddressRange>() };
        let book = pool();
        for (const one of steps) {
          const before = book;
          const shown = [...before.freeRanges()];
          book = book.clone();
          apply(book, model, one);
          expect([...before.freeRanges()]).toEqual(shown);
        }
        expect(book.leasedCount).toBe(model.held.size);
        for (let address = BOUNDS.first; address <= BOUNDS.last; address += 1n) {
          expect(book.isTaken(address)).toBe(model.held.has(address));
        }
        expect(shownFree(book)).toEqual(modelFree(model));
        for (const group of [undefined, ...model.pools.keys()]) takeAll(book, group);
        expect(book.leasedCount).toBe(Number(BOUNDS.last));
      }),
    );
  });

  it("hands out all addresses after any history of requests and releases", () => {
    fc.assert(
      fc.property(fc.array(fc.record({ take: fc.boolean(), value: fc.bigInt(1n, 14n) })), (history) => {
        const book = pool();
        for (const { take, value } of history) take ? book.take(value) : book.release(value);
        const held = book.leasedCount;
        expect(takeAll(book)).toHaveLength(14 - held);
      }),
    );
  });
});

/** Comparisons that 500 allocations and 250 releases need on one subnet. */
function comparisonsOn(subnet: string): number {
  const parsed = parseSubnet(subnet.includes(":") ? 6 : 4, subnet);
  if (parsed === undefined) throw new Error(`"${subnet}" is no subnet`);
  let count = 0;
  const compare = (left: bigint, right: bigint) => {
    count += 1;
    return compareBigint(left, right);
  };
  const book = emptyAddressPool({ bounds: hostRange(parsed), reserved: [parsed.first + 1n], compare });
  for (let index = 0; index < 500; index += 1) {
    const address = takeNext(book) ?? 0n;
    if (index % 2 === 1) book.release(address - 1n);
  }
  return count;
}

it("costs the same on every subnet size", () => {
  const onSmall = comparisonsOn("10.1.0.0/20");
  expect(comparisonsOn("10.0.0.0/8")).toBe(onSmall);
  expect(comparisonsOn("2001:db8::/64")).toBe(onSmall);
  expect(onSmall / 750).toBeLessThan(150);
});
