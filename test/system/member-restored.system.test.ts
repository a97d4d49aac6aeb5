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

/**
 * Gives a member the data of the snapshot as the only member of its cluster, and starts it. (With the flags of the whole cluster it would have the
 * same cluster id, and what etcd does then depends on whether a leader was elected meanwhile: docs/operations.md.)
 */
async function restoreAlone(restored: EtcdMember): Promise<void> {
  await restored.kill();
  const dataDir = join(etcd.dataDir, restored.name);
  await rm(dataDir, { recursive: true, force: true });
  const peer = `http://127.0.0.1:${restored.peerPort}`;
  const names = ["--name", restored.name, "--initial-cluster", `${restored.name}=${peer}`];
  const where = ["--initial-advertise-peer-urls", peer, "--data-dir", dataDir];
  await run("etcdctl", ["snapshot", "restore", snapshot, ...names, ...where], { env: env() });
  await restored.restart();
}

async function isServing({ endpoint }: EtcdMember): Promise<boolean> {
  const asked = ["--command-timeout=2s", `--endpoints=${endpoint}`, "get", "/"];
  return run("etcdctl", asked, { env: env() }).then(
    () => true,
    () => false,
  );
}

describe("one member of three, restored from an old snapshot by itself, while netmasters and pods live", () => {
  it("as a cluster of its own: no netmaster believes it, not one that starts either", async () => {
    await restoreAlone(member(2));
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
