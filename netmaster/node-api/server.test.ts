import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Network } from "../../state/kinds/network.ts";
import { EndpointReply, WatchEnvelope } from "../../state/node-api.ts";
import { systemClock } from "../../state/waiting/clock.ts";
import { upsertNetwork } from "../intents/network.ts";
import { startTestEngine, type TestEngine } from "../leader/testing.ts";
import { Heartbeats } from "../node-reports/heartbeats.ts";
import { HitCounters } from "../node-reports/hit-counters.ts";
import { followLeader, type LeaderDirectory } from "../peers/leader-info.ts";
import { worldObjects } from "../view/testing.ts";
import { createNodeCalls } from "./calls.ts";
import { forwardCall } from "./forward.ts";
import { ScopeHub } from "./scope-hub.ts";
import { createNodeApi } from "./server.ts";

type App = ReturnType<typeof createNodeApi>;
const BASE = "/node/v1/nodes/n1";
let engine: TestEngine;
let directory: LeaderDirectory;
let app: App;

function apiOf(target: TestEngine): App {
  const { cache, committer, store } = target;
  directory = followLeader(store);
  const heartbeats = new Heartbeats({
    nodeTimeoutMs: 15_000,
    clock: systemClock,
    storeEpoch: () => cache.view().epoch,
  });
  const intervals = { heartbeatIntervalMs: 3_000, watchIdleTimeoutMs: 9_000, version: "9.9" };
  return createNodeApi({
    cache,
    calls: createNodeCalls({ cache, committer, heartbeats, hits: new HitCounters(), ...intervals }),
    hub: new ScopeHub(cache, { bookmarkIntervalMs: 3_000 }),
    forward: (request) =>
      forwardCall({ directory, cache, selfId: "m1", bodyLimitBytes: 1_000, isStoreFull: () => false }, request),
    isLeading: committer.isLeading.bind(committer),
    version: "9.9",
    log: pino({ level: "silent" }),
    signal: new AbortController().signal,
  });
}

beforeEach(async () => {
  engine = startTestEngine();
  await engine.leading();
  app = apiOf(engine);
});

afterEach(async () => {
  await app.close();
  await directory[Symbol.asyncDispose]();
  await engine[Symbol.asyncDispose]();
});

function registration() {
  const [node] = worldObjects("node n1");
  if (node?.kind !== "node") throw new Error("no node");
  return node.record.registration;
}

async function post(path: string, payload: unknown) {
  const reply = await app.inject({ method: "POST", url: `${BASE}${path}`, payload: payload as object });
  return { status: reply.statusCode, body: reply.json() as Record<string, unknown>, headers: reply.headers };
}

async function prepare(more: Partial<Network> = {}): Promise<void> {
  const network = { networkName: "net1", tenantName: "default", encap: "vxlan", subnet: "10.1.0.0/24", ...more };
  await engine.committer.submit(upsertNetwork, Network.parse(network));
  expect((await post("/register", registration())).status).toBe(200);
}

const REQUEST = { containerId: "c1", ifName: "eth0", tenantName: "default", networkName: "net1" };

