import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { inNetns, run } from "../../deploy/cluster/exec.ts";
import { controlNetns, NODE_NIC, setCable } from "../../deploy/cluster/underlay.ts";
import type { DeletionSite } from "./deletion-site.ts";
import { deletionSite } from "./deletion-site.ts";
import { askNetplugin } from "./node-dump.ts";
import { eventually, startTestCluster, type TestCluster } from "./test-cluster.ts";

/** Facts of a node's NIC change while netplugin runs: the node follows, or tells in its log and by a condition what is to be done. */
const DEVICE = `cu-${NODE_NIC}`;
const AGAIN_MS = 15_000;
/** Connections from an address that is gone are ended at once, and who knows the other one by an earlier MAC is told. */
const REGISTERED_MS = 15_000;
/** A neighbour table that is not told takes longer: it waits 5 s, and asks three times in 3 s at the earlier MAC (arp(7)). */
const TOLD_MS = 5_000;

let world: TestCluster;
let site: DeletionSite;
let targets: readonly (readonly [pod: string, address: string])[];
let sinceMs = 0;

beforeAll(async () => {
  world = await startTestCluster({ nodes: 2 });
  site = deletionSite(world);
  const { rest } = world;
  await rest.post("/api/v1/tenants/t1/", { tenantName: "t1" });
  for (const [networkName, encap, subnet] of [
    ["vx", "vxlan", "10.1.1.0/24"],
    ["vl", "vlan", "10.1.2.0/24"],
  ] as const) {
    await rest.post(`/api/v1/networks/t1:${networkName}/`, { tenantName: "t1", networkName, encap, subnet });
  }
  const pods = [
    ["a1", 1, "vx"],
    ["v1", 1, "vl"],
    ["b1", 2, "vx"],
    ["w1", 2, "vl"],
  ] as const;
  for (const [pod, node, network] of pods) await world.addPod(pod, node, { tenant: "t1", network });
  targets = [
    ["a1", (await world.addresses("b1"))[0] ?? ""],
    ["v1", (await world.addresses("w1"))[0] ?? ""],
  ];
  await expectPings();
});

beforeEach(() => {
  sinceMs = Date.now();
});

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

async function expectPings(): Promise<void> {
  const pinging = async () => {
    const answers = await Promise.all(targets.map(([pod, address]) => world.ping(pod, address, 1)));
    return answers.every((count) => count === 1);
  };
  await eventually("all pods ping", pinging, (all) => all, AGAIN_MS);
}

async function expectLine(line: RegExp): Promise<void> {
  const lines = async () =>
    world
      .log("netplugin-n1", 500)
      .split("\n")
      .filter((each) => each.startsWith("{") && Date.parse((JSON.parse(each) as { time: string }).time) >= sinceMs);
  await eventually(`told: ${line}`, lines, (all) => all.some((each) => line.test(each)), AGAIN_MS);
}

/** What the node itself says of its uplink: with the cable out nobody else hears of it. */
async function expectCondition(pattern: RegExp): Promise<void> {
  const uplink = async () => {
    const text = (await askNetplugin(world.cluster.layout, 1, "/inspect/driver")) ?? "{}";
    const { conditions = [] } = JSON.parse(text) as {
      conditions?: { type: string; status: string; message: string }[];
    };
    return conditions
      .filter(({ type }) => type === "uplink/default")
      .map(({ status, message }) => `${status}: ${message}`);
  };
  await eventually(`condition ${pattern}`, uplink, (texts) => texts.some((each) => pattern.test(each)), AGAIN_MS);
}

/** What netmaster's machine knows of an address on the underlay. */
async function neighbour(address: string): Promise<string> {
  return (await run(inNetns(controlNetns(world.cluster.layout.underlay), ["ip", "neigh", "show", address]))).stdout;
}

async function registered(): Promise<string> {
  return JSON.stringify(await world.rest.get("/api/v1/nodes/n1/"));
}

async function shown(): Promise<string> {
  return site.onNode(`ip -o address show dev ${DEVICE}; ip -o link show dev ${DEVICE}; ip route show dev ${DEVICE}`);
}

it("a node that starts takes none of its own flows for a stranger's", () => {
  for (const node of ["n1", "n2"]) expect(world.log(`netplugin-${node}`, 500)).not.toContain("not contiv's");
});

