import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseBandwidthQuantity } from "./quantity.ts";

describe("bandwidth annotations", () => {
  it.each([
    ["10M", 10_000_000],
    ["1Mi", 1_048_576],
    ["1k", 1_000],
    ["1P", 1e15],
    ["0.001P", 1e12],
    ["1.5G", 1_500_000_000],
    ["1e6", 1_000_000],
    ["1E3", 1_000],
    ["5000", 5_000],
    ["5000000m", 5_000],
    ["1000.5", 1_001],
    ["+2M", 2_000_000],
    [".5M", 500_000],
    ["2.M", 2_000_000],
  ])("%s is %d bit/s", (text, bitPerSecond) => expect(parseBandwidthQuantity(text)).toBe(bitPerSecond));

  it.each([
    ["10m", /^must be 1k to 1P/],
    ["0", /^must be 1k to 1P/],
    ["999", /^must be 1k to 1P/],
    ["2P", /^must be 1k to 1P/],
    ["1E", /^must be 1k to 1P/],
    ["1e999", /^must be 1k to 1P/],
    ["-10M", /^is no quantity/],
    ["NaN", /^is no quantity/],
    ["10Mbps", /^is no quantity/],
    ["10 M", /^is no quantity/],
    ["10K", /^is no quantity/],
    ["1ki", /^is no quantity/],
    ["", /^is no quantity/],
    [".", /^is no quantity/],
    ["M", /^is no quantity/],
    ["1e9999", /^is no quantity/],
    ["1".repeat(100), /^is no quantity/],
  ])("refuses %j", (text, reason) => expect(parseBandwidthQuantity(text)).toMatch(reason));

  it("agrees with plain arithmetic", () => {
    const suffixes = { "": 1n, k: 1_000n, M: 1_000_000n, G: 10n ** 9n, Ki: 1_024n, Mi: 1_048_576n, Gi: 1n << 30n };
    fc.assert(
      fc.property(
        fc.integer({ min: 1_000, max: 9_999 }),
        fc.constantFrom(...Object.entries(suffixes)),
        (count, [suffix, factor]) => {
          expect(parseBandwidthQuantity(`${count}${suffix}`)).toBe(Number(BigInt(count) * factor));
        },
      ),
    );
  });

  it("answers any text with a number in range or a reason", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const answer = parseBandwidthQuantity(text);
        if (typeof answer === "number")
          expect(answer >= 1_000 && answer <= 1e15 && Number.isInteger(answer)).toBe(true);
        else expect(answer).toMatch(/^(is|must)/);
      }),
    );
  });
});
