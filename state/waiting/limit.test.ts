import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { checkLimit, limitOf, waitFor, within } from "./limit.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const never = () => undefined;

describe("a wait within a limit", () => {
  it("ends with what is told first, and calls what ends it once", async () => {
    let stops = 0;
    const limit = limitOf("ask", {}, 100);
    const answer = await waitFor<string>(limit, (done, fail) => {
      done("one");
      done("two");
      fail(new Error("late"));
      return () => {
        stops += 1;
      };
    });
    expect([answer, stops, vi.getTimerCount()]).toEqual(["one", 1, 0]);
  });

  it("passes on what goes wrong, told or thrown", async () => {
    const limit = limitOf("ask", {}, 100);
    await expect(waitFor(limit, (_, fail) => void fail(new Error("no")) as undefined)).rejects.toThrow("no");
    const thrown = waitFor(limit, () => {
      throw new Error("never begun");
    });
    await expect(thrown).rejects.toThrow("never begun");
    expect(vi.getTimerCount()).toBe(0);
  });

  it.each([
    [limitOf("ask", {}, 20), "Cannot ask: no answer within 20 ms"],
    [limitOf("ask", { timeoutMs: 10 }, 20), "Cannot ask: no answer within 10 ms"],
    [{ ...limitOf("ask", {}, 20), lacking: "no success" }, "Cannot ask: no success within 20 ms"],
  ])("is over with its time", async ({ doing, signal, timeoutMs, ...rest }, message) => {
    const lacking = "lacking" in rest ? rest.lacking : undefined;
    const limit = { doing, signal, timeoutMs, expiresAtMs: performance.now() + timeoutMs, lacking };
    const waiting = expect(waitFor(limit, never)).rejects.toMatchObject({ code: "TIMEOUT", message });
    await vi.advanceTimersByTimeAsync(timeoutMs);
    await waiting;
  });

  it("has no time when only its signal ends it", async () => {
    const ending = new AbortController();
    const limit = limitOf("get the lock", { signal: ending.signal }, Number.POSITIVE_INFINITY);
    const waiting = expect(waitFor(limit, never)).rejects.toMatchObject({ code: "CLOSED" });
    expect(vi.getTimerCount()).toBe(0);
    ending.abort();
    await waiting;
  });

  it.each([
    ["TIMEOUT", {}],
    ["CLOSED", { lateCode: "CLOSED" as const }],
  ])("says %s when the caller's deadline has passed", async (code, words) => {
    const late = AbortSignal.abort(new DOMException("late", "TimeoutError"));
    const limit = { ...limitOf("ask", { signal: late }, 100), ...words };
    await expect(waitFor(limit, never)).rejects.toMatchObject({ code });
    expect(() => checkLimit(limit)).toThrow(expect.objectContaining({ code }));
  });

  it("does not begin when it is over before", async () => {
    const limit = limitOf("ask", { signal: AbortSignal.abort() }, 100);
    const start = vi.fn(never);
    await expect(waitFor(limit, start)).rejects.toMatchObject({ code: "CLOSED" });
    expect(start).not.toHaveBeenCalled();
    expect(() => checkLimit(limit)).toThrow("Cannot ask");
    const short = limitOf("ask", {}, 10);
    checkLimit(short);
    vi.advanceTimersByTime(11);
    expect(() => checkLimit(short)).toThrow("no answer within 10 ms");
  });
});

describe("work within a time", () => {
  it("is waited for so long, and what it does later is ignored", async () => {
    expect(await within(Promise.resolve("done"), { timeoutMs: 10, doing: "work" })).toBe("done");
    let fail: (error: Error) => void = never;
    const work = new Promise<void>((_, reject) => {
      fail = reject;
    });
    const waiting = expect(within(work, { timeoutMs: 10, doing: "work" })).rejects.toMatchObject({ code: "TIMEOUT" });
    await vi.advanceTimersByTimeAsync(10);
    await waiting;
    fail(new Error("nobody hears it"));
    await vi.advanceTimersByTimeAsync(1);
  });
});