describe("the NIC of an uplink", () => {
  it("renamed: told under which name it is there; with its name back all is well", async () => {
    await site.onNode(`ip link set ${NODE_NIC} down name eth7 up`);
    await expectCondition(/failed: .*"eth0".*called "eth7" now/);
    await expectLine(/called \\"eth7\\" now.*An uplink does not work as it should/);
    await site.onNode(`ip link set eth7 down name ${NODE_NIC} up`);
    await expectLine(/The uplink works again/);
    await expectPings();
  });

  it("without carrier: told, and told when it is back", async () => {
    await setCable(world.cluster.layout.underlay, 1, false);
    await expectCondition(/degraded: NIC "eth0" has no carrier/);
    await expectLine(/has no carrier/);
    await setCable(world.cluster.layout.underlay, 1, true);
    await eventually(
      "line",
      async () => world.log("netplugin-n1", 60),
      (text) => text.includes("The uplink works again"),
      AGAIN_MS,
    );
    await expectPings();
  });

  it("with another MTU: followed by the bridge's port and by what the node registers", async () => {
    await site.onNode(`ip link set ${NODE_NIC} mtu 1400`);
    await expectLine(/MTU 1500 is 1400 now.*this node uses the new ones/);
    await eventually("port", shown, (text) => text.includes("mtu 1400"), AGAIN_MS);
    await eventually("registered", registered, (text) => text.includes('"underlayMtuBytes":1400'), AGAIN_MS);
    await site.onNode(`ip link set ${NODE_NIC} mtu 1500`);
    await expectLine(/MTU 1400 is 1500 now/);
    await eventually("port", shown, (text) => text.includes("mtu 1500"), AGAIN_MS);
    await expectPings();
  });

  it("with another MAC: the bridge's port has it too", async () => {
    await site.onNode(`ip link set ${NODE_NIC} address 02:00:00:00:00:77`);
    await expectLine(/MAC .* is 02:00:00:00:00:77 now/);
    await eventually("port", shown, (text) => text.includes("02:00:00:00:00:77"), AGAIN_MS);
    await expectPings();
  });
});

describe("addresses of an uplink", () => {
  it("changed: the node goes along, its tunnels too", async () => {
    await site.onNode(`ip address add 192.168.213.77/24 dev ${DEVICE}`);
    await site.onNode(`ip address delete 192.168.213.11/24 dev ${DEVICE}`);
    await expectLine(/address 192\.168\.213\.11\/24 is 192\.168\.213\.77\/24 now.*this node uses the new ones/);
    await eventually("registered", registered, (text) => text.includes("192.168.213.77"), REGISTERED_MS);
    await expectPings();
    expect(await shown()).not.toContain("192.168.213.11/24");
  });

  it("given to the NIC itself: moved to the bridge's port, and back by the same way", async () => {
    await site.onNode(`ip address add 192.168.213.11/24 dev ${NODE_NIC}`);
    await eventually("moved", shown, (text) => text.includes("192.168.213.11/24"), AGAIN_MS);
    await site.onNode(`ip address delete 192.168.213.77/24 dev ${DEVICE}`);
    await expectLine(/address 192\.168\.213\.77\/24 is 192\.168\.213\.11\/24 now/);
    await eventually("registered", registered, (text) => text.includes("192.168.213.11"), REGISTERED_MS);
    await expectPings();
  });

  it("that others know by an earlier MAC: they are told, and the node is registered as soon", async () => {
    expect(await neighbour("192.168.213.77")).toContain("02:00:00:00:00:77");
    await site.onNode(`ip link set ${NODE_NIC} address 02:00:00:00:00:78`);
    await eventually("port", shown, (text) => text.includes("02:00:00:00:00:78"), AGAIN_MS);
    for (const [address, before] of [
      ["192.168.213.77", "192.168.213.11"],
      ["192.168.213.11", "192.168.213.77"],
    ] as const) {
      await site.onNode(`ip address add ${address}/24 dev ${DEVICE}`);
      await site.onNode(`ip address delete ${before}/24 dev ${DEVICE}`);
      await eventually(
        "told",
        () => neighbour(address),
        (text) => text.includes("02:00:00:00:00:78"),
        TOLD_MS,
      );
      await eventually("registered", registered, (text) => text.includes(address), REGISTERED_MS);
    }
    await expectPings();
  });

  it("taken away: put back, with a line and a condition that name it", async () => {
    await site.onNode(`ip address flush dev ${DEVICE}`);
    await expectLine(/address 192\.168\.213\.11\/24 of cu-eth0.*repaired/);
    await expectCondition(/degraded: .*192\.168\.213\.11\/24.*it was put back.*ends by itself at \d{4}-/);
    await expectPings();
  });

  it("forgotten, by netplugin too: what is there is taken, and put back from then on", async () => {
    await world.kill("netplugin-n1", "SIGKILL");
    const inRoot = `'"contiv-nic-state:${NODE_NIC}"'`;
    const forget = ["remove", "Bridge", DEVICE, "external_ids", "contiv-nic-state"];
    await site.vsctl(...forget, "--", "remove", "Open_vSwitch", ".", "external_ids", inRoot);
    await world.restartNetplugin(1);
    const places = async () => [
      await site.vsctl("br-get-external-id", DEVICE),
      await site.vsctl("get", "Open_vSwitch", ".", "external_ids"),
    ];
    const areFull = (texts: readonly string[]) => texts.every((text) => text.includes("192.168.213.11/24"));
    await eventually("remembered", places, areFull, AGAIN_MS);
    await site.onNode(`ip address flush dev ${DEVICE}`);
    await expectLine(/address 192\.168\.213\.11\/24 of cu-eth0.*repaired/);
    await expectPings();
  });

  it("a route: one that is added is remembered, one that is lost is put back", async () => {
    await site.onNode(`ip route add 10.99.0.0/16 via 192.168.213.1 dev ${DEVICE}`);
    await expectLine(/route 10\.99\.0\.0\/16 via 192\.168\.213\.1 is new/);
    await site.onNode(`ip route delete 10.99.0.0/16 dev ${DEVICE}`);
    await expectLine(/route 10\.99\.0\.0\/16 via 192\.168\.213\.1 of cu-eth0.*repaired/);
    expect(await shown()).toContain("10.99.0.0/16 via 192.168.213.1");
  });
});
