import type { Worker } from "node:worker_threads";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { openReportedStore, sleep } from "../../../test/fakes/etcd-ground.ts";
import { type EtcdServer, startEtcd } from "../../../test/fakes/etcd-server.ts";
import { startLeader } from "../../../test/system/leader-process.ts";
import { eventually, newCommit } from "../contract.ts";
import type { Leadership, Store, StoreReport } from "../store.ts";
import { openEtcdStore } from "./store.ts";

const TTL_S = 2; // the least that etcd grants
let server: EtcdServer;
let workers: Worker[];
const noteWorker = (worker: Worker) => void workers.push(worker);

beforeAll(async () => {
  server = await startEtcd();
});
afterAll(async () => await server[Symbol.asyncDispose]());
beforeEach(() => {
  workers = [];
  process.on("worker", noteWorker);
});
afterEach(() => void process.off("worker", noteWorker));

/** The event loop of this thread stands still. */
function block(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

function failuresOf(reports: readonly StoreReport[]): readonly StoreReport[] {
  return reports.filter(({ kind }) => kind === "lease-lost" || kind === "lease-thread-failed");
}

async function expectLeads(store: Store, leadership: Leadership): Promise<void> {
  const put = { key: `${leadership.key}/written`, value: "x" };
  expect(await store.commit(newCommit({ guards: [leadership.guard], puts: [put] }))).toMatchObject({ committed: true });
}

test("a main thread that stands still for twice the TTL goes on leading, and its thread ends with the store", async () => {
  const opened = await openReportedStore({ endpoints: server.endpoints });
  const leadership = await opened.store.campaign({ key: "/thread/blocked", value: "one", ttlS: TTL_S });
  await sleep(1_000);
  for (let round = 0; round < 3; round += 1) {
    block(2_000 * TTL_S);
    expect(leadership.valid()).toBe(true);
    await expectLeads(opened.store, leadership);
  }
  expect(leadership.lost.aborted).toBe(false);
  expect(failuresOf(opened.reports)).toEqual([]);
  await leadership.resign();
  const again = await opened.store.campaign({ key: "/thread/blocked", value: "two", ttlS: TTL_S });
  expect(again.epoch).toBeGreaterThan(leadership.epoch);
  expect(workers).toHaveLength(1);
  const ended = new Promise((resolve) => workers[0]?.once("exit", resolve));
  await opened[Symbol.asyncDispose]();
  await ended;
});

test("the thread ends under a leader: it is told, the leader goes on, and a new thread keeps its lease", async () => {
  await using opened = await openReportedStore({ endpoints: server.endpoints });
  const leadership = await opened.store.campaign({ key: "/thread/killed", value: "one", ttlS: TTL_S });
  await sleep(1_000);
  await workers[0]?.terminate();
  expect(failuresOf(opened.reports)).toMatchObject([{ kind: "lease-thread-failed" }]);
  await eventually(() => workers.length === 2, 5_000);
  await sleep(2_000);
  block(2_000 * TTL_S);
  expect(leadership.valid()).toBe(true);
  await expectLeads(opened.store, leadership);
  expect(failuresOf(opened.reports)).toHaveLength(1);
});

test("no thread can be started: it is told, and the main thread keeps the lease as long as it runs", async () => {
  const endAtOnce = (worker: Worker) => void worker.terminate();
  process.on("worker", endAtOnce);
  try {
    await using opened = await openReportedStore({ endpoints: server.endpoints });
    const leadership = await opened.store.campaign({ key: "/thread/none", value: "one", ttlS: TTL_S });
    await sleep(3_000 * TTL_S);
    expect(leadership.valid()).toBe(true);
    await expectLeads(opened.store, leadership);
    expect(failuresOf(opened.reports)[0]).toMatchObject({ kind: "lease-thread-failed" });
    expect(workers.length).toBeGreaterThan(1);
    expect(workers.length).toBeLessThan(8);
    block(1_000 * TTL_S);
    expect(leadership.valid()).toBe(false);
    await eventually(() => leadership.lost.aborted);
  } finally {
    process.off("worker", endAtOnce);
  }
});

test("a main thread that hangs for more than 3 TTLs loses the lease, and another is elected", async () => {
  await using direct = await openEtcdStore({ endpoints: server.endpoints });
  const key = "/thread/hung";
  using old = await startLeader({ endpoints: server.endpoints, campaign: { key, value: "old", ttlS: TTL_S } });
  const waiting = direct.campaign({ key, value: "new", ttlS: TTL_S });
  await sleep(1_000);
  const startedMs = performance.now();
  const awake = old.order({ is: "block", ms: 12_000 });
  const next = await waiting;
  const tookMs = performance.now() - startedMs;
  expect(tookMs).toBeGreaterThan(3_000 * TTL_S);
  expect(tookMs).toBeLessThan(4_000 * TTL_S + 1_500);
  expect(await awake).toMatchObject({ isValid: false, lost: expect.stringMatching(/stood still for 1[12]\d{3} ms/) });
  expect(await old.order({ is: "write", key: `${key}/x` })).toMatchObject({ committed: false });
  expect(next.epoch).toBeGreaterThan(old.epoch);
  await expectLeads(direct, next);
});

test("a process that was stopped for longer than the TTL knows it at once, and its write is refused", async () => {
  await using direct = await openEtcdStore({ endpoints: server.endpoints });
  const key = "/thread/stopped";
  using old = await startLeader({ endpoints: server.endpoints, campaign: { key, value: "old", ttlS: TTL_S } });
  const waiting = direct.campaign({ key, value: "new", ttlS: TTL_S });
  const awake = old.order({ is: "await-stop", ms: 1_000 });
  await sleep(1_000);
  old.stop();
  const next = await waiting;
  await sleep(500);
  old.cont();
  expect(await awake).toMatchObject({ isValid: false, lost: expect.stringContaining("may be gone") });
  expect(await old.order({ is: "write", key: `${key}/x` })).toMatchObject({ committed: false });
  expect(next.valid()).toBe(true);
  await expectLeads(direct, next);
});