describe("registration", () => {
  it("tells the node its intervals, and writes again only what changed", async () => {
    const { status, body, headers } = await post("/register", registration());
    expect(status).toBe(200);
    expect(body).toEqual({ heartbeatIntervalMs: 3_000, watchIdleTimeoutMs: 9_000, clusterVersion: "9.9" });
    expect(headers["contiv-node-api"]).toBe("v1 9.9");
    const revision = engine.cache.view().modRevision("node", "n1");
    await post("/register", registration());
    expect(engine.cache.view().modRevision("node", "n1")).toBe(revision);
    await post("/register", { ...registration(), underlayMtuBytes: 9_000 });
    expect(engine.cache.view().modRevision("node", "n1")).toBeGreaterThan(revision ?? 0n);
  });

  it("is asked for when a node is not known, or has rebooted", async () => {
    const heartbeat = { bootId: "boot-n1", conditions: [] };
    expect((await post("/heartbeat", heartbeat)).body).toMatchObject({ registered: false });
    await post("/register", registration());
    expect((await post("/heartbeat", heartbeat)).body).toMatchObject({ registered: true });
    expect((await post("/heartbeat", { ...heartbeat, bootId: "x" })).body).toMatchObject({ registered: false });
  });

  it("is asked for again when a netmaster that did not know all of it has taken it, and the heartbeat counts", async () => {
    const drivers = { ovs: { encaps: ["vxlan", "vlan"], enforcesPolicies: true, setsMac: true } };
    const registrationMembers = [...Object.keys(registration()), "drivers", "laterMember"];
    const conditions = [{ type: "t", status: "ok", message: "m" }];
    const heartbeat = { bootId: "boot-n1", conditions, registrationMembers };
    await post("/register", registration());
    expect((await post("/heartbeat", heartbeat)).body).toMatchObject({ registered: false });
    expect(engine.cache.view().records("node").get("n1")?.conditions).toEqual(conditions);
    await post("/register", { ...registration(), drivers, laterMember: 1 });
    expect((await post("/heartbeat", heartbeat)).body).toMatchObject({ registered: true });
  });
});

describe("a node without Open vSwitch", () => {
  it("gets no endpoint of a VXLAN network, and none is leased, before it has a tunnel address", async () => {
    await prepare();
    const { vtepIp: _, ...bare } = registration();
    const post2 = (path: string, payload: object) =>
      app.inject({ method: "POST", url: `/node/v1/nodes/n2${path}`, payload });
    const n2 = { ...bare, name: "n2", routerMac: "02:03:00:00:00:77", bootId: "boot-n2" };
    expect((await post2("/register", n2)).statusCode).toBe(200);
    const refused = await post2("/endpoints", REQUEST);
    expect([refused.statusCode, refused.json()]).toMatchObject([503, { reason: "no-tunnel-address" }]);
    expect(engine.cache.view().records("endpoint").size).toBe(0);
    await post2("/register", { ...n2, vtepIp: "192.0.2.77" });
    expect((await post2("/endpoints", REQUEST)).json()).toMatchObject({ mtuBytes: 1_450 });
  });
});

describe("endpoint", () => {
  it("comes with addresses, gateway, routes, MTU and the objects that the node needs", async () => {
    await prepare({ gateway: "10.1.0.254", ipv6Subnet: "2001:db8::/64", ipv6Gateway: "2001:db8::1" });
    const { status, body } = await post("/endpoints", REQUEST);
    expect(status).toBe(200);
    const reply = EndpointReply.parse(body);
    expect(reply.ipv4).toEqual({ address: "10.1.0.1/24", gateway: "10.1.0.254" });
    expect(reply.ipv6).toEqual({ address: "2001:db8::2/64", gateway: "2001:db8::1" });
    expect(reply.routes).toEqual([
      { destination: "10.1.0.0/24" },
      { destination: "0.0.0.0/0", gateway: "10.1.0.254" },
      { destination: "2001:db8::/64" },
      { destination: "::/0", gateway: "2001:db8::1" },
    ]);
    expect(reply.mtuBytes).toBe(1_450);
    const kinds = reply.objects
      .map((object) => WatchEnvelope.parse(object))
      .map((message) => "kind" in message && message.kind);
    expect(kinds).toEqual(["global", "tenant", "network", "endpoint"]);
    expect(BigInt(reply.revision)).toBe(engine.cache.view().modRevision("endpoint", "c1:eth0"));
  });

  it("has no default route without a gateway, and the MTU that the admin set", async () => {
    await prepare({ mtuBytes: 1_400 });
    const { body } = await post("/endpoints", REQUEST);
    expect(body).toMatchObject({
      routes: [{ destination: "10.1.0.0/24" }],
      mtuBytes: 1_400,
      ipv4: { address: "10.1.0.1/24" },
    });
  });

  it("is not leased when the node's underlay cannot carry the network's MTU", async () => {
    await prepare({ mtuBytes: 9_000 });
    const { status, body } = await post("/endpoints", REQUEST);
    expect({ status, field: body.field }).toEqual({ status: 400, field: "mtuBytes" });
    expect(engine.cache.view().records("endpoint").size).toBe(0);
  });

  it("is released once, by its epoch only", async () => {
    await prepare();
    const { endpoint } = EndpointReply.parse((await post("/endpoints", REQUEST)).body);
    const late = { key: endpoint.key, epoch: "another" };
    expect((await post("/endpoints/release", late)).body).toMatchObject({ released: false });
    expect((await post("/endpoints/release", endpoint)).body).toMatchObject({ released: true });
    expect((await post("/endpoints/release", endpoint)).body).toMatchObject({ released: false });
  });

  it("is released with others in one call, each by its own epoch", async () => {
    await prepare();
    const all = [];
    for (const containerId of ["c1", "c2", "c3"]) {
      const { body } = await post("/endpoints", { ...REQUEST, containerId });
      all.push(EndpointReply.parse(body).endpoint);
    }
    const [first, second, third] = all.map(({ key, epoch }) => ({ key, epoch }));
    const { body } = await post("/endpoints/release", { ...first, more: [{ ...second, epoch: "another" }, third] });
    expect(body).toMatchObject({ released: true, more: [false, true] });
    expect([...engine.cache.view().records("endpoint").entries()].map(([key]) => key)).toEqual([second?.key]);
    expect(BigInt(String(body.revision))).toBe(engine.cache.view().revision);
    const many = Array.from({ length: 129 }, () => first);
    expect((await post("/endpoints/release", { ...first, more: many })).body).toMatchObject({ field: "more" });
  });
});

