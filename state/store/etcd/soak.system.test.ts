import { expect, test } from "vitest";
import { openReportedStore, sleep } from "../../../test/fakes/etcd-ground.ts";
import { startEtcd } from "../../../test/fakes/etcd-server.ts";
import { collectedHeapBytes } from "../../../test/fakes/heap.ts";
import { startTcpProxy } from "../../../test/fakes/tcp-proxy.ts";
import { eventually, newCommit, newRecorder } from "../contract.ts";
import type { Store } from "../store.ts";

function activeResources(): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const kind of process.getActiveResourcesInfo()) counts[kind] = (counts[kind] ?? 0) + 1;
  return { timers: counts["Timeout"] ?? 0, sockets: counts["TCPSocketWrap"] ?? 0 };
}

async function openAndClose(store: Store, count: number): Promise<void> {
  for (let index = 0; index < count; index += 10) {
    const watches = Array.from({ length: 10 }, () => store.watch("/soak/", () => undefined));
    await Promise.all(watches.map((watch) => watch.synced));
    await Promise.all(watches.map((watch) => watch.close()));
  }
}

test("2000 watches opened and closed, 30 link flaps: heap, timers and sockets do not grow", async () => {
  await using server = await startEtcd();
  await using proxy = await startTcpProxy(server.members[0]?.clientPort ?? 0);
  const endpoints = [`http://127.0.0.1:${proxy.port}`];
  await using opened = await openReportedStore({ endpoints }, { watchBackoff: { minMs: 10, maxMs: 50 } });
  const { store } = opened;
  const seen = newRecorder();
  await using watch = store.watch("/soak/", seen.consumer);
  await watch.synced;
  async function flap(count: number): Promise<void> {
    for (let round = 0; round < count; round += 1) {
      proxy.cut();
      await sleep(20);
      await store.commit(newCommit({ puts: [{ key: "/soak/key", value: `${round}` }] }));
    }
    await eventually(() => seen.state.get("/soak/key") === `${count - 1}`);
  }
  await openAndClose(store, 300);
  await flap(5);
  await sleep(300);
  opened.reports.length = 0;
  seen.events.length = 0;
  const before = { ...activeResources(), heapBytes: collectedHeapBytes() };
  await openAndClose(store, 2_000);
  await flap(30);
  await sleep(300);
  opened.reports.length = 0;
  seen.events.length = 0;
  const after = { ...activeResources(), heapBytes: collectedHeapBytes() };
  expect(after.heapBytes - before.heapBytes).toBeLessThan(4 * 1024 * 1024);
  expect((after["timers"] ?? 0) - (before["timers"] ?? 0)).toBeLessThanOrEqual(5);
  expect((after["sockets"] ?? 0) - (before["sockets"] ?? 0)).toBeLessThanOrEqual(4);
}, 90_000);
