import { execFile } from "node:child_process";
import { rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CLAIMS, OBJECTS } from "../../state/keys.ts";
import { openEtcdStore } from "../../state/store/etcd/store.ts";
import { type EtcdServer, startEtcd } from "../fakes/etcd-server.ts";
import { etcdctl } from "../fakes/etcdctl.ts";
import { type NetmasterProcess, startNetmasterProcess } from "./netmaster-process.ts";
import { eventually } from "./test-cluster.ts";

const run = promisify(execFile);
const JSON_TYPE = { "content-type": "application/json", accept: "*/*" };

let etcd: EtcdServer;
let masters: NetmasterProcess[];

beforeAll(async () => {
  etcd = await startEtcd();
  masters = [await startNetmasterProcess({ name: "m1", etcdEndpoints: etcd.endpoints })];
  masters.push(await startNetmasterProcess({ name: "m2", etcdEndpoints: etcd.endpoints }));
}, 300_000);
afterAll(async () => {
  await Promise.all((masters ?? []).map((master) => master.kill()));
  await etcd?.[Symbol.asyncDispose]();
});

function urlOf(index: number): string {
  return masters[index]?.restUrl ?? "";
}

async function makeTenant(name: string, index = 0): Promise<number> {
  const request = { method: "POST", headers: JSON_TYPE, body: JSON.stringify({ tenantName: name }) };
  return (await fetch(`${urlOf(index)}/api/v1/tenants/${name}/`, request)).status;
}

function untilMade(name: string, index = 0): Promise<number> {
  return eventually(
    `tenant ${name}`,
    () => makeTenant(name, index).catch(() => 0),
    (status) => status === 200,
    30_000,
  );
}

async function tenantsOf(index: number): Promise<readonly string[]> {
  const response = await fetch(`${urlOf(index)}/api/v1/tenants/`, { headers: JSON_TYPE }).catch(() => undefined);
  if (response?.status !== 200) return ["unavailable"];
  return ((await response.json()) as { readonly key: string }[]).map(({ key }) => key).sort();
}

/** Gives etcd other data while it is down: what `change` leaves in its data directory. */
async function exchange(change: (dataDir: string) => Promise<void>): Promise<void> {
  const [member] = etcd.members;
  if (member === undefined) throw new Error("no member");
  await member.kill();
  const dataDir = join(etcd.dataDir, member.name);
  await rm(`${dataDir}.old`, { recursive: true, force: true });
  await rename(dataDir, `${dataDir}.old`);
  await change(dataDir);
  await member.restart();
}

async function save(name: string): Promise<string> {
  const file = join(etcd.dataDir, name);
  await etcdctl(etcd, "snapshot", "save", file);
  return file;
}

function restore(file: string): Promise<void> {
  return exchange(async (dataDir) => {
    const [member] = etcd.members;
    const peer = `http://127.0.0.1:${member?.peerPort}`;
    const names = ["--name", `${member?.name}`, "--initial-cluster", `${member?.name}=${peer}`];
    const where = ["--initial-advertise-peer-urls", peer, "--data-dir", dataDir];
    const env = { ...process.env, ETCDCTL_API: "3" };
    await run("etcdctl", ["snapshot", "restore", file, ...names, ...where], { env });
  });
}

/** No id twice, every claim has its owner, and both netmasters answer what the store holds. */
async function expectSound(): Promise<void> {
  await using store = await openEtcdStore({ endpoints: etcd.endpoints });
  const { values } = await store.list(`${OBJECTS}tenant/`);
  const tenants = values.map(({ value }) => JSON.parse(value) as { readonly key: string; readonly tenantId: number });
  const ids = tenants.map(({ tenantId }) => tenantId);
  expect(new Set(ids).size).toBe(ids.length);
  const claims = (await store.list(`${CLAIMS}tenant-id/`)).values.map(({ key, value }) => `${key}=${value}`).sort();
  expect(claims).toEqual(tenants.map(({ key, tenantId }) => `${CLAIMS}tenant-id/${tenantId}=tenant/${key}`).sort());
  const keys = tenants.map(({ key }) => key).sort();
  for (const index of masters.keys()) {
    await eventually(
      `netmaster ${index}`,
      () => tenantsOf(index),
      (told) => told.join() === keys.join(),
      30_000,
    );
  }
}

async function makeMany(prefix: string, count: number): Promise<void> {
  for (let index = 0; index < count; index += 1) await untilMade(`${prefix}-${index}`, index % 2);
}

async function writeProfile(
  DSCP: number,
  ifMatch?: string,
): Promise<{ readonly status: number; readonly etag: string }> {
  const headers = { ...JSON_TYPE, ...(ifMatch === undefined ? {} : { "if-match": ifMatch }) };
  const body = JSON.stringify({ tenantName: "tagged", profileName: "np", DSCP });
  const reply = await fetch(`${urlOf(DSCP % 2)}/api/v1/netprofiles/tagged:np/`, { method: "PUT", headers, body });
  await reply.arrayBuffer();
  return { status: reply.status, etag: reply.headers.get("etag") ?? "" };
}

