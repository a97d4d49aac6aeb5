import { setMaxListeners } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createSlots, createTurns, settledOrAborted } from "./turns.ts";

const NEVER = new AbortController().signal;
setMaxListeners(0, NEVER);

describe("turns", () => {
  it("keep the order within a key, whatever fails, and forget the key", async () => {
    const work = fc.record({
      key: fc.constantFrom("a", "b"),
      delayMs: fc.nat(3),
      fails: fc.boolean(),
      aborts: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(work, { maxLength: 12 }), async (works) => {
        const turns = createTurns();
        const running = new Set<string>();
        const done: Record<string, number[]> = { a: [], b: [] };
        const runs = works.map(({ key, delayMs, fails, aborts }, index) =>
          turns.run(key, aborts ? AbortSignal.abort(new Error("aborted")) : NEVER, async () => {
            expect(running.has(key)).toBe(false);
            running.add(key);
            await sleep(delayMs);
            running.delete(key);
            done[key]?.push(index);
            if (fails) throw new Error("failed");
          }),
        );
        await Promise.allSettled(runs);
        for (const order of Object.values(done)) expect(order).toEqual([...order].sort((left, right) => left - right));
        expect((done.a?.length ?? 0) + (done.b?.length ?? 0)).toBe(works.filter((item) => !item.aborts).length);
        await sleep(0);
        expect(turns.size).toBe(0);
      }),
      { numRuns: 30 },
    );
  });

  it("let nobody in before the first has finished when the second gives up", async () => {
    const turns = createTurns();
    const order: string[] = [];
    const first = turns.run("k", NEVER, async () => {
      await sleep(30);
      order.push("first");
    });
    const controller = new AbortController();
    const second = turns.run("k", controller.signal, async () => order.push("second"));
    controller.abort(new Error("gave up"));
    await expect(second).rejects.toThrow("gave up");
    await turns.run("k", NEVER, async () => order.push("third"));
    await first;
    expect(order).toEqual(["first", "third"]);
  });
});

describe("slots", () => {
  it("bound what runs at once and serve in order", async () => {
    const slots = createSlots(3);
    let running = 0;
    let most = 0;
    const order: number[] = [];
    const work = (index: number) => async (): Promise<void> => {
      running += 1;
      most = Math.max(most, running);
      order.push(index);
      await sleep(2);
      running -= 1;
    };
    await Promise.all(Array.from({ length: 20 }, (_, index) => slots.run(NEVER, work(index))));
    expect({ most, busy: slots.busy, waiting: slots.waiting }).toEqual({ most: 3, busy: 0, waiting: 0 });
    expect(order).toEqual([...order].sort((left, right) => left - right));
  });

  it("lose no slot to a waiter that gives up or a work that fails", async () => {
    const slots = createSlots(1);
    const controller = new AbortController();
    const first = slots.run(NEVER, async () => {
      await sleep(5);
      throw new Error("failed");
    });
    const second = slots.run(controller.signal, async () => "second");
    controller.abort(new Error("gave up"));
    await expect(second).rejects.toThrow("gave up");
    await expect(first).rejects.toThrow("failed");
    await expect(slots.run(NEVER, async () => "third")).resolves.toBe("third");
    expect(slots.busy).toBe(0);
  });
});

describe("settledOrAborted", () => {
  it("is whichever comes first", async () => {
    await expect(settledOrAborted(Promise.resolve(1), NEVER)).resolves.toBe(1);
    await expect(settledOrAborted(sleep(1_000), AbortSignal.timeout(1))).rejects.toThrow(/timeout/);
    await expect(settledOrAborted(Promise.reject(new Error("x")), NEVER)).rejects.toThrow("x");
  });
});
