import { execFile } from "node:child_process";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CLAIMS } from "../../state/keys.ts";
import { openEtcdStore } from "../../state/store/etcd/store.ts";
import { type EtcdMember, type EtcdServer, startEtcd } from "../fakes/etcd-server.ts";
import { type JsonReply, jsonClient } from "./json-client.ts";
import { type NetmasterProcess, startNetmasterProcess } from "./netmaster-process.ts";
import { registration } from "./node-registration.ts";
import { eventually } from "./test-cluster.ts";

const run = promisify(execFile);
const NETWORK = { tenantName: "default", networkName: "net1", encap: "vxlan", subnet: "10.0.0.0/16" };

interface EndpointSeen {
  readonly key: string;
  readonly ipv4: string;
}

let etcd: EtcdServer;
let snapshot: string;
/** The restored one comes first, so that it is also asked first. */
let endpoints: readonly string[];
let masters: NetmasterProcess[];
const made = new Map<string, EndpointSeen>();

beforeAll(async () => {
  etcd = await startEtcd({ members: 3 });
  endpoints = [...etcd.endpoints].reverse();
  masters = await Promise.all(["m1", "m2"].map((name) => startMaster(name)));
  expect((await rest(0, "POST", "/api/v1/networks/default:net1/", NETWORK)).status).toBe(200);
  expect((await node(0, "/register", registration("n1", "192.168.1.1"))).status).toBe(200);
  await makeEndpoints("before", 5);
  // Our own writes compare the request record that they replace, and change nothing when they are applied twice; others' do.
  for (const value of ["1", "2", "3"]) await ctl(member(0), "put", "/other", value);
  snapshot = join(etcd.dataDir, "old.db");
  await run("etcdctl", [`--endpoints=${etcd.endpoints[0]}`, "snapshot", "save", snapshot], { env: env() });
  await makeEndpoints("since", 10);
}, 300_000);

afterAll(async () => {
  await Promise.all((masters ?? []).map((master) => master.kill()));
  await etcd?.[Symbol.asyncDispose]();
});

function env(): NodeJS.ProcessEnv {
  return { ...process.env, ETCDCTL_API: "3" };
}

function startMaster(name: string, readyTimeoutMs = 30_000): Promise<NetmasterProcess> {
  return startNetmasterProcess({ name, etcdEndpoints: endpoints, readyTimeoutMs });
}

async function call(url: string | undefined, method: string, path: string, body?: unknown): Promise<JsonReply> {
  using client = jsonClient(url ?? "", 1);
  return await client.call(method, path, body);
}

function rest(index: number, method: string, path: string, body?: unknown): Promise<JsonReply> {
  return call(masters[index]?.restUrl, method, path, body);
}

function node(index: number, path: string, body: unknown): Promise<JsonReply> {
  return call(masters[index]?.nodeApiUrl, "POST", `/node/v1/nodes/n1${path}`, body);
}

/** As a runtime does: what has failed is asked again. */
async function makeEndpoint(containerId: string, index: number): Promise<void> {
  const request = { containerId, ifName: "eth0", tenantName: "default", networkName: "net1" };
  const reply = await eventually(
    `endpoint ${containerId}`,
    () => node(index, "/endpoints", request).catch(() => undefined),
    (answer) => answer?.status === 200,
    40_000,
  );
  const { endpoint } = (reply?.body ?? {}) as { readonly endpoint: EndpointSeen };
  made.set(endpoint.key, endpoint);
}

async function makeEndpoints(prefix: string, count: number): Promise<void> {
  for (let each = 0; each < count; each += 1) await makeEndpoint(`${prefix}-${each}`, each % 2);
}

/** What a netmaster tells: address by endpoint. A refusal is no wrong answer. */
async function toldBy(url: string): Promise<ReadonlyMap<string, string> | undefined> {
  const reply = await call(url, "GET", "/api/v1/endpoints/").catch(() => undefined);
  if (reply?.status !== 200) return undefined;
  const told = reply.body as readonly { readonly key: string; readonly ipAddress: readonly string[] }[];
  return new Map(told.map(({ key, ipAddress }) => [key, ipAddress[0] ?? ""]));
}

