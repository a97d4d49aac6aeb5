import { expect, test } from "vitest";
import { openReportedStore, sleep } from "../../../test/fakes/etcd-ground.ts";
import { startEtcd } from "../../../test/fakes/etcd-server.ts";
import { collectedHeapBytes } from "../../../test/fakes/heap.ts";
import { startTcpProxy } from "../../../test/fakes/tcp-proxy.ts";
import { eventually, newCommit, newRecorder } from "../contract.ts";
import type { Store } from "../store.ts";

interface Resources {
  readonly timers: number;
  readonly sockets: number;
  readonly heapBytes: number;
}

function resources(): Resources {
  const kinds = process.getActiveResourcesInfo();
  const count = (wanted: string) => kinds.filter((kind) => kind === wanted).length;
  return { timers: count("Timeout"), sockets: count("TCPSocketWrap"), heapBytes: collectedHeapBytes() };
}

async function openAndClose(store: Store, count: number): Promise<void> {
  for (let index = 0; index < count; index += 10) {
    const watches = Array.from({ length: 10 }, () => store.watch("/soak/", () => undefined));
    await Promise.all(watches.map((watch) => watch.synced));
    await Promise.all(watches.map((watch) => watch.close()));
  }
}

async function leadAndResign(store: Store, count: number): Promise<void> {
  for (let index = 0; index < count; index += 1) {
    const leadership = await store.campaign({ key: "/soak-leader", value: `${index}` });
    await leadership.resign();
  }
}

test("2000 watches opened and closed, 30 link flaps, 50 leaderships: heap, timers and sockets do not grow", async () => {
  const warnings: Error[] = [];
  process.on("warning", (warning) => warnings.push(warning));
  await using server = await startEtcd();
  await using proxy = await startTcpProxy(server.members[0]?.clientPort ?? 0);
  const endpoints = [`http://127.0.0.1:${proxy.port}`];
  await using opened = await openReportedStore({ endpoints }, { watchBackoff: { firstMs: 10, maxMs: 50 } });
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
  await leadAndResign(store, 10);
  await flap(5);
  await sleep(300);
  opened.reports.length = 0;
  seen.events.length = 0;
  const before = resources();
  await openAndClose(store, 2_000);
  await leadAndResign(store, 50);
  await flap(30);
  await sleep(300);
  opened.reports.length = 0;
  seen.events.length = 0;
  const after = resources();
  expect(warnings).toEqual([]);
  expect(after.heapBytes - before.heapBytes).toBeLessThan(4 * 1024 * 1024);
  expect(after.timers - before.timers).toBeLessThanOrEqual(5);
  expect(after.sockets - before.sockets).toBeLessThanOrEqual(4);
}, 90_000);
