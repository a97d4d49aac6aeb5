import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openReportedStore, QUICK_TIMINGS, sleep, writeMany } from "../../../test/fakes/etcd-ground.ts";
import { type EtcdServer, startEtcd } from "../../../test/fakes/etcd-server.ts";
import { compactEtcd } from "../../../test/fakes/etcdctl.ts";
import { collectedHeapBytes } from "../../../test/fakes/heap.ts";
import { startTcpProxy } from "../../../test/fakes/tcp-proxy.ts";
import { eventually, newCommit, newRecorder } from "../contract.ts";
import type { StoreReport, WatchEvent } from "../store.ts";
import { openEtcdStore } from "./store.ts";

let server: EtcdServer;

beforeAll(async () => {
  server = await startEtcd();
});
afterAll(async () => await server[Symbol.asyncDispose]());

function changesOf(events: readonly WatchEvent[]): readonly string[] {
  return events.flatMap((event) => {
    if (event.kind === "synced" || event.kind === "reset") return [];
    return event.kind === "put"
      ? [`put ${event.value.key} ${event.value.modRevision} ${event.value.value.length}`]
      : [`delete ${event.key} ${event.modRevision}`];
  });
}

interface CatchUp {
  readonly prefix: string;
  readonly count: number;
  readonly valueBytes: number;
  /** Bytes after which the link is cut, one number per cut. */
  readonly cuts: readonly number[];
}

/** Lets a watch fall behind, then catch up over a link that is cut again and again; what it saw must be what an untroubled watch saw. */
async function catchUpWithCuts({ prefix, count, valueBytes, cuts }: CatchUp): Promise<void> {
  const [member] = server.members;
  if (member === undefined) throw new Error("no member");
  await using proxy = await startTcpProxy(member.clientPort);
  await using direct = await openEtcdStore({ endpoints: server.endpoints });
  await using proxied = await openReportedStore({ endpoints: [`http://127.0.0.1:${proxy.port}`] });
  const [truth, seen] = [newRecorder(), newRecorder()];
  await using trueWatch = direct.watch(prefix, truth.consumer);
  await using watch = proxied.store.watch(prefix, seen.consumer);
  await Promise.all([trueWatch.synced, watch.synced]);
  await direct.commit(newCommit({ puts: [{ key: `${prefix}first`, value: "1" }] }));
  await eventually(() => seen.events.length === 2);
  proxy.refuse();
  await writeMany(direct, count, (index) => ({ key: `${prefix}${index % 700}`, value: "x".repeat(valueBytes) }));
  await direct.commit(newCommit({ deletes: [`${prefix}first`] }));
  await eventually(() => truth.events.length === count + 3);
  for (const bytes of cuts) {
    const before = proxy.resetCount;
    proxy.restore();
    proxy.cutAfter(bytes);
    await eventually(() => proxy.resetCount > before);
  }
  await eventually(() => seen.events.length >= truth.events.length, 20_000);
  await sleep(200);
  expect(changesOf(seen.events)).toEqual(changesOf(truth.events));
  expect(seen.events.filter((event) => event.kind === "synced")).toHaveLength(1);
}

describe("cuts during catch-up lose nothing, double nothing, keep the order", () => {
  test("right after `created` and three times among 3000 events", async () => {
    await catchUpWithCuts({ prefix: "/cut/", count: 3_000, valueBytes: 200, cuts: [120, 260_000, 300_000, 120_000] });
  });

  test("answers larger than gRPC's usual limit: 900 values of 8 kB", async () => {
    await catchUpWithCuts({ prefix: "/big/", count: 900, valueBytes: 8_000, cuts: [1_000_000, 4_500_000] });
  });
});

