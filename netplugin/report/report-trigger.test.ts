import { describe, expect, it, vi } from "vitest";
import { createReportTrigger } from "./report-trigger.ts";

const never = new AbortController().signal;

/** Whether a promise has settled by now. */
async function isDone(promise: Promise<void>): Promise<boolean> {
  let done = false;
  void promise.then(() => {
    done = true;
  });
  await vi.advanceTimersByTimeAsync(0);
  return done;
}

describe("report trigger", () => {
  it("is due at the latest after the interval, and soon after a call", async () => {
    vi.useFakeTimers();
    try {
      const trigger = createReportTrigger(50);
      const first = trigger.due(3_000, never);
      await vi.advanceTimersByTimeAsync(2_999);
      expect(await isDone(first)).toBe(false);
      await vi.advanceTimersByTimeAsync(1);
      expect(await isDone(first)).toBe(true);
      const second = trigger.due(3_000, never);
      trigger.request();
      await vi.advanceTimersByTimeAsync(20);
      expect(await isDone(second)).toBe(false);
      trigger.request();
      await vi.advanceTimersByTimeAsync(30);
      expect(await isDone(second)).toBe(true);
      const third = trigger.due(3_000, never);
      await vi.advanceTimersByTimeAsync(1_000);
      expect(await isDone(third)).toBe(false);
      vi.clearAllTimers();
    } finally {
      vi.useRealTimers();
    }
  });

  it("remembers a call that came while nobody waited, and waits as long as it is told", async () => {
    vi.useFakeTimers();
    try {
      const trigger = createReportTrigger(50);
      trigger.setDelay(1_000);
      trigger.request();
      await vi.advanceTimersByTimeAsync(499);
      const early = trigger.due(100_000, never);
      expect(await isDone(early)).toBe(false);
      await vi.advanceTimersByTimeAsync(501);
      expect(await isDone(early)).toBe(true);
      trigger.request();
      await vi.advanceTimersByTimeAsync(1_000);
      expect(await isDone(trigger.due(100_000, never))).toBe(true);
    } finally {
      vi.useRealTimers();
    }
  });

  it("lets go when the signal aborts", async () => {
    const trigger = createReportTrigger(50);
    const ending = new AbortController();
    const due = trigger.due(60_000, ending.signal);
    ending.abort();
    await due;
    await trigger.due(60_000, ending.signal);
  });
});