/** Status of a watch from there, and its first line. */
async function watchFrom(index: number, revision: string): Promise<string> {
  const query = `watch=true&revision=${encodeURIComponent(revision)}`;
  const signal = AbortSignal.timeout(20_000);
  const reply = await fetch(`${urlOf(index)}/api/v1/netprofiles/?${query}`, { headers: JSON_TYPE, signal });
  const reader = reply.body?.getReader();
  const { value } = (await reader?.read()) ?? {};
  await reader?.cancel();
  return `${reply.status} ${Buffer.from(value ?? []).toString()}`;
}

function numberOf(etag: string): string {
  return /[0-9]+/.exec(etag)?.[0] ?? "";
}

describe("a store that is not the one that netmaster knows", () => {
  it("restored from a snapshot while netmaster runs: no id twice, no claim lost, answers follow", async () => {
    await makeMany("before", 4);
    const file = await save("first.db");
    await makeMany("lost", 12);
    await restore(file);
    await makeMany("after", 9);
    await expectSound();
  }, 180_000);

  it("restored while one netmaster is paused, and written meanwhile beyond what that one knew", async () => {
    const file = await save("second.db");
    await makeMany("lost2", 3);
    masters[1]?.stop();
    try {
      await restore(file);
      for (let index = 0; index < 30; index += 1) await untilMade(`beyond-${index}`);
    } finally {
      masters[1]?.cont();
    }
    await untilMade("late", 1);
    await expectSound();
  }, 180_000);

  it("restored: no ETag and no watch of the lost history is taken for one of the new, though the numbers come again", async () => {
    await untilMade("tagged");
    const file = await save("tags.db");
    const lost = new Map<string, string>();
    for (let count = 0; count < 60; count += 1) {
      const { status, etag } = await writeProfile(count);
      expect(status).toBe(200);
      lost.set(numberOf(etag), etag);
    }
    const [lastTag = ""] = [...lost.values()].slice(-1);
    await restore(file);
    await untilMade("tagged-again");
    let met = 0;
    for (let count = 0; count < 60; count += 1) {
      const { status, etag } = await writeProfile(count);
      expect(status).toBe(200);
      const seen = lost.get(numberOf(etag));
      if (seen === undefined) continue;
      met += 1;
      expect(seen).not.toBe(etag);
      for (const tag of [seen, `"${numberOf(etag)}"`]) expect((await writeProfile(63, tag)).status).toBe(412);
    }
    expect(met).toBeGreaterThan(10);
    const { etag } = await writeProfile(7);
    expect((await writeProfile(8, etag)).status).toBe(200);
    for (const index of masters.keys()) {
      for (const revision of [lastTag.slice(1, -1), numberOf(lastTag)])
        expect(await watchFrom(index, revision)).toMatch(/^410 .*revision-too-old/);
      expect(await watchFrom(index, etag.slice(1, -1))).toMatch(/^200 \{"type":"bookmark"/);
    }
  }, 120_000);

  it("emptied", async () => {
    await exchange(async () => undefined);
    await makeMany("fresh", 5);
    await expectSound();
  }, 120_000);

  it("replaced by another cluster's, whose revisions are higher", async () => {
    await makeMany("mine", 3);
    await using other = await startEtcd();
    const owner = await startNetmasterProcess({ name: "other", etcdEndpoints: other.endpoints });
    for (let index = 0; index < 40; index += 1) {
      const name = `theirs-${index}`;
      const request = { method: "POST", headers: JSON_TYPE, body: JSON.stringify({ tenantName: name }) };
      expect((await fetch(`${owner.restUrl}/api/v1/tenants/${name}/`, request)).status).toBe(200);
    }
    await owner.kill("SIGTERM");
    const file = join(etcd.dataDir, "other.db");
    await etcdctl(other, "snapshot", "save", file);
    await restore(file);
    await makeMany("here", 3);
    await expectSound();
    const told = await tenantsOf(0);
    expect(told).toContain("theirs-39");
    expect(told.filter((name) => name.startsWith("mine"))).toEqual([]);
  }, 120_000);

  it("restored while every netmaster is stopped", async () => {
    const file = await save("third.db");
    await makeMany("lost3", 5);
    await Promise.all(masters.map((master) => master.kill("SIGTERM")));
    await restore(file);
    masters = [await startNetmasterProcess({ name: "m1", etcdEndpoints: etcd.endpoints })];
    masters.push(await startNetmasterProcess({ name: "m2", etcdEndpoints: etcd.endpoints }));
    await makeMany("again", 5);
    await expectSound();
  }, 180_000);
});