/** Everything that was acknowledged is there, with its address; no address twice, no claim without its owner. */
async function expectSound(): Promise<void> {
  const wanted = [...made.values()].map(({ key, ipv4 }) => `${key}=${ipv4}`).sort();
  expect(new Set([...made.values()].map(({ ipv4 }) => ipv4)).size).toBe(made.size);
  for (const { restUrl } of masters) {
    await eventually(
      `what ${restUrl} tells`,
      async () => [...((await toldBy(restUrl)) ?? [])].map(([key, ip]) => `${key}=${ip}`).sort(),
      (told) => told.join() === wanted.join(),
      30_000,
    );
  }
  await using store = await openEtcdStore({ endpoints });
  const owners = (await store.list(`${CLAIMS}ip/`)).values.map(({ value }) => value).sort();
  expect(owners).toEqual([...made.keys()].map((key) => `endpoint/${key}`).sort());
}

function member(index: number): EtcdMember {
  const found = etcd.members[index];
  if (found === undefined) throw new Error(`no member ${index}`);
  return found;
}

function peerOf({ name, peerPort }: EtcdMember): string {
  return `${name}=http://127.0.0.1:${peerPort}`;
}

/**
 * Gives a member the data of the snapshot, and starts it. As the only member of its cluster it has another cluster id. With the flags of the whole
 * cluster it has the same one, and where another leader was elected meanwhile, it applies the others' log on top of the old data.
 */
async function restore(restored: EtcdMember, initialCluster: readonly EtcdMember[]): Promise<void> {
  await restored.kill();
  const dataDir = join(etcd.dataDir, restored.name);
  await rm(dataDir, { recursive: true, force: true });
  const names = ["--name", restored.name, "--initial-cluster", initialCluster.map(peerOf).join(",")];
  const where = ["--initial-advertise-peer-urls", `http://127.0.0.1:${restored.peerPort}`, "--data-dir", dataDir];
  await run("etcdctl", ["snapshot", "restore", snapshot, ...names, ...where], { env: env() });
  await restored.restart();
}

function ctl(asked: EtcdMember, ...argv: readonly string[]): Promise<string> {
  return run("etcdctl", [`--endpoints=${asked.endpoint}`, ...argv], { env: env() }).then(({ stdout }) => stdout);
}

/** In hexadecimal, as etcdctl takes it. */
async function idOf({ name }: EtcdMember, asked: EtcdMember): Promise<string> {
  const line = (await ctl(asked, "member", "list")).split("\n").find((text) => text.includes(` ${name},`));
  return line?.split(",")[0] ?? "";
}

/** Has the other one of two running members lead. */
async function changeLeader(one: EtcdMember, other: EtcdMember): Promise<void> {
  const [status] = JSON.parse(await ctl(one, "endpoint", "status", "-w", "json"));
  const isLeading = status.Status.leader === status.Status.header.member_id;
  const [leader, next] = isLeading ? [one, other] : [other, one];
  await ctl(leader, "move-leader", await idOf(next, leader));
}

/** As docs/upgrade.md says. */
async function replaceEmpty(replaced: EtcdMember, asked: EtcdMember): Promise<void> {
  await replaced.kill();
  await eventually("a leader", () => isServing(asked), Boolean, 30_000);
  await ctl(asked, "member", "remove", await idOf(replaced, asked));
  // etcd refuses while it has not heard its other members for some seconds.
  const add = ["member", "add", replaced.name, `--peer-urls=http://127.0.0.1:${replaced.peerPort}`];
  await eventually("room for it", () => isDone(ctl(asked, ...add)), Boolean, 30_000);
  await rm(join(etcd.dataDir, replaced.name), { recursive: true, force: true });
  await replaced.restart(["--initial-cluster-state=existing"]);
}

async function linesOf(index: number, text: string): Promise<readonly string[]> {
  return (masters[index]?.log() ?? "").split("\n").filter((line) => line.includes(text));
}