test("a compaction in the gap leads to a new list with synthesised deletes", async () => {
  const [member] = server.members;
  await using proxy = await startTcpProxy(member?.clientPort ?? 0);
  await using direct = await openEtcdStore({ endpoints: server.endpoints });
  await using proxied = await openReportedStore({ endpoints: [`http://127.0.0.1:${proxy.port}`] });
  const prefix = "/gap/";
  await writeMany(direct, 50, (index) => ({ key: `${prefix}${index}`, value: "old" }));
  const seen = newRecorder();
  await using watch = proxied.store.watch(prefix, seen.consumer);
  await watch.synced;
  proxy.refuse();
  await writeMany(direct, 20, (index) => ({ key: `${prefix}${index + 40}`, value: "new" }));
  const deletes = Array.from({ length: 30 }, (_, index) => `${prefix}${index}`);
  await direct.commit(newCommit({ deletes }));
  await compactEtcd(server);
  const seenBefore = seen.events.length;
  proxy.restore();
  await eventually(() => seen.events.filter((event) => event.kind === "synced").length === 2);
  const { values } = await direct.list(prefix);
  expect(seen.state).toEqual(new Map(values.map((value) => [value.key, value.value])));
  const gap = seen.events.slice(seenBefore);
  expect(gap.filter((event) => event.kind === "delete")).toHaveLength(30);
  expect(gap.filter((event) => event.kind === "put")).toHaveLength(20);
});

test("a link that carries nothing is left after probe and answer time, and nothing is lost", async () => {
  const port = server.members[0]?.clientPort ?? 0;
  await using one = await startTcpProxy(port);
  await using two = await startTcpProxy(port);
  await using direct = await openEtcdStore({ endpoints: server.endpoints });
  const endpoints = [one, two].map((proxy) => `http://127.0.0.1:${proxy.port}`);
  const quick = { watchProbeAfterMs: 300, watchAnswerTimeoutMs: 300 };
  await using proxied = await openReportedStore({ endpoints }, quick);
  const seen = newRecorder();
  const prefix = "/stalled/";
  await using watch = proxied.store.watch(prefix, seen.consumer);
  await watch.synced;
  for (let round = 0; round < 4; round += 1) {
    const live = await liveEndpoint(proxied.reports);
    const used = live === endpoints[0] ? one : two;
    used.stall();
    await writeMany(direct, 10, (index) => ({ key: `${prefix}${round}-${index}`, value: "x" }));
    await eventually(() => seen.state.size === 10 * (round + 1), 3_000);
    expect(await liveEndpoint(proxied.reports)).not.toBe(live);
    used.cut();
  }
  expect(seen.events.filter((event) => event.kind === "put")).toHaveLength(40);
});

/** The endpoint of the last thing heard of the watch, once that is that it lives. */
async function liveEndpoint(reports: readonly StoreReport[]): Promise<string> {
  const last = () => reports.findLast((report) => report.kind === "watch-live" || report.kind === "watch-down");
  await eventually(() => last()?.kind === "watch-live");
  const report = last();
  return report?.kind === "watch-live" ? report.endpoint : "";
}

test("an endpoint that accepts and never answers is left within the answer time", async () => {
  await using hole = await startTcpProxy(server.members[0]?.clientPort ?? 0);
  hole.stall();
  // Most endpoints must name the cluster before it is used: the one member is listed by two names.
  const [member = ""] = server.endpoints;
  const endpoints = [`http://127.0.0.1:${hole.port}`, member, member.replace("127.0.0.1", "localhost")];
  for (let round = 0; round < 4; round += 1) {
    await using opened = await openReportedStore({ endpoints });
    const startedMs = performance.now();
    await using watch = opened.store.watch("/hole/", () => undefined);
    await eventually(() => opened.reports.some((report) => report.kind === "watch-live"));
    await watch.synced;
    expect(performance.now() - startedMs).toBeLessThan(2_500);
  }
});

