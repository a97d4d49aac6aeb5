import { describe, expect, it } from "vitest";
import { NetError } from "../../state/errors.ts";
import { createCallQueue } from "./call-queue.ts";
import { runningMax } from "./transport.ts";

function pending() {
  const ends: (() => void)[] = [];
  const start = () => new Promise<void>((resolve) => ends.push(resolve));
  return { start, ends };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe("the call queue", () => {
  it("runs so many at a time, the others in order", async () => {
    const queue = createCallQueue({ runningMax: 2, waitingMax: 10 });
    const order: number[] = [];
    const { start, ends } = pending();
    const all = [0, 1, 2, 3].map((n) =>
      queue.run(() => {
        order.push(n);
        return start();
      }),
    );
    await turn();
    expect(order).toEqual([0, 1]);
    ends[1]?.();
    await turn();
    expect(order).toEqual([0, 1, 2]);
    ends[0]?.();
    await turn();
    for (const end of ends) end();
    await Promise.all(all);
    expect(order).toEqual([0, 1, 2, 3]);
  });

  it("gives a place on after a failure, also one thrown at once", async () => {
    const queue = createCallQueue({ runningMax: 1, waitingMax: 10 });
    const fail = () => {
      throw new Error("no");
    };
    await expect(queue.run(fail)).rejects.toThrow("no");
    await expect(queue.run(() => Promise.reject(new Error("neither")))).rejects.toThrow("neither");
    expect(await queue.run(() => Promise.resolve(5))).toBe(5);
  });

  it("refuses more than may wait", async () => {
    const queue = createCallQueue({ runningMax: 1, waitingMax: 1 });
    const { start, ends } = pending();
    const running = [queue.run(start), queue.run(start)];
    await expect(queue.run(start)).rejects.toMatchObject({ code: "UNAVAILABLE", reason: "queue-full" });
    await turn();
    ends[0]?.();
    await turn();
    ends[1]?.();
    await Promise.all(running);
  });

  it("drops an aborted call that waits, and never starts it", async () => {
    const queue = createCallQueue({ runningMax: 1, waitingMax: 5 });
    const { start, ends } = pending();
    const controller = new AbortController();
    let started = false;
    const first = queue.run(start);
    const second = queue.run(async () => (started = true), { signal: controller.signal });
    controller.abort(new NetError("TIMEOUT", "enough"));
    await expect(second).rejects.toMatchObject({ code: "TIMEOUT", message: "enough" });
    await expect(queue.run(start, { signal: controller.signal })).rejects.toMatchObject({ code: "TIMEOUT" });
    await turn();
    ends[0]?.();
    await first;
    await turn();
    expect(started).toBe(false);
    expect(await queue.run(() => Promise.resolve("free"))).toBe("free");
  });
});

describe("threads for netlink", () => {
  it.each([
    [undefined, 2],
    ["", 2],
    ["x", 2],
    ["8", 6],
    ["1", 1],
    ["2", 1],
    ["1024", 6],
  ])("of a pool of %s are %d", (size, expected) => expect(runningMax(size)).toBe(expected));
});
