import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import { systemClock } from "../waiting/clock.ts";
import { LeaseProof } from "./lease-proof.ts";

describe("the proof of a lease", () => {
  it("holds until its time, is renewed but never shortened", () => {
    const proof = LeaseProof.begin(3_000, 0);
    expect(proof.holds(2_999.9)).toBe(true);
    expect(proof.renew(5_000, 1_000)).toBe(true);
    expect(proof.renew(4_000, 1_000)).toBe(true);
    expect(proof.untilMs).toBe(5_000);
    expect(proof.holds(4_999)).toBe(true);
    expect(proof.holds(5_000)).toBe(false);
  });

  it("is over for good once it has run out, whoever sees it first and whatever is answered later", () => {
    const seen = LeaseProof.begin(3_000, 0);
    const worker = new LeaseProof(seen.memory);
    expect(seen.holds(3_001)).toBe(false);
    expect(worker.renew(9_000, 2_999)).toBe(false); // an answer that came in time, noted too late
    expect(seen.holds(3_001)).toBe(false);
    const late = LeaseProof.begin(3_000, 0);
    expect(new LeaseProof(late.memory).renew(9_000, 3_000)).toBe(false);
    expect(late.holds(2_000)).toBe(false);
  });

  it("is over when it is ended, for both sides", () => {
    const proof = LeaseProof.begin(3_000, 0);
    const worker = new LeaseProof(proof.memory);
    worker.end();
    expect(proof.holds(1)).toBe(false);
    expect(worker.renew(9_000, 1)).toBe(false);
  });

  it("is renewed by a thread while the owner stands still, by the same clock", async () => {
    const startedMs = systemClock.nowMs();
    const proof = LeaseProof.begin(startedMs + 1_000, startedMs);
    const program = `
      const { workerData } = require("node:worker_threads");
      const [seconds, nanoseconds] = process.hrtime();
      Atomics.store(new BigInt64Array(workerData), 0, BigInt(seconds + 60) * 1000000n + BigInt(Math.floor(nanoseconds / 1000)));`;
    const worker = new Worker(program, { eval: true, workerData: proof.memory });
    await once(worker, "exit");
    expect(proof.holds(startedMs + 59_999)).toBe(true);
    expect(proof.untilMs).toBeLessThanOrEqual(systemClock.nowMs() + 60_000);
  });
});
