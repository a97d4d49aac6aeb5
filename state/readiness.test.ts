import { expect, it } from "vitest";
import { type Judgement, READY, Readiness, ReadinessWatch } from "./readiness.ts";

function fixture() {
  const lines: unknown[] = [];
  const write = (level: string) => (fields: object, message: string) => void lines.push([level, message, fields]);
  const now = { judged: { state: "starting", reasons: ["connecting"] } as Judgement, ms: 0, changes: 0 };
  const watch = new ReadinessWatch({
    ...{ daemon: "netplugin", judge: () => now.judged, now: () => now.ms },
    log: { debug: () => undefined, info: write("info"), warn: write("warn") },
    onChange: () => {
      now.changes += 1;
    },
  });
  return { lines, watch, now };
}

it("each change of state is one line with the reasons and the state before", () => {
  const { lines, watch, now } = fixture();
  now.ms = 1_500;
  now.judged = READY;
  watch.look();
  watch.look();
  now.ms = 4_000;
  now.judged = { state: "not-ready", reasons: ["no switch: after 1 ms"] };
  expect(watch.look()).toEqual({ ...now.judged, since: "1970-01-01T00:00:04.000Z" });
  expect(lines).toEqual([
    ["info", "netplugin is ready", { state: "ready", previousState: "starting", previousMs: 1_500 }],
    ["warn", "netplugin is not-ready", { ...now.judged, previousState: "ready", previousMs: 2_500 }],
  ]);
});

it("a reason whose details change is told as it is, and logged once; another reason is logged", () => {
  const { lines, watch, now } = fixture();
  for (const reason of ["no switch: after 1 ms", "no switch: after 2 ms", "no netmaster: refused"]) {
    now.ms += 1_000;
    now.judged = { state: "not-ready", reasons: [reason] };
    expect(watch.look()).toEqual({ ...now.judged, since: "1970-01-01T00:00:01.000Z" });
  }
  expect(lines.map((line) => (line as unknown[])[1])).toEqual([
    "netplugin is not-ready",
    "netplugin is not-ready for another reason",
  ]);
  expect(now.changes).toBe(3);
});

it("of many reasons the first are told", () => {
  const { watch, now } = fixture();
  now.judged = {
    state: "degraded",
    reasons: Array.from({ length: 30 }, (_, index) => `${index}: ${"x".repeat(3_000)}`),
  };
  const told = watch.look();
  expect(Readiness.parse(told)).toEqual(told);
  expect(told.reasons.at(-1)).toBe("and 11 more");
});
