import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { etcdName, etcdReady, netmasterName, startEtcd, startOvs } from "../../deploy/cluster/components.ts";
import { stopDaemon } from "../../deploy/cluster/daemon.ts";
import { preparePod } from "../../deploy/cluster/pods.ts";
import { restClient } from "../../deploy/cluster/rest-client.ts";
import { setCable } from "../../deploy/cluster/underlay.ts";
import { expectSound, runningNetmasters } from "./invariants.ts";
import { expectRingPings } from "./probes.ts";
import { type CniAnswer, callCni, resultOf } from "./shim.ts";
import { ONCE_MORE, startSteadyPing } from "./steady-ping.ts";
import { dumpStore } from "./store-dump.ts";
import { eventually, startTestCluster, type TestCluster } from "./test-cluster.ts";

/** Several netmasters, nodes that come and go, restarts of everything (acceptance list 24, 26, 28, 29, 70), with real nodes and pods. */
const NODE_TIMEOUT_S = 5;
/** A killed leader is replaced within this time, at default settings. */
const FAILOVER_MS = 5_000;
const NET = { tenant: "t1", network: "net" };

let world: TestCluster;

beforeAll(async () => {
  world = await startTestCluster({
    nodes: 2,
    netmasters: 3,
    extraArguments: { netmaster: ["--node-timeout", `${NODE_TIMEOUT_S}s`, "--heartbeat-interval", "1s"] },
  });
  await world.rest.post("/api/v1/tenants/t1/", { tenantName: "t1" });
  const network = {
    tenantName: "t1",
    networkName: "net",
    encap: "vxlan",
    subnet: "10.1.0.0/24",
    ipv6Subnet: "fd01::/64",
  };
  await world.rest.post("/api/v1/networks/t1:net/", network);
  for (const [name, node] of [
    ["a1", 1],
    ["a2", 2],
    ["b2", 2],
  ] as const) {
    await world.addPod(name, node, NET);
  }
  await expectSound(world);
  await expectRingPings(world);
});

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

async function leaders(): Promise<readonly number[]> {
  const running = runningNetmasters(world.cluster.layout);
  const told = await Promise.all(
    running.map((index) =>
      world
        .restOf(index)
        .get<{ "current-state": string }>("/info")
        .then(
          (info) => (info["current-state"] === "Leader" ? [index] : []),
          () => [],
        ),
    ),
  );
  return told.flat();
}

async function leader(): Promise<number> {
  const [index = 0] = await eventually("one leader", leaders, (all) => all.length === 1);
  return index;
}

function networkBody(networkName: string, third: number): object {
  return { tenantName: "t1", networkName, encap: "vxlan", subnet: `10.9.${third}.0/24` };
}

/** Creates a network through the given netmaster, as often as it takes; the time that it took, in milliseconds. */
async function writeMs(index: number, networkName: string, third: number): Promise<number> {
  const { layout } = world.cluster;
  const rest = restClient(`http://127.0.0.1:${layout.restPort(index)}`, 2_000);
  const startMs = performance.now();
  await eventually(
    `a write through netmaster-${index}`,
    () =>
      rest.post(`/api/v1/networks/t1:${networkName}/`, networkBody(networkName, third)).then(
        () => "written",
        (error: unknown) => String(error),
      ),
    (answer) => answer === "written" || answer.includes("exists already"),
    20_000,
  );
  return performance.now() - startMs;
}

async function expectOnEveryMaster(networkName: string): Promise<void> {
  for (const index of runningNetmasters(world.cluster.layout)) {
    await eventually(
      `${networkName} on netmaster-${index}`,
      () => world.restOf(index).get<{ networkName: string }[]>("/api/v1/networks/"),
      (networks) => networks.some((network) => network.networkName === networkName),
      5_000,
    );
  }
}

function others(index: number): readonly number[] {
  return [1, 2, 3].filter((each) => each !== index);
}

async function steady() {
  const [address = ""] = await world.addresses("a2");
  return startSteadyPing(world.cluster.layout.underlay, "a1", address);
}

