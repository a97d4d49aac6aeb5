import { describe, expect, it } from "vitest";
import { putBackAgain, putBackWarning } from "./put-back.ts";

const AT_MS = Date.parse("2030-01-01T12:00:00.250Z");
const WHAT = "address 192.0.2.1/24 of cu-eth1";

/** What is told at a moment after it was put back at each of these. */
function told(putBackAtS: readonly number[], nowS: number): string | undefined {
  let last: Parameters<typeof putBackAgain>[0];
  for (const atS of putBackAtS) last = putBackAgain(last, WHAT, AT_MS + atS * 1_000);
  return putBackWarning(last, { bridge: "cu-eth1", nowMs: AT_MS + nowS * 1_000 });
}

describe("what was taken away from an uplink and put back", () => {
  it("is told with the time at which that ends", () => {
    expect(told([0], 0)).toBe(
      `somebody has taken away ${WHAT}; it was put back and the uplink works; this condition ends by itself at 2030-01-01T12:01:00Z; to change an address, add the new one to cu-eth1 before you delete the old one`,
    );
  });

  it.each<[string, readonly number[], number, boolean]>([
    ["never", [], 0, false],
    ["once, a moment ago", [0], 59, true],
    ["once, a minute ago", [0], 60, false],
    ["twice within 5 minutes, 4 minutes ago", [0, 200], 440, true],
    ["twice within 5 minutes, 5 minutes ago", [0, 200], 500, false],
    ["twice, not within 5 minutes", [0, 301], 362, false],
    ["later than now, by a clock that was set back", [0], -30, false],
  ])("%s: %j, seen at %i s: %s", (_, putBackAtS, nowS, isTold) => {
    expect(told(putBackAtS, nowS) !== undefined).toBe(isTold);
  });

  it("again and again: how often, and that somebody does it", () => {
    expect(told([0, 100, 390], 400)).toMatch(
      /ends by itself at 2030-01-01T12:11:30Z unless it happens again: it was 3 times, .*find the program that does it/,
    );
  });
});
