import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createAlarm, every } from "./alarm.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("an alarm", () => {
  it("acts once after its time; what is set stays, unless it is set anew", () => {
    const act = vi.fn();
    const alarm = createAlarm(act, new AbortController().signal);
    alarm.soon(100);
    vi.advanceTimersByTime(60);
    alarm.soon(100);
    expect(alarm.isSet).toBe(true);
    vi.advanceTimersByTime(40);
    expect(act).toHaveBeenCalledTimes(1);
    expect(alarm.isSet).toBe(false);
    alarm.anew(100);
    vi.advanceTimersByTime(60);
    alarm.anew(100);
    vi.advanceTimersByTime(99);
    expect(act).toHaveBeenCalledTimes(1);
    vi.advanceTimersByTime(1);
    expect(act).toHaveBeenCalledTimes(2);
  });

  it("is silent when it was cancelled, and after its signal", () => {
    const act = vi.fn();
    const ending = new AbortController();
    const alarm = createAlarm(act, ending.signal);
    alarm.soon(10);
    alarm.cancel();
    vi.advanceTimersByTime(20);
    alarm.soon(10);
    ending.abort();
    alarm.anew(10);
    expect(vi.getTimerCount()).toBe(0);
    expect(act).not.toHaveBeenCalled();
  });

  it("acts at a time, not before", () => {
    const act = vi.fn();
    const alarm = createAlarm(act, new AbortController().signal);
    alarm.at(performance.now() + 49.5);
    vi.advanceTimersByTime(49);
    expect(act).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(act).toHaveBeenCalledTimes(1);
    alarm.at(performance.now() - 10);
    alarm.at(undefined);
    vi.advanceTimersByTime(100);
    expect(act).toHaveBeenCalledTimes(1);
  });

  it("may be set again by what it does", () => {
    let rounds = 0;
    const alarm = createAlarm(() => {
      rounds += 1;
      if (rounds < 3) alarm.soon(10);
    }, new AbortController().signal);
    alarm.soon(10);
    vi.advanceTimersByTime(100);
    expect(rounds).toBe(3);
  });
});

it("acts every so often until the signal", () => {
  const act = vi.fn();
  const ending = new AbortController();
  every(10, act, ending.signal);
  vi.advanceTimersByTime(35);
  ending.abort();
  every(10, act, ending.signal);
  vi.advanceTimersByTime(35);
  expect(act).toHaveBeenCalledTimes(3);
});