async function getText(index: number, path: string): Promise<string> {
  return await (await fetch(`${masters[index]?.restUrl}${path}`)).text();
}

function isDone(deed: Promise<unknown>): Promise<boolean> {
  return deed.then(
    () => true,
    () => false,
  );
}

function isServing(asked: EtcdMember): Promise<boolean> {
  return isDone(ctl(asked, "--command-timeout=2s", "get", "/"));
}

describe("one member of three, restored from an old snapshot by itself, while netmasters and pods live", () => {
  it("as a cluster of its own: no netmaster believes it, not one that starts either", async () => {
    await restore(member(2), [member(2)]);
    await eventually("old data", () => isServing(member(2)), Boolean, 30_000);
    await makeEndpoints("beside", 4);
    await masters[0]?.kill();
    masters[0] = await startMaster("m1");
    await makeEndpoints("restarted", 4);
    await expectSound();
  }, 120_000);

  it("nor when it is the only one that serves: then nothing is written, and nothing old is told", async () => {
    await member(0).kill();
    expect(await isServing(member(2))).toBe(true);
    await expect(startMaster("m3", 9_000)).rejects.toThrow("did not get ready");
    const request = { containerId: "none", ifName: "eth0", tenantName: "default", networkName: "net1" };
    expect((await node(1, "/endpoints", request)).status).toBe(503);
    for (const { restUrl } of masters) expect((await toldBy(restUrl))?.size ?? made.size).toBe(made.size);
    await member(0).restart();
    await makeEndpoint("none", 1);
    await makeEndpoints("after", 4);
    await expectSound();
  }, 120_000);
});

const DIVERGED = "holds other data than most and is not used";
const AGREES = "holds the same data as most others again";

describe("one member of three, restored from an old snapshot under the flags of the running cluster after another leader was elected", () => {
  it("is named by every netmaster within 10 s and not used, not by one that starts either", async () => {
    await member(2).kill();
    await changeLeader(member(0), member(1));
    await restore(member(2), etcd.members);
    const startedMs = performance.now();
    const pods = makeEndpoints("meanwhile", 10);
    for (const index of [0, 1]) {
      const told = await eventually(
        "the name",
        () => linesOf(index, DIVERGED),
        ({ length }) => length > 0,
        10_000,
      );
      expect(told).toHaveLength(1);
      expect(JSON.parse(told[0] ?? "")).toMatchObject({ level: "error", endpoint: member(2).endpoint });
    }
    expect(performance.now() - startedMs).toBeLessThan(10_000);
    await pods;
    expect(await getText(0, "/readyz")).toContain(`store-member-diverged: etcd ${member(2).endpoint} `);
    expect(await getText(1, "/metrics")).toContain("contiv_netmaster_store_diverged_members 1");
    await masters[0]?.kill();
    masters[0] = await startMaster("m1");
    await makeEndpoints("distrusted", 4);
    await expectSound();
    expect(await linesOf(0, DIVERGED)).toHaveLength(1);
  }, 120_000);

  it("nor while one of the others is away", async () => {
    await member(0).kill();
    await makeEndpoint("without-0", 0);
    await member(0).restart();
    await member(1).kill();
    await makeEndpoint("without-1", 1);
    await member(1).restart();
    await makeEndpoints("both", 2);
    await expectSound();
  }, 120_000);

  it("is used again and told so when it was removed and added anew, empty", async () => {
    await replaceEmpty(member(2), member(0));
    for (const index of [0, 1]) {
      const told = await eventually(
        "the end",
        () => linesOf(index, AGREES),
        ({ length }) => length > 0,
        20_000,
      );
      expect(JSON.parse(told[0] ?? "")).toMatchObject({ level: "info", endpoint: member(2).endpoint });
      expect(await getText(index, "/readyz")).toBe("ready\n");
    }
    await member(0).kill();
    await makeEndpoints("anew", 4);
    await member(0).restart();
    await expectSound();
  }, 120_000);
});
