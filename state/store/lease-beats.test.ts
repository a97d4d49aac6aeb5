import { expect, it } from "vitest";
import { type ManualClock, manualClock } from "../waiting/clock.ts";
import { nextTurn } from "../waiting/pause.ts";
import { type BeatingOptions, beatLease, type KeptLease, type LeaseEnd } from "./lease-beats.ts";
import type { BeatOptions, LeaseDriver } from "./lease-driver.ts";
import { LeaseProof } from "./lease-proof.ts";
import type { LeaseId } from "./store.ts";

const TTL_MS = 4_000;
const MARGIN_MS = 1_000;

interface Ground {
  readonly clock: ManualClock;
  readonly lease: KeptLease;
  readonly stop: AbortController;
  /** When each beat was sent, by beater. */
  readonly beats: { readonly by: string; readonly atMs: number }[];
  readonly ends: Map<string, LeaseEnd>;
  /** What the store answers. */
  answer: (options: BeatOptions) => Promise<number>;
  beater(name: string, options: Partial<BeatingOptions>): void;
  /** Time passes, in steps in which promises can follow. */
  pass(ms: number, everyStep?: () => void): Promise<void>;
}

function newGround(): Ground {
  const clock = manualClock();
  const proof = LeaseProof.begin(TTL_MS - MARGIN_MS, 0);
  const lease = { id: "7" as LeaseId, ttlMs: TTL_MS, marginMs: MARGIN_MS, proof };
  const stop = new AbortController();
  const ground: Ground = {
    ...{ clock, lease, stop, beats: [], ends: new Map() },
    answer: async () => TTL_MS,
    beater(name, options) {
      const driver: LeaseDriver = {
        grant: () => Promise.reject(new Error("not asked for")),
        revoke: () => Promise.reject(new Error("not asked for")),
        keepAlive(_id, beat) {
          ground.beats.push({ by: name, atMs: clock.nowMs() });
          return ground.answer(beat);
        },
      };
      const defaults = { clock, signal: stop.signal, intervalMs: () => TTL_MS / 3 };
      void beatLease(driver, lease, { ...defaults, ...options }).then((end) => ground.ends.set(name, end));
    },
    async pass(ms, everyStep = () => undefined) {
      for (let passedMs = 0; passedMs < ms; passedMs += 50) {
        clock.advance(50);
        everyStep();
        await nextTurn();
      }
    },
  };
  return ground;
}

it("beats every third of the TTL, and stops when it is told to", async () => {
  const ground = newGround();
  ground.beater("one", {});
  await ground.pass(8_100);
  expect(ground.beats).toHaveLength(6);
  for (const [index, { atMs }] of ground.beats.entries()) {
    const sinceMs = atMs - (ground.beats[index - 1]?.atMs ?? 0);
    expect(Math.abs(sinceMs - TTL_MS / 3)).toBeLessThanOrEqual(50);
  }
  ground.stop.abort();
  await ground.pass(4_000);
  expect(ground.beats).toHaveLength(6);
  expect(ground.ends.get("one")).toBe("stopped");
});

it("leaves the beats to a quicker beater, and takes them over when that one falls silent", async () => {
  const ground = newGround();
  const quick = new AbortController();
  ground.beater("slow", { intervalMs: () => TTL_MS / 2 });
  ground.beater("quick", { beatsAtOnce: true, signal: quick.signal });
  await ground.pass(20_000);
  expect(ground.beats[0]).toEqual({ by: "quick", atMs: 0 });
  expect(ground.beats.filter(({ by }) => by === "slow")).toEqual([]);
  quick.abort();
  await ground.pass(20_000);
  expect(ground.beats.filter(({ by }) => by === "slow").length).toBeGreaterThan(8);
  expect(ground.lease.proof.holds(ground.clock.nowMs())).toBe(true);
});

it("sends no beat for an owner that has shown no life for too long, until the proof runs out", async () => {
  const ground = newGround();
  ground.beater("one", { ownerSilenceMs: 3 * TTL_MS });
  await ground.pass(30_000, () => ground.lease.proof.noteLife(ground.clock.nowMs()));
  expect(ground.ends.size).toBe(0);
  await ground.pass(30_000);
  const lastMs = ground.beats.at(-1)?.atMs ?? 0;
  expect(lastMs).toBeGreaterThan(30_000 + 3 * TTL_MS - TTL_MS / 3 - 50);
  expect(lastMs).toBeLessThanOrEqual(30_000 + 3 * TTL_MS);
  expect(ground.ends.get("one")).toBe("expired");
});

it("goes on for an owner whose life comes back before the proof has run out", async () => {
  const ground = newGround();
  ground.beater("one", { ownerSilenceMs: 3 * TTL_MS });
  await ground.pass(3 * TTL_MS + 1_500);
  expect(ground.ends.size).toBe(0);
  const before = ground.beats.length;
  await ground.pass(10_000, () => ground.lease.proof.noteLife(ground.clock.nowMs()));
  expect(ground.beats.length).toBeGreaterThan(before + 5);
  expect(ground.lease.proof.holds(ground.clock.nowMs())).toBe(true);
});

it("ends the proof for everybody when the store says that the lease is gone", async () => {
  const ground = newGround();
  ground.answer = async () => 0;
  ground.beater("one", {});
  await ground.pass(1_500);
  expect(ground.ends.get("one")).toBe("gone");
  expect(ground.lease.proof.holds(ground.clock.nowMs())).toBe(false);
});

it("does not count an answer that comes after the proof has run out", async () => {
  const ground = newGround();
  let answerLate: (ttlMs: number) => void = () => undefined;
  ground.answer = () => new Promise((resolve) => (answerLate = resolve));
  ground.beater("one", {});
  await ground.pass(3_100);
  answerLate(TTL_MS);
  await ground.pass(100);
  expect(ground.ends.get("one")).toBe("expired");
  expect(ground.lease.proof.holds(ground.clock.nowMs())).toBe(false);
});
