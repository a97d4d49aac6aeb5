import { expect, it } from "vitest";
import { NetError } from "../errors.ts";
import { manualClock } from "../waiting/clock.ts";
import { nextTurn } from "../waiting/pause.ts";
import { holdLease } from "./lease.ts";
import type { LeaseId } from "./store.ts";

const TTL_S = 4;

/** A lease of a store that can be away; nobody beats for it. */
async function ground() {
  const clock = manualClock();
  const state = { refusal: undefined as NetError | undefined, isHeld: true, revokes: 0 };
  const lease = await holdLease(
    {
      grant: async () => ({ id: "7" as LeaseId, ttlMs: TTL_S * 1_000 }),
      keepAlive: () => Promise.reject(new Error("not asked for")),
      revoke: async () => {
        state.revokes += 1;
        if (state.refusal !== undefined) throw state.refusal;
        state.isHeld = false;
      },
    },
    { ttlS: TTL_S, clock, report: () => undefined, keeper: () => new Promise(() => undefined) },
  );
  const pass = async (ms: number) => {
    for (let passedMs = 0; passedMs < ms; passedMs += 100) {
      clock.advance(100);
      await nextTurn();
    }
  };
  return { state, lease, pass };
}

it("gives a lease that may be gone back as soon as the store answers again", async () => {
  const { state, lease, pass } = await ground();
  state.refusal = new NetError("UNAVAILABLE", "the store is away");
  await pass(3_100);
  expect(lease.lost.aborted).toBe(true);
  await pass(30_000);
  expect(state.isHeld).toBe(true);
  state.refusal = undefined;
  await pass(1_600);
  expect(state.isHeld).toBe(false);
  const { revokes } = state;
  await pass(60_000);
  expect(state.revokes).toBe(revokes);
});

it.each([
  ["refuses it", "FORBIDDEN"],
  ["was closed here", "CLOSED"],
] as const)("gives up when the store %s", async (_what, code) => {
  const { state, lease, pass } = await ground();
  state.refusal = new NetError(code, "no");
  await lease.revoke();
  await pass(60_000);
  expect(state.revokes).toBe(1);
});

it("lets nobody wait for a lease that cannot be given back, and does not try for ever", async () => {
  const { state, lease, pass } = await ground();
  state.refusal = new NetError("UNAVAILABLE", "the store is away");
  await lease.revoke();
  expect(state.revokes).toBe(1);
  await pass(700_000);
  const { revokes } = state;
  expect(revokes).toBeGreaterThan(100);
  await pass(60_000);
  expect(state.revokes).toBe(revokes);
});