it("every netmaster lists all of them", async () => {
  const listed = (index: number) =>
    world
      .restOf(index)
      .get<{ "netmaster-nodes": string[] }>("/info")
      .then((info) => info["netmaster-nodes"]);
  const lists = () => Promise.all(runningNetmasters(world.cluster.layout).map(listed));
  const isSame = (all: string[][]) => all.every((one) => one.length === 3) && new Set(all.map(String)).size === 1;
  await eventually("netmaster-nodes of all", lists, isSame);
});

describe("three netmasters", () => {
  it("take writes and show them, each of them", async () => {
    for (const index of [1, 2, 3]) {
      await writeMs(index, `through${index}`, index);
      await expectOnEveryMaster(`through${index}`);
    }
    for (const index of [1, 2, 3]) await world.restOf(index).delete(`/api/v1/networks/t1:through${index}/`);
  });

  it("replace a killed leader within 5 s, agents follow, and no packet is lost", ONCE_MORE, async () => {
    const ping = await steady();
    for (let round = 0; round < 2; round++) {
      const killed = await leader();
      await world.kill(netmasterName(killed), "SIGKILL");
      const [follower = 0] = others(killed);
      const waiting = [1, 2].map((node) => world.addPod(`new${node}`, node, NET)); // an ADD waits for the next leader
      const tookMs = await writeMs(follower, `after${round}`, 10 + round);
      console.log(`leader killed: first write through a follower after ${Math.round(tookMs)} ms`);
      expect(tookMs).toBeLessThan(FAILOVER_MS);
      await Promise.all(waiting);
      await world.restartNetmaster(killed);
      await expectOnEveryMaster(`after${round}`);
      for (const node of [1, 2]) await world.removePod(`new${node}`);
      await world.rest.delete(`/api/v1/networks/t1:after${round}/`);
    }
    expect(await ping.stop()).toMatchObject({ unanswered: [] });
    await expectSound(world);
  });

  it("pass the leadership on at once when the leader ends in order", async () => {
    const ended = await leader();
    await world.kill(netmasterName(ended), "SIGTERM");
    const [follower = 0] = others(ended);
    expect(await writeMs(follower, "orderly", 20)).toBeLessThan(2_000);
    await world.restartNetmaster(ended);
    await world.rest.delete("/api/v1/networks/t1:orderly/");
  });

  it("let a leader that was paused write nothing when it wakes", async () => {
    const { layout } = world.cluster;
    const paused = await leader();
    await world.kill(netmasterName(paused), "SIGSTOP");
    try {
      // Two requests for one subnet: the first waits in the sleeper's sockets while the second goes to its successor.
      const slept = fetch(`http://127.0.0.1:${layout.restPort(paused)}/api/v1/networks/t1:stale/`, {
        method: "POST",
        headers: { accept: "*/*" },
        body: JSON.stringify(networkBody("stale", 30)),
      });
      const [follower = 0] = others(paused);
      const tookMs = await writeMs(follower, "fresh", 30);
      console.log(`leader paused: first write through a follower after ${Math.round(tookMs)} ms`);
      expect(tookMs).toBeLessThan(FAILOVER_MS);
      await world.kill(netmasterName(paused), "SIGCONT");
      expect((await slept).status).toBeGreaterThanOrEqual(400);
    } finally {
      await world.kill(netmasterName(paused), "SIGCONT");
    }
    await expectOnEveryMaster("fresh");
    const networks = (await dumpStore(layout)).records("network").map(({ config }) => config.networkName);
    expect(networks.filter((name) => name === "stale" || name === "fresh")).toEqual(["fresh"]);
    expect(await leader()).not.toBe(0);
    await world.rest.delete("/api/v1/networks/t1:fresh/");
    await expectSound(world);
  });
});

interface NodeObject {
  readonly state: string;
  readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message: string }[];
}

const node2 = () => world.rest.get<NodeObject>("/api/v1/nodes/n2/");

/** How often a netmaster has logged that node n2 is lost, and that it is back. */
function saidOfNode2(): readonly number[] {
  const logs = Array.from({ length: world.cluster.layout.netmasters }, (_, index) =>
    world.log(`netmaster-${index + 1}`, 20_000),
  );
  return ["Node n2 is unreachable", "Node n2 is ready"].map(
    (msg) => logs.join("\n").split(`"msg":"${msg}"`).length - 1,
  );
}

