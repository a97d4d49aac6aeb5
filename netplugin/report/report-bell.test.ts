import { describe, expect, it, vi } from "vitest";
import { createReportBell } from "./report-bell.ts";

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

describe("report bell", () => {
  it("is due at the latest after the interval, and soon after a call", async () => {
    vi.useFakeTimers();
    try {
      const bell = createReportBell(50);
      const first = bell.due(3_000, never);
      await vi.advanceTimersByTimeAsync(2_999);
      expect(await isDone(first)).toBe(false);
      await vi.advanceTimersByTimeAsync(1);
      expect(await isDone(first)).toBe(true);
      const second = bell.due(3_000, never);
      bell.ring();
      await vi.advanceTimersByTimeAsync(20);
      expect(await isDone(second)).toBe(false);
      bell.ring();
      await vi.advanceTimersByTimeAsync(30);
      expect(await isDone(second)).toBe(true);
      const third = bell.due(3_000, never);
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
      const bell = createReportBell(50);
      bell.setDelay(1_000);
      bell.ring();
      await vi.advanceTimersByTimeAsync(499);
      const early = bell.due(100_000, never);
      expect(await isDone(early)).toBe(false);
      await vi.advanceTimersByTimeAsync(501);
      expect(await isDone(early)).toBe(true);
      bell.ring();
      await vi.advanceTimersByTimeAsync(1_000);
      expect(await isDone(bell.due(100_000, never))).toBe(true);
    } finally {
      vi.useRealTimers();
    }
  });

  it("lets go when the signal aborts", async () => {
    const bell = createReportBell(50);
    const ending = new AbortController();
    const due = bell.due(60_000, ending.signal);
    ending.abort();
    await due;
    await bell.due(60_000, ending.signal);
  });
});
