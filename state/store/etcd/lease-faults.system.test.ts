import { afterAll, beforeAll, expect, test } from "vitest";
import { openReportedStore, sleep } from "../../../test/fakes/etcd-ground.ts";
import { type EtcdServer, startEtcd } from "../../../test/fakes/etcd-server.ts";
import { startTcpProxy, type TcpProxy } from "../../../test/fakes/tcp-proxy.ts";
import { eventually, newCommit } from "../contract.ts";
import type { Guard, Store } from "../store.ts";
import { openEtcdStore } from "./store.ts";

let server: EtcdServer;
let direct: Store;

beforeAll(async () => {
  server = await startEtcd();
  direct = await openEtcdStore({ endpoints: server.endpoints });
});
afterAll(async () => {
  await direct[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

function openProxy(): Promise<TcpProxy> {
  return startTcpProxy(server.members[0]?.clientPort ?? 0);
}

function writeAs(store: Store, guard: Guard, key: string): Promise<unknown> {
  return store.commit(newCommit({ guards: [guard], puts: [{ key, value: "x" }] }));
}

test.each(["carries nothing any more", "is cut and refused"])(
  "a leader whose link %s fences itself first, and is replaced within 5 s at the default TTL",
  async (fault) => {
    await using proxy = await openProxy();
    await using cut = await openReportedStore({ endpoints: [`http://127.0.0.1:${proxy.port}`] });
    const key = `/lease/link ${fault}`;
    const old = await cut.store.campaign({ key, value: "old" });
    const waiting = direct.campaign({ key, value: "new" });
    await sleep(1_500 + Math.random() * 1_000);
    expect(old.valid()).toBe(true);
    let fencedAtMs = Number.POSITIVE_INFINITY;
    old.lost.addEventListener("abort", () => {
      fencedAtMs = performance.now();
    });
    const startedMs = performance.now();
    if (fault.startsWith("carries")) proxy.stall();
    else proxy.refuse();
    const next = await waiting;
    const replacedAtMs = performance.now();
    expect(replacedAtMs - startedMs).toBeLessThan(5_000);
    expect(fencedAtMs).toBeLessThan(replacedAtMs - 500);
    expect(old.valid()).toBe(false);
    proxy.restore();
    const late = await writeAs(cut.store, old.guard, `${key}/x`);
    expect(late).toEqual({ committed: false, failed: [old.guard] });
    expect(await writeAs(direct, next.guard, `${key}/x`)).toMatchObject({ committed: true });
    await next.resign();
  },
);

test("a server that is killed and back after 2 s costs no lease of 10 s and no leadership of 10 s", async () => {
  await using opened = await openReportedStore({ endpoints: server.endpoints });
  const lease = await opened.store.lease({ ttlS: 10 });
  const key = "/lease/restart";
  await opened.store.commit(newCommit({ puts: [{ key, value: "x", lease: lease.id }] }));
  const leadership = await opened.store.campaign({ key: `${key}/leader`, value: "one", ttlS: 10 });
  const [member] = server.members;
  await member?.kill();
  await sleep(2_000);
  await member?.restart();
  await sleep(6_000);
  expect(lease.valid()).toBe(true);
  expect(leadership.valid()).toBe(true);
  expect((await opened.store.get(key))?.value).toBe("x");
  expect(opened.reports.filter((report) => report.kind === "lease-lost")).toEqual([]);
  await leadership.resign();
  await lease.revoke();
  expect(await opened.store.get(key)).toBeUndefined();
});

test("a lease revoked by others is lost at its next beat", async () => {
  const lease = await direct.lease({ ttlS: 2 });
  await using other = await openEtcdStore({ endpoints: server.endpoints });
  const { Etcd3 } = await import("etcd3");
  const client = new Etcd3({ hosts: [...server.endpoints] });
  await client.leaseClient.leaseRevoke({ ID: lease.id });
  client.close();
  await eventually(() => lease.lost.aborted, 3_000);
  expect(lease.lost.reason).toMatchObject({ code: "PRECONDITION" });
  expect(await other.get("/lease/x")).toBeUndefined();
});