describe("nodes", () => {
  it("whose cable is out for 10 s converge when it is back", async () => {
    const { layout } = world.cluster;
    let patient: Promise<CniAnswer> | undefined;
    await world.addPod("gone", 2, NET);
    await setCable(layout.underlay, 2, false);
    try {
      await world.removePod("gone"); // DEL succeeds; the lease is ended later
      await world.addPod("fresh", 1, NET);
      await writeMs(await leader(), "meanwhile", 40);
      patient = callCni(layout, await preparePod(layout, "patient", 2, NET), "ADD");
      await eventually("n2 unreachable", node2, ({ state }) => state === "unreachable", 15_000);
      await sleep(2_000);
    } finally {
      await setCable(layout.underlay, 2, true);
    }
    const answer = await patient; // the cable may have come back in time for it
    expect([0, 11]).toContain(answer?.code);
    if (answer?.code === 11) await world.removePod("patient");
    await eventually("n2 ready", node2, ({ state }) => state === "ready", 15_000);
    await expectSound(world);
    await expectRingPings(world);
    if (answer?.code === 0) await world.removePod("patient");
    await world.addPod("late", 2, { tenant: "t1", network: "meanwhile" });
    for (const name of ["late", "fresh"]) await world.removePod(name);
    await world.rest.delete("/api/v1/networks/t1:meanwhile/");
  });

  it(
    "whose agent is stopped are shown as unreachable with the cause, their pods talk on, and they come back",
    ONCE_MORE,
    async () => {
      const ping = await steady();
      const before = saidOfNode2();
      await world.kill("netplugin-n2", "SIGTERM");
      const away = await eventually("n2 unreachable", node2, ({ state }) => state === "unreachable", 15_000);
      expect(away.conditions?.[0]).toMatchObject({ type: "heartbeat", status: "failed" });
      expect(away.conditions?.[0]?.message).toMatch(/Nothing was heard of it for \d+ s; see that netplugin runs/);
      await expectRingPings(world);
      await world.restartNetplugin(2);
      const back = await eventually("n2 ready", node2, ({ state, conditions = [] }) => {
        return state === "ready" && conditions.length > 0 && conditions.every(({ type }) => type !== "heartbeat");
      });
      expect(back.conditions?.every(({ status }) => status === "ok")).toBe(true);
      expect(saidOfNode2()).toEqual(before.map((count) => count + 1));
      expect(await ping.stop()).toMatchObject({ unanswered: [] });
      await expectSound(world);
    },
  );

  it("can be deleted when they are unreachable only; one that returns closes its ports and steals no address", async () => {
    const { layout } = world.cluster;
    await expect(world.rest.delete("/api/v1/nodes/n2/")).rejects.toThrow(/Node n2 sends heartbeats.*unreachable/);
    const [stolen = ""] = await world.addresses("a2");
    await world.kill("netplugin-n2", "SIGKILL");
    await eventually("n2 unreachable", node2, ({ state }) => state === "unreachable", 15_000);
    await world.rest.delete("/api/v1/nodes/n2/");
    const left = await world.rest.get<{ homingHost: string }[]>("/api/v1/endpoints/");
    expect(left.map(({ homingHost }) => homingHost)).toEqual(["n1"]);
    const heir = await preparePod(layout, "heir", 1, NET);
    const config = { runtimeConfig: { ips: [`${stolen}/24`] } };
    expect(resultOf(await callCni(layout, heir, "ADD", { config })).ips[0]?.address).toBe(`${stolen}/24`);
    await world.restartNetplugin(2);
    await eventually("n2 ready", node2, ({ state }) => state === "ready");
    await eventually(
      "ports closed",
      () => world.onNode(2, ["ovs-vsctl", `--db=unix:${layout.home.directory}/n2/ovs/db.sock`, "list", "Port"]),
      ({ stdout }) => !stdout.includes("contiv-endpoint"),
    );
    expect(await world.ping("a1", stolen, 2)).toBe(2);
    expect(await world.ping("a2", (await world.addresses("a1"))[0] ?? "", 2)).toBe(0);
    for (const name of ["a2", "b2", "heir"]) await world.removePod(name);
    for (const name of ["a2", "b2"]) await world.addPod(name, 2, NET);
    await expectSound(world);
    await expectRingPings(world);
  });
});

