import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createRetryTimer } from "./retry-timer.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function timer() {
  const ending = new AbortController();
  const state = { acts: 0 };
  const act = () => {
    state.acts += 1;
  };
  return {
    state,
    ending,
    ...createRetryTimer({ act, signal: ending.signal, minMs: 100, maxMs: 400, random: () => 0.5 }),
  };
}

describe("a retry timer", () => {
  it("pauses longer each time, up to its limit, while it is needed", () => {
    const { state, look } = timer();
    for (const pauseMs of [100, 200, 400, 400]) {
      const before = state.acts;
      look(true);
      vi.advanceTimersByTime(pauseMs - 1);
      look(true); // others' rounds do not put it off
      expect(state.acts).toBe(before);
      vi.advanceTimersByTime(1);
      expect(state.acts).toBe(before + 1);
    }
    look(false);
    vi.advanceTimersByTime(10_000);
    expect(state.acts).toBe(4);
    look(true);
    vi.advanceTimersByTime(100);
    expect(state.acts).toBe(5);
  });

  it("is quick again when there is hope, and ends with its signal", () => {
    const { state, look, ending } = timer();
    for (const pauseMs of [100, 200]) {
      look(true);
      vi.advanceTimersByTime(pauseMs);
    }
    look(true);
    look(true, true);
    vi.advanceTimersByTime(100);
    expect(state.acts).toBe(3);
    look(true);
    ending.abort();
    look(true);
    vi.advanceTimersByTime(10_000);
    expect(state.acts).toBe(3);
  });
});
