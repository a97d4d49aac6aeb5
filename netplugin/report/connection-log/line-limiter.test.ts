import { describe, expect, it } from "vitest";
import { createLineLimiter } from "./line-limiter.ts";

const LIMITS = { linesPerSecond: 5, ruleLinesPerSecond: 2, foldMs: 5_000 };
/** Four seconds' worth. */
const [NODE_BURST, RULE_BURST] = [20, 8];

/** Samples of connections that are all different. */
function flood(limiter: ReturnType<typeof createLineLimiter>, rule: string, count: number, nowMs: number): number {
  const outcomes = Array.from({ length: count }, (_, index) => limiter.admit(rule, `${nowMs}-${index}`, nowMs).outcome);
  return outcomes.filter((outcome) => outcome === "logged").length;
}

describe("lines", () => {
  it("are one per connection within the time, which then says how often it came", () => {
    const limiter = createLineLimiter(LIMITS);
    const at = (nowMs: number, connection = "c", rule = "r") => limiter.admit(rule, connection, nowMs);
    expect(at(0)).toEqual({ outcome: "logged", repeats: 0, suppressed: 0 });
    expect([at(1_000), at(3_000), at(4_999)].map(({ outcome }) => outcome)).toEqual(["folded", "folded", "folded"]);
    expect(at(4_000, "d").outcome).toBe("logged");
    expect(at(4_000, "c", "s").outcome).toBe("logged");
    expect(at(5_000)).toEqual({ outcome: "logged", repeats: 3, suppressed: 0 });
    expect(at(11_000)).toEqual({ outcome: "logged", repeats: 0, suppressed: 0 });
  });

  it("are limited for each rule; the next one says how many were left out", () => {
    const limiter = createLineLimiter(LIMITS);
    expect(flood(limiter, "r", 100, 1_000)).toBe(RULE_BURST);
    expect(limiter.admit("other", "c", 1_000).outcome).toBe("logged");
    expect(limiter.admit("r", "c", 1_499).outcome).toBe("suppressed");
    expect(limiter.admit("r", "c", 1_500)).toEqual({ outcome: "logged", repeats: 0, suppressed: 93 });
    expect(limiter.admit("r", "d", 2_000)).toEqual({ outcome: "logged", repeats: 0, suppressed: 0 });
  });

  it("are limited for the node", () => {
    const limiter = createLineLimiter(LIMITS);
    const logged = Array.from({ length: 10 }, (_, index) => flood(limiter, `r${index}`, 10, 1_000));
    expect(logged.reduce((sum, count) => sum + count)).toBe(NODE_BURST);
    expect(flood(limiter, "r9", 100, 2_000)).toBe(LIMITS.linesPerSecond);
  });

  it("that were left out are told of once, when no line came since", () => {
    const limiter = createLineLimiter(LIMITS);
    flood(limiter, "r", 100, 1_000);
    expect(limiter.sweep(5_000)).toEqual([]);
    expect(limiter.sweep(12_000)).toEqual([{ rule: "r", suppressed: 100 - RULE_BURST }]);
    expect(limiter.sweep(30_000)).toEqual([]);
    expect(flood(limiter, "r", 100, 31_000)).toBe(RULE_BURST);
  });

  it("of more connections than are remembered begin anew", () => {
    const limiter = createLineLimiter({ ...LIMITS, linesPerSecond: 10_000, ruleLinesPerSecond: 10_000 });
    expect(flood(limiter, "r", 5_000, 0)).toBe(5_000);
    expect(limiter.admit("r", "0-4999", 1).outcome).toBe("folded");
    expect(limiter.admit("r", "0-0", 1).outcome).toBe("logged");
  });
});