const WRONG: readonly {
  readonly what: string;
  readonly path: string;
  readonly body: unknown;
  readonly sees: object;
}[] = [
  {
    what: "an unknown network",
    path: "/endpoints",
    body: { ...REQUEST, networkName: "nope" },
    sees: { status: 400, field: "networkName" },
  },
  { what: "a wrong type", path: "/endpoints", body: { ...REQUEST, ifName: 7 }, sees: { status: 400, field: "ifName" } },
  {
    what: "another node's registration",
    path: "/register",
    body: { ...registration(), name: "n2" },
    sees: { status: 400, field: "name" },
  },
  { what: "an unknown path", path: "/nothing", body: {}, sees: { status: 404 } },
  {
    what: "a body that is too long",
    path: "/heartbeat",
    body: { bootId: "x".repeat(300_000), conditions: [] },
    sees: { status: 413 },
  },
];

describe("a wrong call", () => {
  it.each(WRONG)("gets one clear error: $what", async ({ path, body, sees }) => {
    await prepare();
    const reply = await post(path, body);
    expect({ ...reply.body, status: reply.status }).toMatchObject(sees);
    expect(String(reply.body.message)).not.toBe("");
  });

  it("of a node that is not registered is refused", async () => {
    const { status, body } = await post("/endpoints", REQUEST);
    expect({ status, reason: body.reason }).toEqual({ status: 412, reason: "node-not-registered" });
  });

  it("with malformed JSON or a bad node name is refused", async () => {
    const headers = { "content-type": "application/json" };
    const broken = await app.inject({ method: "POST", url: `${BASE}/heartbeat`, headers, payload: "{" });
    expect(broken.statusCode).toBe(400);
    const badName = await app.inject({ method: "POST", url: "/node/v1/nodes/a_b/heartbeat", headers, payload: "{}" });
    expect(badName.json()).toMatchObject({ code: "INVALID", field: "node" });
  });
});

describe("without a leader", () => {
  it("a follower says so, and that nothing was changed", async () => {
    const follower = startTestEngine({ name: "m2" });
    await app.close();
    await directory[Symbol.asyncDispose]();
    await follower.leading();
    follower.committer.stepDown();
    app = apiOf(follower);
    const { status, body, headers } = await post("/heartbeat", { bootId: "b", conditions: [] });
    expect({ status, code: body.code }).toEqual({ status: 503, code: "UNAVAILABLE" });
    expect(headers["retry-after"]).toBe("1");
    await follower[Symbol.asyncDispose]();
  });
});
