import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { deadline } from "./deadline.ts";

describe("a deadline", () => {
  it("aborts after its time, with the error that AbortSignal.timeout has", async () => {
    using limit = deadline(10, new AbortController().signal, undefined);
    await sleep(50);
    expect(limit.signal.aborted).toBe(true);
    expect(limit.signal.reason).toMatchObject({ name: "TimeoutError" });
  });

  it("aborts with any of its sources, with their reason, also when that was before", () => {
    const [first, second] = [new AbortController(), new AbortController()];
    using limit = deadline(10_000, first.signal, second.signal);
    second.abort("enough");
    expect(limit.signal.reason).toBe("enough");
    using late = deadline(10_000, second.signal);
    expect(late.signal.reason).toBe("enough");
  });

  it("is silent once it is disposed of", async () => {
    const source = new AbortController();
    const limit = deadline(5, source.signal);
    limit[Symbol.dispose]();
    source.abort();
    await sleep(30);
    expect(limit.signal.aborted).toBe(false);
  });

  it("holds when memory is collected", async () => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    const outer = new AbortController();
    const ended = new Promise((resolve) => waitFor(outer.signal, resolve));
    for (let round = 0; round < 5; round++) {
      await sleep(10);
      collect();
    }
    expect(await Promise.race([ended, sleep(2_000, "never")])).toBe("ended");
  });
});

/** Keeps nothing but a listener on the signal, as a request does. */
function waitFor(outer: AbortSignal, resolve: (text: string) => void): void {
  const { signal } = deadline(200, outer);
  signal.addEventListener("abort", () => resolve("ended"), { once: true });
}
