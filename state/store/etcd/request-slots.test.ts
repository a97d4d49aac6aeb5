import { expect, test } from "vitest";
import type { LeaseId } from "../store.ts";
import { RequestSlots } from "./request-slots.ts";

function newSlots(): { slots: RequestSlots; grants: number[]; moveMs: (byMs: number) => void } {
  let nowMs = 0;
  const grants: number[] = [];
  const slots = new RequestSlots({
    prefix: "/r/",
    ttlS: 600,
    grant: async (ttlS) => {
      grants.push(nowMs);
      return { id: String(grants.length) as LeaseId, ttlMs: ttlS * 1_000 };
    },
    nowMs: () => nowMs,
  });
  return {
    slots,
    grants,
    moveMs: (byMs) => {
      nowMs += byMs;
    },
  };
}

test("commits at the same time have different slots; a slot comes back with its revision", async () => {
  const { slots, grants } = newSlots();
  const [one, two] = await Promise.all([slots.take(), slots.take()]);
  expect(one.key).not.toBe(two.key);
  expect(one.modRevision).toBe("0");
  expect(grants).toEqual([0]);
  slots.release(one, "17");
  expect(await slots.take()).toMatchObject({ key: one.key, modRevision: "17" });
});

test("the lease is replaced at half its life, and slots of the old one are not used near its end", async () => {
  const { slots, grants, moveMs } = newSlots();
  const idle = await slots.take();
  const busy = await slots.take();
  slots.release(idle, "1");
  moveMs(310_000);
  await slots.take();
  await Promise.resolve();
  expect(grants).toEqual([0, 310_000]);
  slots.release(busy, "2");
  moveMs(100_000);
  const renewed = await slots.take();
  expect(renewed).toMatchObject({ key: busy.key, modRevision: "2", lease: "2" });
  slots.release(renewed, "3");
  moveMs(140_000); // 550 s after the start: what only the first lease holds is about to vanish
  expect(await slots.take()).toMatchObject({ key: busy.key, modRevision: "3" });
  expect((await slots.take()).key).not.toBe(idle.key);
});

test("after the server lost the lease nothing of it is used again", async () => {
  const { slots, grants } = newSlots();
  const slot = await slots.take();
  slots.release(slot, "5");
  slots.forgetLease(slot.lease);
  const fresh = await slots.take();
  expect(fresh.key).not.toBe(slot.key);
  expect(fresh.lease).toBe("2");
  expect(grants).toHaveLength(2);
});
