import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { NetError } from "../errors.ts";
import { poll, repeat, retry } from "./repeat.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("repetition", () => {
  it("works at once and after each pause, whatever fails, until its signal", async () => {
    const ending = new AbortController();
    const errors: string[] = [];
    let times = 0;
    const work = () => {
      times += 1;
      if (times === 2) throw new Error("once");
    };
    const report = ({ message }: NetError) => void errors.push(message);
    const running = repeat(work, { everyMs: () => 100 * times, doing: "look", signal: ending.signal, report });
    expect(times).toBe(1);
    for (const pauseMs of [100, 200, 300]) {
      const before = times;
      await vi.advanceTimersByTimeAsync(pauseMs - 1);
      expect(times).toBe(before);
      await vi.advanceTimersByTimeAsync(1);
      expect(times).toBe(before + 1);
    }
    ending.abort();
    await running;
    expect(errors).toEqual([expect.stringContaining("once")]);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("a poll", () => {
  it("asks until there is an answer", async () => {
    let asked = 0;
    const answer = poll(() => (++asked === 3 ? "here" : undefined), { everyMs: 50, timeoutMs: 1_000 });
    await vi.advanceTimersByTimeAsync(100);
    expect([await answer, asked]).toEqual(["here", 3]);
  });

  it("ends without one when the time is over, and with the signal's reason", async () => {
    const late = poll(async () => undefined, { everyMs: 50, timeoutMs: 120 });
    await vi.advanceTimersByTimeAsync(150);
    expect(await late).toBeUndefined();
    const ending = new AbortController();
    const given = expect(poll(() => undefined, { everyMs: 50, signal: ending.signal })).rejects.toThrow("the end");
    ending.abort(new Error("the end"));
    await given;
  });
});

describe("a retry", () => {
  const attemptsOf = (failures: number) => {
    const state = { attempts: 0 };
    const attempt = async () => {
      state.attempts += 1;
      if (state.attempts <= failures) throw new Error(`no ${state.attempts}`);
      return state.attempts;
    };
    return { state, attempt };
  };

  it("goes on while it may", async () => {
    const { attempt } = attemptsOf(2);
    const outcome = retry(attempt, { pauseMs: 10, mayRetry: () => true });
    await vi.advanceTimersByTimeAsync(20);
    expect(await outcome).toBe(3);
  });

  it("ends with an error that no retry mends, and after its signal", async () => {
    const { attempt } = attemptsOf(5);
    const final = expect(
      retry(attempt, { pauseMs: 10, mayRetry: (error) => !String(error).includes("no 2") }),
    ).rejects.toThrow("no 2");
    await vi.advanceTimersByTimeAsync(10);
    await final;
    const { state, attempt: other } = attemptsOf(5);
    const ending = new AbortController();
    const ended = expect(retry(other, { pauseMs: 10, mayRetry: () => true, signal: ending.signal })).rejects.toThrow();
    await vi.advanceTimersByTimeAsync(5);
    ending.abort();
    await ended;
    expect(state.attempts).toBe(2); // the last one tells of the signal
  });
});