describe("slow consumers", () => {
  test("a full queue ends in a new list: bounded memory, present state, no wrong probe", async () => {
    await using direct = await openEtcdStore({ endpoints: server.endpoints });
    const timings = { queueEvents: 2_000, queueFullMs: 1_500, watchProbeAfterMs: 300, watchAnswerTimeoutMs: 300 };
    await using slow = await openReportedStore({ endpoints: server.endpoints }, timings);
    const seen = newRecorder();
    const prefix = "/slow/";
    let isSlow = true;
    await using watch = slow.store.watch(prefix, async (events) => {
      for (let index = 0; isSlow && index < events.length; index += 1) await sleep(10);
      seen.consumer(events);
    });
    await watch.synced;
    const heapBefore = collectedHeapBytes();
    await Promise.all(
      Array.from({ length: 5 }, async (_, worker) => {
        for (let round = 0; round < 100; round += 1) {
          const key = (index: number) => `${prefix}${worker}-${index}`;
          const puts = Array.from({ length: 100 }, (_, index) => ({
            key: key(index),
            value: `${round}`.padEnd(1_000),
          }));
          await direct.commit(newCommit({ puts }));
        }
      }),
    );
    await eventually(() => slow.reports.some((report) => report.kind === "watch-down" && report.cause === "overflow"));
    expect(collectedHeapBytes() - heapBefore).toBeLessThan(20 * 1024 * 1024); // the backlog is 50 MB of values
    isSlow = false;
    await eventually(() => [...seen.state.values()].filter((value) => value.trim() === "99").length === 500, 20_000);
    const downs = slow.reports.filter((report) => report.kind === "watch-down");
    expect(downs.map((report) => (report.kind === "watch-down" ? report.cause : ""))).toEqual(
      downs.map(() => "overflow"),
    );
  });

  test("a consumer a little too slow loses nothing and is not cut off", async () => {
    await using direct = await openEtcdStore({ endpoints: server.endpoints });
    const timings = { queueEvents: 500, queueFullMs: 20_000, watchProbeAfterMs: 200, watchAnswerTimeoutMs: 200 };
    await using slow = await openReportedStore({ endpoints: server.endpoints }, timings);
    const seen = newRecorder();
    await using watch = slow.store.watch("/late/", async (events) => {
      await sleep(events.length / 2);
      seen.consumer(events);
    });
    await watch.synced;
    await writeMany(direct, 3_000, (index) => ({ key: `/late/${index % 10}`, value: `${index}` }));
    await eventually(() => seen.events.length === 3_001, 30_000);
    expect(slow.reports.filter((report) => report.kind === "watch-down")).toEqual([]);
  });
});

test("a live watch is compared with a list, and a lost event leads to a new list", async () => {
  await using direct = await openEtcdStore({ endpoints: server.endpoints });
  const prefix = "/verify/";
  await writeMany(direct, 20, (index) => ({ key: `${prefix}${index}`, value: "1" }));
  const timings = { ...QUICK_TIMINGS, verifyEveryMs: 200, verifyGraceMs: 200 };
  await using verified = await openReportedStore({ endpoints: server.endpoints }, timings);
  const seen = newRecorder();
  let blocked: Promise<void> | undefined;
  await using watch = verified.store.watch(prefix, async (events) => {
    await blocked;
    seen.consumer(events);
  });
  await watch.synced;
  for (let round = 0; round < 40; round += 1) {
    const puts = [{ key: `${prefix}${round % 20}`, value: `${round}` }];
    await direct.commit(newCommit({ puts, deletes: [`${prefix}${(round + 7) % 20}`] }));
    await sleep(25);
  }
  expect(verified.reports.filter((report) => report.kind === "watch-drift")).toEqual([]);
  let release: () => void = () => undefined;
  blocked = new Promise((resolve) => {
    release = resolve;
  });
  await direct.commit(newCommit({ puts: [{ key: `${prefix}lost`, value: "!" }] }));
  await eventually(() => verified.reports.some((report) => report.kind === "watch-drift"));
  release();
  await eventually(() => seen.state.has(`${prefix}lost`));
});
