import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type AnnounceSchedule, createAnnounceSchedule } from "./schedule.ts";

function announcement(name: string) {
  return { endpointKey: name, epoch: "1" };
}

function names(schedule: AnnounceSchedule, nowMs: number): string[] {
  return schedule.due(nowMs).map(({ endpointKey }) => endpointKey);
}

/** Every packet as it would be sent by somebody who is always on time. */
function drain(schedule: AnnounceSchedule): { readonly atMs: number; readonly name: string }[] {
  const sent: { atMs: number; name: string }[] = [];
  for (let atMs = schedule.nextAtMs(); atMs !== undefined; atMs = schedule.nextAtMs()) {
    for (const name of names(schedule, atMs)) sent.push({ atMs, name });
  }
  return sent;
}

describe("announce schedule", () => {
  it("sends three packets: at once, after 200 ms, after 1 s", () => {
    const schedule = createAnnounceSchedule({ burstsPerSecond: 2, burstsMax: 10 });
    expect(schedule.nextAtMs()).toBeUndefined();
    schedule.add(announcement("a"), 5_000);
    expect(drain(schedule)).toEqual([
      { atMs: 5_000, name: "a" },
      { atMs: 5_200, name: "a" },
      { atMs: 6_000, name: "a" },
    ]);
  });

  it("tells what is due once, also when it is asked late", () => {
    const schedule = createAnnounceSchedule({ burstsPerSecond: 2, burstsMax: 10 });
    schedule.add(announcement("a"), 0);
    expect(names(schedule, 300)).toEqual(["a", "a"]);
    expect(names(schedule, 300)).toEqual([]);
    expect(schedule.nextAtMs()).toBe(1_000);
  });

  it("leaves out what is too much", () => {
    const schedule = createAnnounceSchedule({ burstsPerSecond: 1, burstsMax: 2 });
    expect(["a", "b", "c"].map((name) => schedule.add(announcement(name), 0))).toEqual([true, true, false]);
    expect(drain(schedule).filter(({ name }) => name === "c")).toEqual([]);
    expect(schedule.add(announcement("d"), 9_000)).toBe(true);
  });

  it("begins no more bursts in any second than allowed, and loses none", () => {
    const arrivals = fc.array(fc.nat(400), { maxLength: 60 });
    fc.assert(
      fc.property(arrivals, fc.integer({ min: 1, max: 5 }), (gapsMs, burstsPerSecond) => {
        const schedule = createAnnounceSchedule({ burstsPerSecond, burstsMax: 100 });
        let nowMs = 0;
        for (const [index, gapMs] of gapsMs.entries()) {
          nowMs += gapMs;
          schedule.add(announcement(`e${index}`), nowMs);
        }
        const sent = drain(schedule);
        expect(sent).toHaveLength(gapsMs.length * 3);
        const first = new Map<string, number>();
        for (const { atMs, name } of sent) if (!first.has(name)) first.set(name, atMs);
        const begun = [...first.values()];
        for (const [index, atMs] of begun.entries()) {
          const before = begun[index - burstsPerSecond];
          if (before !== undefined) expect(atMs - before).toBeGreaterThanOrEqual(1_000);
        }
      }),
    );
  });
});