/** What must not change, whatever is restarted: every object and every claim. */
async function everything() {
  const store = await dumpStore(world.cluster.layout);
  const objects = (["tenant", "network", "endpointGroup", "global", "endpoint"] as const).map((kind) =>
    store.records(kind),
  );
  const listings = await Promise.all(
    ["tenants", "networks", "endpointGroups", "globals", "endpoints"].map((name) => world.rest.get(`/api/v1/${name}/`)),
  );
  return { objects, listings, claims: [...store.claims] };
}

describe("a restart of everything", () => {
  it("changes no id, tag, address or setting, and the store's restart is survived", async () => {
    const { layout, nodes } = world.cluster;
    await world.rest.post("/api/v1/globals/global/", { name: "global", arpMode: "flood", vlans: "100-200" });
    const vlan = { tenantName: "t1", networkName: "vl", encap: "vlan", subnet: "10.2.0.0/24" };
    await world.rest.post("/api/v1/networks/t1:vl/", vlan);
    const group = { tenantName: "t1", groupName: "g", networkName: "net", ipPool: "10.1.0.100-10.1.0.110" };
    await world.rest.post("/api/v1/endpointGroups/t1:g/", group);
    await world.addPod("member", 1, { ...NET, group: "g" });
    const before = await everything();
    const restarts: readonly (readonly [what: string, act: () => Promise<void>])[] = [
      ["etcd", () => restartEtcd(1)],
      ...[1, 2, 3].map((index) => [netmasterName(index), () => world.restartNetmaster(index)] as const),
      ...nodes.map((node) => [`netplugin-n${node}`, () => world.restartNetplugin(node, "SIGKILL")] as const),
      ...nodes.map((node) => [`switch of n${node}`, () => restartSwitch(node)] as const),
    ];
    for (const [what, act] of restarts) {
      await act();
      await eventually(
        what,
        async () => JSON.stringify(await everything().catch(String)),
        (now) => now === JSON.stringify(before),
        15_000,
      );
    }
    const next = () => world.addPod("next", 2, { ...NET, group: "g" }).then(() => "attached", String);
    await eventually("ADD", next, (answer) => answer === "attached"); // the switch's new socket is found within seconds
    await expectSound(world);
    await expectRingPings(world);
    expect(layout.netmasters).toBe(3);
  });

  async function restartEtcd(member: number): Promise<void> {
    const { layout } = world.cluster;
    await stopDaemon(layout.home, etcdName(member), "SIGKILL");
    await startEtcd(layout, member);
    await etcdReady(layout);
  }

  async function restartSwitch(node: number): Promise<void> {
    const { layout } = world.cluster;
    for (const name of ["vswitchd", "ovsdb"]) await stopDaemon(layout.home, `${name}-n${node}`, "SIGKILL");
    await startOvs(layout, node);
  }
});

describe("three members of etcd", () => {
  it("lose any one of them and nothing else", async () => {
    await world[Symbol.asyncDispose]();
    world = await startTestCluster({ nodes: 1, netmasters: 2, etcdMembers: 3 });
    const { layout } = world.cluster;
    await world.rest.post("/api/v1/tenants/t1/", { tenantName: "t1" });
    await world.rest.post("/api/v1/networks/t1:net/", { ...networkBody("net", 99), subnet: "10.1.0.0/24" });
    await world.addPod("a1", 1, NET);
    for (const member of [1, 2, 3]) {
      await stopDaemon(layout.home, etcdName(member), "SIGKILL");
      const tookMs = await writeMs(1 + (member % 2), `without${member}`, 50 + member);
      console.log(`member ${member} of etcd killed: next write after ${Math.round(tookMs)} ms`);
      await world.addPod("short", 1, NET);
      await world.removePod("short");
      await startEtcd(layout, member);
      await etcdReady(layout);
      await expectOnEveryMaster(`without${member}`);
    }
    await expectSound(world);
  });
});
