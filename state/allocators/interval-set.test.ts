import fc from "fast-check";
import { expect, it } from "vitest";
import { emptyIntervalSet, type IntervalSet } from "./interval-set.ts";

const LIMIT = 40;
const change = fc.record({
  add: fc.boolean(),
  first: fc.bigInt(0n, BigInt(LIMIT)),
  width: fc.bigInt(0n, 8n),
});

function members(set: IntervalSet): bigint[] {
  const found: bigint[] = [];
  for (const { first, last } of set.intervals()) for (let value = first; value <= last; value += 1n) found.push(value);
  return found;
}

it("is the same as a plain set of numbers, and clones stay as they were", () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 60 }), (changes) => {
      const plain = new Set<bigint>();
      let set = emptyIntervalSet();
      for (const { add, first, width } of changes) {
        const before = set.clone();
        const membersBefore = members(before);
        set = set.clone();
        if (add) set.add(first, first + width);
        else set.remove(first, first + width);
        for (let value = first; value <= first + width; value += 1n) add ? plain.add(value) : plain.delete(value);
        expect(members(before)).toEqual(membersBefore);
      }
      const sorted = [...plain].sort((left, right) => Number(left - right));
      expect(members(set)).toEqual(sorted);
      expect(set.size).toBe(BigInt(plain.size));
      expect(set.highest).toBe(sorted.at(-1));
      const intervals = [...set.intervals()];
      for (const [index, { first }] of intervals.entries()) {
        if (index > 0) expect(first).toBeGreaterThan((intervals[index - 1]?.last ?? 0n) + 1n);
      }
    }),
  );
});

it("answers about ranges as a plain set would", () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.integer({ min: 0, max: LIMIT })), fc.nat(LIMIT), fc.nat(LIMIT), (values, a, b) => {
      const [first, last] = [Math.min(a, b), Math.max(a, b)];
      const set = emptyIntervalSet();
      for (const value of values) set.add(BigInt(value));
      const range = Array.from({ length: last - first + 1 }, (_, index) => first + index);
      const free = range.filter((value) => !values.includes(value));
      expect(set.firstGap(BigInt(first), BigInt(last))).toBe(free[0] === undefined ? undefined : BigInt(free[0]));
      expect(set.intersects(BigInt(first), BigInt(last))).toBe(free.length < range.length);
      const clip = { first: BigInt(first), last: BigInt(last) };
      const inGaps = [...set.gaps(clip)].reduce((sum, gap) => sum + gap.last - gap.first + 1n, 0n);
      const inside = [...set.intervals(clip)].reduce((sum, part) => sum + part.last - part.first + 1n, 0n);
      expect(Number(inGaps)).toBe(free.length);
      expect(Number(inside)).toBe(range.length - free.length);
    }),
  );
});
