import { Etcd3 } from "etcd3";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openReportedStore, sleep } from "../../../test/fakes/etcd-ground.ts";
import { type EtcdServer, startEtcd } from "../../../test/fakes/etcd-server.ts";
import { startTcpProxy, type TcpProxy } from "../../../test/fakes/tcp-proxy.ts";
import { eventually, newCommit } from "../contract.ts";
import type { Commit, CommitResult, LeaseId, Store } from "../store.ts";
import { openEtcdStore } from "./store.ts";
import { buildTxn, readTxn } from "./txn.ts";

let server: EtcdServer;
let direct: Store;
let proxy: TcpProxy;

beforeAll(async () => {
  server = await startEtcd();
  direct = await openEtcdStore({ endpoints: server.endpoints });
  proxy = await startTcpProxy(server.members[0]?.clientPort ?? 0);
});
afterAll(async () => {
  await direct[Symbol.asyncDispose]();
  await proxy[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

const proxied = () => [`http://127.0.0.1:${proxy.port}`];

describe("an answer lost after the commit: the caller gets success, once", () => {
  /** Commits while answers are held back, and cuts the link once `happened` shows that the server has done it. */
  async function commitUnheard(store: Store, commit: Commit, happened: () => Promise<boolean>): Promise<CommitResult> {
    proxy.stallAnswers();
    const result = store.commit(commit);
    await eventually(happened);
    proxy.cut();
    return await result;
  }

  test.each(["create", "update", "delete", "several keys", "blind put"])("%s", async (deed) => {
    await using opened = await openReportedStore({ endpoints: proxied() });
    const { store } = opened;
    const key = `/unheard/${deed}`;
    await store.commit(newCommit({ puts: [{ key: "/unheard/warm", value: "" }] }));
    if (deed !== "create") await direct.commit(newCommit({ puts: [{ key, value: "before" }] }));
    const before = await direct.get(key);
    const guard =
      before === undefined
        ? ({ key, is: "absent" } as const)
        : ({ key, is: "at", modRevision: before.modRevision } as const);
    const puts = deed === "delete" ? [] : [{ key, value: "after" }];
    const more = deed === "several keys" ? [{ key: `${key}/2`, value: "after" }] : [];
    const deletes = deed === "delete" ? [key] : [];
    const guards = deed === "blind put" ? [] : [guard];
    const commit = newCommit({ guards, puts: [...puts, ...more], deletes });
    const happened = async () => (await direct.get(key))?.value === (deed === "delete" ? undefined : "after");
    const result = await commitUnheard(store, commit, happened);
    const after = await direct.get(key);
    expect(result.committed).toBe(true);
    expect(opened.reports.filter((report) => report.kind === "call-failed").length).toBeGreaterThan(0);
    if (deed === "delete") return expect(after).toBeUndefined();
    expect(after?.version).toBe((before?.version ?? 0) + 1);
    expect(result).toEqual({ committed: true, revision: after?.modRevision });
    if (deed === "several keys") expect((await direct.get(`${key}/2`))?.version).toBe(1);
  });
});

test("under random cuts every count is made once: the final sum is what the callers were told", async () => {
  await using opened = await openReportedStore({ endpoints: proxied() });
  const key = "/sum";
  await direct.commit(newCommit({ puts: [{ key, value: "0" }] }));
  let told = 0;
  let unknown = 0;
  let isOver = false;
  let gets = 0;
  async function cutter(): Promise<void> {
    while (!isOver) {
      const before = gets;
      await sleep(20 + Math.random() * 60);
      while (gets === before && !isOver) await sleep(5); // on a busy machine nothing would ever get through
      proxy.cutAfter(Math.floor(Math.random() * 400));
    }
    proxy.cut();
  }
  async function counter(): Promise<void> {
    for (let round = 0; round < 60; round += 1) {
      const present = await opened.store.get(key);
      gets += 1;
      if (present === undefined) throw new Error("the counter is gone");
      const guards = [{ key, is: "at", modRevision: present.modRevision } as const];
      const commit = newCommit({ guards, puts: [{ key, value: String(Number(present.value) + 1) }] });
      try {
        if ((await opened.store.commit(commit)).committed) told += 1;
      } catch {
        unknown += 1;
      }
    }
  }
  const cutting = cutter();
  await Promise.all([counter(), counter(), counter(), counter()]);
  isOver = true;
  await cutting;
  const sum = Number((await direct.get(key))?.value);
  expect(sum).toBeGreaterThanOrEqual(told);
  expect(sum).toBeLessThanOrEqual(told + unknown);
  expect(unknown).toBeLessThan(10);
  expect(opened.reports.filter((report) => report.kind === "call-failed").length).toBeGreaterThan(10);
}, 60_000);

test("an attempt that arrives after the caller was told of a conflict does nothing", async () => {
  const client = new Etcd3({ hosts: [...server.endpoints] });
  const key = "/late/k";
  const lease = (await client.leaseClient.leaseGrant({ TTL: 60 })).ID as LeaseId;
  const slot = { key: "/late-requests/1", modRevision: "0", expiresAtMs: 0, lease };
  const commit = newCommit({ guards: [{ key, is: "absent" }], puts: [{ key, value: "late" }] });
  await direct.commit(newCommit({ puts: [{ key, value: "other" }] }));
  const told = readTxn(commit, slot, await client.kv.txn(buildTxn(commit, slot, true)));
  expect(told).toEqual({ kind: "conflict", failed: [{ key, is: "absent" }] });
  await direct.commit(newCommit({ deletes: [key] }));
  const late = readTxn(commit, slot, await client.kv.txn(buildTxn(commit, slot, false)));
  expect(late).toEqual({ kind: "lost-slot" });
  expect(await direct.get(key)).toBeUndefined();
  client.close();
});

test("a request lease that is gone is replaced, and the commit succeeds", async () => {
  await using opened = await openReportedStore({ endpoints: server.endpoints, requestPrefix: "/lost-lease/" });
  const write = () => opened.store.commit(newCommit({ puts: [{ key: "/after-lease", value: "x" }] }));
  expect(await write()).toMatchObject({ committed: true });
  const client = new Etcd3({ hosts: [...server.endpoints] });
  for (const { ID } of (await client.leaseClient.leaseLeases()).leases) await client.leaseClient.leaseRevoke({ ID });
  expect((await direct.list("/lost-lease/")).values).toEqual([]);
  expect(await write()).toMatchObject({ committed: true });
  expect((await direct.get("/after-lease"))?.version).toBe(2);
  client.close();
});

test("request records stay few, whatever the number of commits", async () => {
  await using opened = await openReportedStore({ endpoints: server.endpoints, requestPrefix: "/few/" });
  for (let round = 0; round < 50; round += 1) {
    const writes = Array.from({ length: 8 }, (_, index) => ({ key: `/few-data/${index}`, value: "x" }));
    await Promise.all(writes.map((put) => opened.store.commit(newCommit({ puts: [put] }))));
  }
  expect((await direct.list("/few/")).values.length).toBeLessThanOrEqual(8);
});

test("a stopped server: calls end at their deadline; it answers within 1 s of going on", async () => {
  await using opened = await openReportedStore({ endpoints: server.endpoints }, { operationTimeoutMs: 1_500 });
  const [member] = server.members;
  await opened.store.get("/x");
  member?.stop();
  try {
    const startedMs = performance.now();
    const calls = [
      opened.store.get("/x"),
      opened.store.commit(newCommit({ puts: [{ key: "/stopped", value: "x" }] })),
      opened.store.list("/x").catch(() => Promise.reject(new Error("list failed"))),
    ];
    const results = await Promise.allSettled(calls.slice(0, 2));
    expect(performance.now() - startedMs).toBeLessThan(2_500);
    const reasons = results.map((result) => (result.status === "rejected" ? result.reason.code : "fulfilled"));
    expect(reasons[0]).toBe("UNAVAILABLE");
    expect(["TIMEOUT", "UNAVAILABLE"]).toContain(reasons[1]);
    const recovering = opened.store.get("/x");
    await sleep(300);
    member?.cont();
    const continuedMs = performance.now();
    await recovering;
    await opened.store.commit(newCommit({ puts: [{ key: "/stopped", value: "y" }] }));
    expect(performance.now() - continuedMs).toBeLessThan(1_000);
    await calls[2];
  } finally {
    member?.cont();
  }
});

test("with no server at all a commit is UNAVAILABLE: certainly nothing was done", async () => {
  await using opened = await openReportedStore({ endpoints: proxied() }, { operationTimeoutMs: 600 });
  await opened.store.commit(newCommit({ puts: [{ key: "/none", value: "" }] }));
  proxy.refuse();
  await sleep(50);
  await opened.store.get("/none").catch(() => undefined);
  const commit = opened.store.commit(newCommit({ puts: [{ key: "/none", value: "x" }] }));
  await expect(commit).rejects.toMatchObject({ code: "UNAVAILABLE" });
  proxy.restore();
  expect((await direct.get("/none"))?.version).toBe(1);
});
