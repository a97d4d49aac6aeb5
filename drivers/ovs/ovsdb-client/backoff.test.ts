import fc from "fast-check";
import { expect, it } from "vitest";
import { backoffMs } from "./backoff.ts";

const backoff = { firstMs: 50, maxMs: 2_000 };

it.each([
  [1, 25, 50],
  [2, 50, 100],
  [3, 100, 200],
  [7, 1_000, 2_000],
  [10_000, 1_000, 2_000],
])("after %d failures it is %d to %d ms", (failures, leastMs, mostMs) => {
  expect(backoffMs(backoff, failures, () => 0)).toBe(leastMs);
  expect(backoffMs(backoff, failures, () => 0.999_999)).toBeCloseTo(mostMs, 1);
});

it("never passes its bound", () => {
  fc.assert(
    fc.property(fc.nat(), fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), (failures, random) => {
      const pauseMs = backoffMs(backoff, failures, () => random);
      expect(pauseMs).toBeGreaterThanOrEqual(backoff.firstMs / 2);
      expect(pauseMs).toBeLessThanOrEqual(backoff.maxMs);
    }),
  );
});
