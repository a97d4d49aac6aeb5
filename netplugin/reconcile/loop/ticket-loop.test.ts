import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { startTicketLoop } from "./ticket-loop.ts";

function world(work: (full: boolean) => Promise<void>) {
  const ending = new AbortController();
  const errors: string[] = [];
  const loop = startTicketLoop({
    work,
    signal: ending.signal,
    report: (error) => errors.push(error.message),
  });
  return { loop, errors, end: () => ending.abort(new Error("the end")), never: new AbortController().signal };
}

describe("ticket loop", () => {
  it("begins with a full round", async () => {
    const rounds: boolean[] = [];
    const { loop, end, never } = world(async (full) => void rounds.push(full));
    await loop.done(never);
    end();
    await loop.ended;
    expect(rounds[0]).toBe(true);
    expect(rounds.slice(1)).not.toContain(true);
  });

  it("serves everybody who asked while it worked with one round that began afterwards", async () => {
    let running = 0;
    let rounds = 0;
    const { loop, end, never } = world(async () => {
      expect(++running).toBe(1);
      await sleep(20);
      rounds++;
      running--;
    });
    await sleep(5);
    const warnings: Error[] = [];
    const onWarning = (warning: Error) => void warnings.push(warning);
    process.on("warning", onWarning);
    await Promise.all(Array.from({ length: 50 }, () => loop.done(never)));
    process.off("warning", onWarning);
    expect(warnings).toEqual([]);
    end();
    await loop.ended;
    expect(rounds).toBe(2);
  });

  it("tells the failure to those who wait, then tries again in full until it works", async () => {
    const rounds: boolean[] = [];
    const { loop, errors, end, never } = world(async (full) => {
      rounds.push(full);
      if (rounds.length < 3) throw new Error("no switch");
    });
    await expect(loop.done(never)).rejects.toThrow("no switch");
    await loop.done(never).catch(() => {});
    await loop.done(never);
    end();
    await loop.ended;
    expect(rounds.slice(0, 3)).toEqual([true, true, true]);
    expect(errors).toHaveLength(2);
  });

  it("lets a caller go when its signal aborts", async () => {
    const { loop, end } = world(() => sleep(1_000));
    const caller = new AbortController();
    const waiting = loop.done(caller.signal);
    caller.abort(new Error("deadline"));
    await expect(waiting).rejects.toThrow("deadline");
    end();
  });
});
