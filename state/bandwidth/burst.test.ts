import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { burstOf, type Limiter } from "./burst.ts";

const frameBytes = 1_464;
const burst = (limiter: Limiter, rateBitPerSecond: number, burstBits?: number) =>
  burstOf({ limiter, rateBitPerSecond, frameBytes, ...(burstBits === undefined ? {} : { burstBits }) });

describe("bursts", () => {
  it.each<[Limiter, number, number]>([
    ["police", 1e6, 1e6],
    ["police", 1_000, 524_288],
    ["police", 1e9, 1e9],
    ["police", 1e12, 4e9],
    ["meter", 20e6, 20e6],
    ["meter", 1_000, 524_288],
    ["tbf", 1e6, 262_144],
    ["tbf", 1e9, 10e6],
  ])("of a %s at %d bit/s are %d bit when nobody stated one", (limiter, rate, bits) => {
    expect(burst(limiter, rate)).toEqual({ burstBits: bits, note: undefined });
    expect(burst(limiter, rate, 4_294_967_295)).toEqual({ burstBits: bits, note: undefined });
  });

  it.each<[Limiter, number, number, RegExp]>([
    ["tbf", 1, frameBytes * 8, /less than one frame/],
    ["meter", 8_000, frameBytes * 8, /less than one frame/],
    ["police", 100_000, 524_288, /less than one frame/],
    ["tbf", 5e9, 262_144, /absurd/],
    ["police", 2 ** 31, 1e6, /absurd/],
    ["meter", Number.MAX_SAFE_INTEGER, 1e6, /absurd/],
  ])("of a %s that are stated as %d become %d bit, and that is said", (limiter, stated, bits, note) => {
    const answer = burst(limiter, 1e6, stated);
    expect(answer.burstBits).toBe(bits);
    expect(answer.note).toMatch(note);
  });

  it("always hold a frame, never more than 4 Gbit, and are the stated one where that works", () => {
    const limiter = fc.constantFrom<Limiter>("tbf", "police", "meter");
    const stated = fc.option(fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), { nil: undefined });
    fc.assert(
      fc.property(limiter, fc.integer({ min: 1_000, max: 1e15 }), stated, (kind, rate, bits) => {
        const answer = burst(kind, rate, bits);
        expect(answer.burstBits).toBeGreaterThanOrEqual(frameBytes * 8);
        expect(answer.burstBits).toBeLessThanOrEqual(4e9);
        if (bits !== undefined && bits >= 524_288 && bits < 2 ** 31) expect(answer.burstBits).toBe(bits);
      }),
    );
  });
});
