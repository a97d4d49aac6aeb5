import fc from "fast-check";
import { expect, it } from "vitest";
import { emptyIdPool } from "./id-pool.ts";

it("gives the lowest free tag of the ranges", () => {
  const pool = emptyIdPool({ first: 1, last: 4094 });
  for (const id of [10, 11, 13]) pool.take(id);
  expect(pool.lowestFree([{ first: 10, last: 20 }])).toBe(12);
  expect(
    pool.lowestFree([
      { first: 100, last: 200 },
      { first: 10, last: 11 },
    ]),
  ).toBe(100);
  expect(pool.lowestFree([{ first: 10, last: 11 }])).toBeUndefined();
  expect([...pool.takenRanges()]).toEqual([
    { first: 10, last: 11 },
    { first: 13, last: 13 },
  ]);
});

it("does not give an id again that was just freed", () => {
  const pool = emptyIdPool({ first: 1, last: 3 });
  pool.take(1);
  pool.take(2);
  pool.release(2);
  expect(pool.nextFree()).toBe(3);
  pool.take(3);
  expect(pool.nextFree()).toBe(2);
  pool.take(2);
  expect(pool.nextFree()).toBeUndefined();
});

it("never gives an id that is taken, and finds every free one", () => {
  fc.assert(
    fc.property(fc.array(fc.record({ free: fc.boolean(), id: fc.integer({ min: 1, max: 12 }) })), (steps) => {
      const pool = emptyIdPool({ first: 1, last: 12 });
      const taken = new Set<number>();
      for (const { free, id } of steps) {
        const next = free ? undefined : pool.nextFree();
        if (free) pool.release(id);
        else if (next !== undefined) pool.take(next);
        if (free) taken.delete(id);
        else if (next !== undefined) expect(taken.has(next)).toBe(false);
        if (next !== undefined) taken.add(next);
      }
      const left = 12 - taken.size;
      for (let count = 0; count < left; count += 1) pool.take(pool.nextFree() ?? 0);
      expect(pool.takenCount).toBe(12);
      expect(pool.isTaken(0)).toBe(false);
    }),
  );
});
