import { describe, expect, it } from "vitest";
import { NetError } from "../errors.ts";
import { abortError, linkSignals, onAbort, throwIfAborted } from "./signals.ts";

describe("the error of a wait that was given up", () => {
  it.each([
    ["a deadline", new DOMException("late", "TimeoutError"), "TIMEOUT", "Cannot ask: the caller's deadline passed"],
    ["anything else", new Error("enough"), "CLOSED", "Cannot ask: the caller gave up"],
    ["a NetError, which passes", new NetError("UNAVAILABLE", "no leader"), "UNAVAILABLE", "no leader"],
  ])("names %s", (_, reason, code, message) => {
    const signal = AbortSignal.abort(reason);
    expect(abortError(signal, "ask")).toMatchObject({ code, message });
    expect(() => throwIfAborted(signal, "ask")).toThrow(message);
  });

  it("is not thrown before the signal, nor without one", () => {
    throwIfAborted(undefined, "ask");
    throwIfAborted(new AbortController().signal, "ask");
  });
});

describe("a listener on a signal", () => {
  it("is called once, with the reason; at once when it comes late; never when it was cancelled", () => {
    const ending = new AbortController();
    const heard: unknown[] = [];
    onAbort(ending.signal, (reason) => heard.push(reason));
    onAbort(ending.signal, () => heard.push("cancelled"))();
    onAbort(undefined, () => heard.push("nobody"))();
    ending.abort("end");
    expect(heard).toEqual(["end"]);
    onAbort(ending.signal, (reason) => heard.push(`late ${reason}`));
    expect(heard).toEqual(["end", "late end"]);
  });

  it("may be one of many without a warning", async () => {
    const warnings: Error[] = [];
    const note = (warning: Error) => warnings.push(warning);
    process.on("warning", note);
    const { signal } = new AbortController();
    for (let count = 0; count < 30; count++) onAbort(signal, () => undefined);
    await new Promise((resolve) => setImmediate(resolve));
    process.off("warning", note);
    expect(warnings).toEqual([]);
  });
});

describe("linked signals", () => {
  it("follow any of their sources, until they are disposed of", () => {
    const [first, second] = [new AbortController(), new AbortController()];
    const link = linkSignals(first.signal, undefined, second.signal);
    const over = linkSignals(second.signal);
    over[Symbol.dispose]();
    second.abort("enough");
    expect(link.signal.reason).toBe("enough");
    expect(over.signal.aborted).toBe(false);
  });
});
