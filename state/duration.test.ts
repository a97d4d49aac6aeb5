import { describe, expect, it } from "vitest";
import { durationText, parseDurationMs } from "./duration.ts";

describe("durations", () => {
  it.each([
    ["500ms", 500],
    ["15s", 15_000],
    ["15", 15_000],
    ["2m", 120_000],
    ["1h", 3_600_000],
  ])("%s", (text, expected) => expect(parseDurationMs(text)).toBe(expected));

  it.each(["", "0", "0s", "-1s", "1.5s", "1d", "s", "15 s", "15S"])("refuses %s", (text) => {
    expect(() => parseDurationMs(text)).toThrow(/is not a duration such as 500ms, 15s, 10m or 1h/);
  });

  it("may be 0 where that means something, and have bounds that are told", () => {
    const bounds = { minMs: 0, maxMs: 60_000 };
    expect(["0", "0s", "0ms", "60", "1m"].map((text) => parseDurationMs(text, bounds))).toEqual([0, 0, 0, 60e3, 60e3]);
    expect(() => parseDurationMs("61s", bounds)).toThrow('"61s" is not within 0s to 1m');
    expect(() => parseDurationMs("500ms", { minMs: 1_000, maxMs: 3_600_000 })).toThrow("is not within 1s to 1h");
  });

  it.each([
    [0, "0s"],
    [500, "500ms"],
    [1_500, "1500ms"],
    [60_000, "1m"],
    [90_000, "90s"],
    [3_600_000, "1h"],
  ])("%i ms is %s", (valueMs, text) => expect(durationText(valueMs)).toBe(text));
});
