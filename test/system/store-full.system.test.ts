import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { NetError } from "../../state/errors.ts";
import { newCommit } from "../../state/store/contract.ts";
import { openEtcdStore } from "../../state/store/etcd/store.ts";
import type { Store } from "../../state/store/store.ts";
import { type EtcdServer, startEtcd } from "../fakes/etcd-server.ts";
import { etcdctl } from "../fakes/etcdctl.ts";
import { type NetmasterProcess, startNetmasterProcess } from "./netmaster-process.ts";
import { registration } from "./node-registration.ts";
import { eventually } from "./test-cluster.ts";

const QUOTA_BYTES = 4 * 1024 * 1024;
const JSON_TYPE = { "content-type": "application/json", accept: "*/*" };

let etcd: EtcdServer;
let store: Store;
let netmaster: NetmasterProcess;

beforeAll(async () => {
  etcd = await startEtcd({ flags: [`--quota-backend-bytes=${QUOTA_BYTES}`] });
  store = await openEtcdStore({ endpoints: etcd.endpoints });
  netmaster = await startNetmasterProcess({ name: "m1", etcdEndpoints: etcd.endpoints });
}, 300_000);
afterAll(async () => {
  await netmaster?.kill();
  await store?.[Symbol.asyncDispose]();
  await etcd?.[Symbol.asyncDispose]();
});

interface Answer {
  readonly status: number;
  readonly text: string;
}

async function ask(path: string, body?: unknown, base = netmaster.restUrl): Promise<Answer> {
  const request = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  const response = await fetch(`${base}${path}`, { ...request, headers: JSON_TYPE });
  return { status: response.status, text: await response.text() };
}

function makeTenant(name: string): Promise<Answer> {
  return ask(`/api/v1/tenants/${name}/`, { tenantName: name });
}

/** Writes until etcd refuses. What became of each commit is checked: a refused one must not be there. */
async function fill(): Promise<{ readonly made: number; readonly error: unknown }> {
  const value = "x".repeat(100_000);
  for (let made = 0; made < 1_000; made += 1) {
    const key = `/filler/${made}`;
    try {
      await store.commit(newCommit({ puts: [{ key, value }] }));
    } catch (error) {
      expect(await store.get(key)).toBeUndefined();
      return { made, error };
    }
    expect(await store.get(key)).toBeDefined();
  }
  throw new Error("etcd never refused");
}

async function makeRoom(): Promise<void> {
  await etcdctl(etcd, "del", "/filler/", "--prefix").catch(() => undefined);
  const [status] = JSON.parse(await etcdctl(etcd, "endpoint", "status", "-w", "json"));
  await etcdctl(etcd, "compact", String(status.Status.header.revision));
  await etcdctl(etcd, "defrag");
  await etcdctl(etcd, "alarm", "disarm");
}

describe("a store without room", () => {
  it("refuses writes with the reason and the next step, serves reads, and goes on when there is room", async () => {
    expect((await makeTenant("before")).status).toBe(200);
    expect(
      (await ask("/node/v1/nodes/n1/register", registration("n1", "192.0.2.1"), netmaster.nodeApiUrl)).status,
    ).toBe(200);
    const { error } = await fill();
    expect(error).toBeInstanceOf(NetError);
    expect(error).toMatchObject({ code: "UNAVAILABLE", reason: "store-full" });

    const refused = await makeTenant("during");
    expect(refused.status).toBe(503);
    const problem = JSON.parse(refused.text);
    expect(problem).toMatchObject({ code: "store-full", title: "The store is full" });
    expect(problem.detail).toMatch(/full.*nothing was changed.*[Dd]efragment.*disarm/);
    const removal = await fetch(`${netmaster.restUrl}/api/v1/tenants/before/`, {
      method: "DELETE",
      headers: JSON_TYPE,
    });
    expect(removal.status).toBe(503);
    const call = await ask("/node/v1/nodes/n2/register", registration("n2", "192.0.2.2"), netmaster.nodeApiUrl);
    expect(call).toMatchObject({ status: 503, text: expect.stringContaining('"store-full"') });

    expect((await ask("/api/v1/tenants/before/")).status).toBe(200);
    const ready = await ask("/readyz");
    expect(ready).toMatchObject({ status: 200, text: expect.stringContaining("store-full: ") });
    expect((await ask("/info")).text).toContain('"store-full"');
    expect((await ask("/metrics")).text).toContain("contiv_netmaster_store_full 1");

    await makeRoom();
    await eventually(
      "a tenant",
      () => makeTenant("after"),
      ({ status }) => status === 200,
    );
    await eventually(
      "ready",
      () => ask("/readyz"),
      ({ text }) => text === "ready\n",
    );
    expect((await ask("/api/v1/tenants/during/")).status).toBe(404);
    const said = netmaster.log().split("\n");
    expect(said.filter((line) => line.includes("etcd is full: every change is refused"))).toHaveLength(1);
    expect(said.filter((line) => line.includes("etcd has room again"))).toHaveLength(1);
  }, 120_000);

  it("says that it is full also where no leader can be elected for that reason", async () => {
    await fill();
    await netmaster.kill();
    netmaster = await startNetmasterProcess({ name: "m2", etcdEndpoints: etcd.endpoints, readyTimeoutMs: 60_000 });
    const answers = () => makeTenant("during");
    await eventually("refusal", answers, ({ status, text }) => status === 503 && text.includes("store-full"), 15_000);
    expect((await ask("/api/v1/tenants/before/")).status).toBe(200);
    await makeRoom();
    await eventually("a tenant", answers, ({ status }) => status === 200, 15_000);
  }, 120_000);
});
