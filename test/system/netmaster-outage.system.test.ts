import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type EtcdServer, startEtcd } from "../fakes/etcd-server.ts";
import { jsonClient } from "./json-client.ts";
import { type NetmasterProcess, startNetmasterProcess } from "./netmaster-process.ts";
import { registration } from "./node-registration.ts";
import { openWatch } from "./watch-client.ts";

let etcd: EtcdServer;
let netmaster: NetmasterProcess;

beforeAll(async () => {
  etcd = await startEtcd();
});

afterAll(async () => {
  await netmaster.kill();
  await etcd[Symbol.asyncDispose]();
});

async function status(method: string, path: string, body?: unknown): Promise<number> {
  using client = jsonClient(netmaster.restUrl, 1);
  return (await client.call(method, path, body)).status;
}

async function logs(): Promise<string> {
  const ofEtcd = (await etcd.members[0]?.log()) ?? "";
  return `netmaster: ${netmaster.log().slice(-2_000)}\netcd: ${ofEtcd.slice(-2_000)}`;
}

async function until(what: string, holds: () => Promise<boolean>, timeoutMs: number): Promise<number> {
  const startedMs = performance.now();
  while (!(await holds())) {
    if (performance.now() - startedMs > timeoutMs)
      throw new Error(`${what}: not within ${timeoutMs} ms\n${await logs()}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return performance.now() - startedMs;
}

/** What netmaster has logged with these words, or of a state. */
function said(words: string): readonly Record<string, unknown>[] {
  const lines = netmaster
    .log()
    .split("\n")
    .filter((line) => line.startsWith("{"));
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>).filter(({ msg }) => msg === words);
}

const LOST = "etcd does not answer; netmaster tries again until it does";

async function readyz(): Promise<string> {
  using client = jsonClient(netmaster.restUrl, 1);
  return String((await client.call("GET", "/readyz")).body);
}

const putTenant = async (name: string) =>
  (await status("POST", `/api/v1/tenants/${name}/`, { tenantName: name })) === 200;

/** Of what began after the start: one line when etcd was lost and one when it was back, with a cause; the state goes with them. */
async function expectOneLossMore(): Promise<void> {
  await until("it is back", async () => said("etcd answers again").length > 0, 15_000);
  expect(said("etcd answers again")).toHaveLength(1);
  expect(said(LOST)).toHaveLength(2);
  expect(String(said(LOST)[1]?.cause)).toMatch(/\w+/);
  await until("ready", async () => said("netmaster is ready").length === 2, 5_000);
  const warnings = netmaster
    .log()
    .split("\n")
    .filter((line) => line.includes('"level":"warn"'));
  expect(warnings.length, warnings.join("\n")).toBeLessThan(8);
}

describe("etcd away", () => {
  it("at start: netmaster lives, says that it is starting, and goes on when etcd comes", async () => {
    const [member] = etcd.members;
    await member?.kill();
    netmaster = await startNetmasterProcess({ name: "m1", etcdEndpoints: etcd.endpoints, readyPath: "/healthz" });
    expect(await status("GET", "/readyz")).toBe(503);
    await until("the reason", async () => said("netmaster is not-ready").length > 0, 5_000);
    const [{ reasons } = {}] = said("netmaster is not-ready");
    expect(reasons).toEqual([expect.stringMatching(/^etcd does not answer.*127\.0\.0\.1:[0-9]+/)]);
    expect(await readyz()).toContain("not-ready\netcd does not answer");
    expect(await status("GET", "/api/v1/tenants/")).toBe(503);
    await member?.restart();
    await until("ready", async () => (await status("GET", "/readyz")) === 200, 15_000);
    expect(await putTenant("early")).toBe(true);
    expect(said(LOST)).toHaveLength(1);
    expect(said("etcd answers")).toMatchObject([{ lostMs: expect.any(Number) }]);
    expect(said("netmaster is ready")).toHaveLength(1);
  });

  it("for 10 s: reads and streams go on, writes are refused in time, and go through again within seconds", async () => {
    const [member] = etcd.members;
    using node = jsonClient(netmaster.nodeApiUrl, 1);
    await node.call("POST", "/node/v1/nodes/n1/register", registration("n1", "192.168.1.1"));
    using watch = openWatch(netmaster.nodeApiUrl, "n1");
    await until("synced", async () => watch.isSynced(), 5_000);
    member?.stop();
    const stoppedMs = performance.now();
    const refused = await status("POST", "/api/v1/tenants/late/", { tenantName: "late" });
    expect(refused).toBe(503);
    expect(performance.now() - stoppedMs).toBeLessThan(15_000);
    expect(await status("GET", "/api/v1/tenants/early/")).toBe(200);
    const heard = watch.messages.length;
    await until("a bookmark", async () => watch.messages.length > heard, 5_000);
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, 10_000 - (performance.now() - stoppedMs))));
    member?.cont();
    const tookMs = await until("writes", () => putTenant("after"), 15_000);
    process.stdout.write(`writes went through ${Math.round(tookMs)} ms after etcd was back\n`);
    expect(watch.hasEnded()).toBe(false);
    await expectOneLossMore();
    expect(said("etcd answers again")[0]?.lostMs).toBeGreaterThan(2_000);
    expect(netmaster.log()).not.toContain('"level":"fatal"');
  });
});
