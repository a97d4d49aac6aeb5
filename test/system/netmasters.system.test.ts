import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LEADER_KEY, OBJECTS } from "../../state/keys.ts";
import { openEtcdStore } from "../../state/store/etcd/store.ts";
import type { Store } from "../../state/store/store.ts";
import { load } from "../bench/callers.ts";
import { type EtcdServer, startEtcd } from "../fakes/etcd-server.ts";
import { type JsonReply, jsonClient } from "./json-client.ts";
import { type NetmasterProcess, startNetmasterProcess } from "./netmaster-process.ts";
import { registration } from "./node-registration.ts";
import { openWatch } from "./watch-client.ts";

const NODE = "/node/v1/nodes/n1";
let etcd: EtcdServer;
let store: Store;
let running: NetmasterProcess[] = [];
let containerCount = 0;

beforeAll(async () => {
  etcd = await startEtcd();
  store = await openEtcdStore({ endpoints: etcd.endpoints });
  running = await Promise.all(["m1", "m2", "m3"].map(start));
  const [first] = running;
  const network = {
    tenantName: "default",
    networkName: "net1",
    encap: "vxlan",
    subnet: "10.0.0.0/12",
    gateway: "10.0.0.1",
  };
  expect((await rest(first, "POST", "/api/v1/networks/default:net1/", network)).status).toBe(200);
  expect((await node(first, "/register", registration("n1", "192.168.1.1"))).status).toBe(200);
});

afterAll(async () => {
  await Promise.all(running.map((each) => each.kill()));
  await store[Symbol.asyncDispose]();
  await etcd[Symbol.asyncDispose]();
});

function start(name: string): Promise<NetmasterProcess> {
  return startNetmasterProcess({ name, etcdEndpoints: etcd.endpoints });
}

async function rest(
  target: NetmasterProcess | undefined,
  method: string,
  path: string,
  body?: unknown,
): Promise<JsonReply> {
  using client = jsonClient(target?.restUrl ?? "", 1);
  return await client.call(method, path, body);
}

async function node(target: NetmasterProcess | undefined, path: string, body: unknown): Promise<JsonReply> {
  using client = jsonClient(target?.nodeApiUrl ?? "", 1);
  return await client.call("POST", `${NODE}${path}`, body);
}

function createEndpoint(target: NetmasterProcess | undefined): Promise<JsonReply> {
  containerCount += 1;
  const request = { containerId: `c${containerCount}`, ifName: "eth0", tenantName: "default", networkName: "net1" };
  return node(target, "/endpoints", request);
}

async function leaderOf(all: readonly NetmasterProcess[]): Promise<NetmasterProcess | undefined> {
  const value = await store.get(LEADER_KEY);
  const info = value === undefined ? undefined : (JSON.parse(value.value) as { restUrl: string });
  return all.find(({ restUrl }) => restUrl === info?.restUrl);
}

async function split(): Promise<{ readonly leader: NetmasterProcess; readonly followers: NetmasterProcess[] }> {
  const leader = await leaderOf(running);
  if (leader === undefined) throw new Error("there is no leader");
  return { leader, followers: running.filter((each) => each !== leader) };
}

