import { describe, expect, it } from "vitest";
import { createRetries } from "./retries.ts";

describe("retries", () => {
  it("come later with every failure, up to a limit, and at once after a success", () => {
    const retries = createRetries(() => 0.5);
    const pauses: number[] = [];
    let nowMs = 0;
    for (let count = 0; count < 9; count += 1) {
      retries.failed("a", nowMs);
      const atMs = retries.nextAtMs() ?? 0;
      pauses.push(atMs - nowMs);
      expect(retries.isDue("a", atMs - 1)).toBe(false);
      expect(retries.isDue("a", atMs)).toBe(true);
      nowMs = atMs;
    }
    expect(pauses).toEqual([250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000]);
    retries.succeeded("a");
    expect(retries.isDue("a", nowMs)).toBe(true);
    expect(retries.nextAtMs()).toBeUndefined();
  });

  it("are spread over time", () => {
    const [early, late] = [createRetries(() => 0), createRetries(() => 1)];
    early.hold("a", 0, 1_000);
    late.hold("a", 0, 1_000);
    expect([early.nextAtMs(), late.nextAtMs()]).toEqual([500, 1_500]);
  });

  it("know each other's time, and forget who is of no interest", () => {
    const retries = createRetries(() => 0.5);
    retries.hold("a", 0, 3_000);
    retries.hold("b", 0, 1_000);
    expect(retries.nextAtMs()).toBe(1_000);
    retries.keep(new Set(["a"]));
    expect(retries.nextAtMs()).toBe(3_000);
    expect(retries.isDue("b", 0)).toBe(true);
  });
});
