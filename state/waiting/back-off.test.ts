import fc from "fast-check";
import { expect, it } from "vitest";
import { around, BackOff, backOffMs, under } from "./back-off.ts";

const backoff = { spread: "under" as const, firstMs: 50, maxMs: 2_000 };

it.each([
  [1, 25, 50],
  [2, 50, 100],
  [3, 100, 200],
  [7, 1_000, 2_000],
  [10_000, 1_000, 2_000],
])("after %d failures it is %d to %d ms", (failures, leastMs, mostMs) => {
  expect(backOffMs(backoff, failures, () => 0)).toBe(leastMs);
  expect(backOffMs(backoff, failures, () => 0.999_999)).toBeCloseTo(mostMs, 1);
});

it("never passes its bound", () => {
  fc.assert(
    fc.property(fc.nat(), fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), (failures, random) => {
      const pauseMs = backOffMs(backoff, failures, () => random);
      expect(pauseMs).toBeGreaterThanOrEqual(backoff.firstMs / 2);
      expect(pauseMs).toBeLessThanOrEqual(backoff.maxMs);
    }),
  );
});

it("doubles from one failure to the next, and begins anew after a success", () => {
  const backOff = new BackOff({ firstMs: 100, maxMs: 400 }, () => 0.5);
  expect([1, 2, 3, 4].map(() => backOff.nextMs())).toEqual([100, 200, 400, 400]);
  backOff.reset();
  expect(backOff.nextMs()).toBe(100);
});

it.each([
  [around(1_000, 0.5, () => 0), 500],
  [around(1_000, 0.5, () => 1), 1_500],
  [around(1_000, 0.1, () => 0), 900],
  [around(1_000, 0.1, () => 0.5), 1_000],
  [under(1_000, () => 0), 500],
  [under(1_000, () => 1), 1_000],
])("spreads by chance: %d", (given, wanted) => expect(given).toBeCloseTo(wanted));