async function until(what: string, holds: () => boolean | Promise<boolean>, timeoutMs = 10_000): Promise<number> {
  const startedMs = performance.now();
  while (!(await holds())) {
    if (performance.now() - startedMs > timeoutMs) throw new Error(`${what}: not within ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return performance.now() - startedMs;
}

/** One that has seen no other leader write gives the store a new epoch when it leads, and new addresses wait for the nodes. */
async function untilAllHaveSeenAWrite(): Promise<void> {
  expect((await rest(running[0], "POST", "/api/v1/tenants/seen/", { tenantName: "seen" })).status).toBe(200);
  for (const each of running) {
    await until(`${each.name} shows it`, async () => (await rest(each, "GET", "/api/v1/tenants/seen/")).status === 200);
  }
}

describe("three netmasters", () => {
  it("take writes through any of them, and each shows at once what was written through it", async () => {
    for (const [index, each] of running.entries()) {
      const key = `tenant${index}`;
      expect((await rest(each, "POST", `/api/v1/tenants/${key}/`, { tenantName: key })).status).toBe(200);
      expect((await rest(each, "GET", `/api/v1/tenants/${key}/`)).status).toBe(200);
      const created = await createEndpoint(each);
      expect(created.status).toBe(200);
      const again = { containerId: `c${containerCount}`, ifName: "eth0", tenantName: "default", networkName: "net1" };
      expect((await node(running[0], "/endpoints", again)).body).toMatchObject({
        endpoint: (created.body as { endpoint: object }).endpoint,
      });
    }
  });

  it("serve node streams from any replica, with what another replica wrote", async () => {
    const { leader, followers } = await split();
    using watch = openWatch(followers[0]?.nodeApiUrl ?? "", "n1");
    await until("synced", () => watch.isSynced());
    const created = (await createEndpoint(leader)).body as { endpoint: { key: string; epoch: string } };
    const ref = `endpoint/${created.endpoint.key}`;
    await until("the new endpoint", () => watch.known.has(ref));
    await node(followers[1], "/endpoints/release", created.endpoint);
    await until("its end", () => !watch.known.has(ref));
    await until("a bookmark", () => watch.messages.at(-1)?.type === "bookmark");
  });

  it("replace a killed leader within 5 s while streams of others go on", async () => {
    const { leader, followers } = await split();
    using watch = openWatch(followers[0]?.nodeApiUrl ?? "", "n1");
    await until("synced", () => watch.isSynced());
    await leader.kill();
    const statuses = new Set<number>();
    const tookMs = await until("a write succeeds", async () => {
      const { status } = await createEndpoint(followers[0]);
      statuses.add(status);
      return status === 200;
    });
    process.stdout.write(`killed leader replaced after ${Math.round(tookMs)} ms\n`);
    expect(tookMs).toBeLessThan(5_000);
    for (const status of statuses) expect([200, 503]).toContain(status);
    await until("the endpoint on the old stream", () => watch.known.has(`endpoint/c${containerCount}:eth0`));
    expect(watch.hasEnded()).toBe(false);
    running = [...followers, await start(leader.name)];
    await untilAllHaveSeenAWrite();
  });

  it("let a leader that was stopped write nothing when it wakes", async () => {
    const { leader, followers } = await split();
    leader.stop();
    const inFlight = createEndpoint(leader).catch(() => undefined);
    await until("another leader", async () => (await createEndpoint(followers[0])).status === 200, 15_000);
    const before = await store.list(OBJECTS);
    leader.cont();
    const answered = await inFlight;
    const late = await createEndpoint(leader);
    expect([200, 503]).toContain(late.status);
    expect((await leaderOf(running))?.name).not.toBe(leader.name);
    const after = await store.list(OBJECTS);
    const known = new Set(before.values.map(({ key }) => key));
    const written = after.values.filter(({ key }) => !known.has(key)).map(({ key }) => key);
    const accepted = [answered, late].filter((reply) => reply?.status === 200).length;
    expect(written).toHaveLength(accepted); // what was accepted went to the new leader; nothing besides
    await until("the old leader follows", async () => (await createEndpoint(leader)).status === 200);
  });

  it("show a node as unreachable when its heartbeats stop, also after the leader changed", async () => {
    const { leader, followers } = await split();
    await leader.kill("SIGTERM");
    running = [
      ...followers,
      await startNetmasterProcess({
        name: leader.name,
        etcdEndpoints: etcd.endpoints,
        flags: ["--node-timeout", "2s"],
      }),
    ];
    for (const each of followers) {
      await each.kill("SIGTERM");
    }
    running = running.slice(-1);
    const [only] = running;
    await until("the node is unreachable", async () => (await nodeState(only)) === "unreachable");
    const heartbeat = { bootId: "boot-n1", conditions: [] };
    expect((await node(only, "/heartbeat", heartbeat)).body).toMatchObject({ registered: true });
    expect(await nodeState(only)).toBe("ready");
    expect((await node(only, "/heartbeat", { ...heartbeat, bootId: "other" })).body).toMatchObject({
      registered: false,
    });
  });

  it("lease at least 1,000 durable endpoints per second to 64 callers, each with an address of its own", async () => {
    using client = jsonClient(running[0]?.nodeApiUrl ?? "");
    const ips = new Set<string>();
    const failed: JsonReply[] = [];
    // The only netmaster cannot know whether the store was restored while none ran: it waits for what the nodes may have to offer.
    await until("new addresses", async () => (await createEndpoint(running[0])).status === 200, 20_000);
    async function lease(index: number): Promise<void> {
      const names = { containerId: `load${index}`, ifName: "eth0", tenantName: "default", networkName: "net1" };
      const reply = await client.call("POST", `${NODE}/endpoints`, names);
      if (reply.status === 200) ips.add((reply.body as { endpoint: { ipv4: string } }).endpoint.ipv4);
      else failed.push(reply);
    }
    await load(500, 64, (index) => lease(-index - 1));
    const bare = await load(1_000, 64, (index) => bareCommit(index));
    const leased = await load(4_000, 64, lease);
    const [perSecond, barePerSecond] = [leased, bare].map(({ latenciesMs, seconds }) => latenciesMs.length / seconds);
    process.stdout.write(
      `${Math.round(perSecond ?? 0)} endpoints/s, ${Math.round(barePerSecond ?? 0)} bare commits/s\n`,
    );
    expect(failed).toEqual([]);
    expect(ips.size).toBe(4_500);
    // Where the machine is too busy for 2,000 bare transactions per second, half of what it can do must be reached.
    expect(perSecond).toBeGreaterThan(Math.min(1_000, (barePerSecond ?? 0) / 2));
  });

  it("end on SIGTERM within 5 s, and pass the leadership on at once", async () => {
    const [first] = running;
    const second = await start("m9");
    running.push(second);
    using watch = openWatch(first?.nodeApiUrl ?? "", "n1");
    await until("synced", () => watch.isSynced());
    const startedMs = performance.now();
    expect(await first?.kill("SIGTERM")).toBe(0);
    expect(performance.now() - startedMs).toBeLessThan(5_000);
    const tookMs = await until("the other leads", async () => (await leaderOf(running))?.name === "m9");
    expect(tookMs).toBeLessThan(1_000);
    expect(watch.hasEnded()).toBe(true);
    expect(second.log()).not.toContain('"level":"error"');
  });
});

/** A transaction of the shape of an endpoint's, without netmaster. */
async function bareCommit(index: number): Promise<void> {
  const puts = ["a", "b"].map((letter) => ({ key: `/bare/${letter}/${index}`, value: "x".repeat(300) }));
  await store.commit({ requestId: randomUUID(), guards: [], puts, deletes: [] });
}

async function nodeState(target: NetmasterProcess | undefined): Promise<string | undefined> {
  using watch = openWatch(target?.nodeApiUrl ?? "", "n1");
  await until("synced", () => watch.isSynced());
  const found = watch.messages.find(
    (message) => message.type === "put" && message.kind === "node" && message.key === "n1",
  );
  return found?.type === "put" ? (found.object as { state: string }).state : undefined;
}
