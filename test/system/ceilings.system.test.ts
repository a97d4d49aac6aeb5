import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import {
  netpluginName,
  netpluginReady,
  ovsRunDirectory,
  startNetplugin,
  startOvs,
  vswitchdName,
} from "../../deploy/cluster/components.ts";
import { inNetns, run } from "../../deploy/cluster/exec.ts";
import { findPod } from "../../deploy/cluster/pods.ts";
import { nodeNetns } from "../../deploy/cluster/underlay.ts";
import { eventually, startTestCluster, type TestCluster } from "./test-cluster.ts";
import { type FlowOptions, measure, serveIperf, steadily } from "./throughput.ts";

/** Ceilings over all pods of a group, and of a tenant, on one node, with real traffic. */
let world: TestCluster;

/** A tenth of a second at 10 Mbit/s: what UDP takes in a few seconds is the rate then. */
const BURST_KILOBYTES = 125;
/** What somebody removed by hand is found within two seconds; a busy machine takes its time. */
const REPAIR_TIMEOUT_MS = 10_000;
const WEB = "/api/v1/endpointGroups/t1:web/";
const TENANT = "/api/v1/tenants/t1/";

beforeAll(async () => {
  world = await startTestCluster({ nodes: 2 });
  await world.rest.post(TENANT, { tenantName: "t1" });
  const network = { tenantName: "t1", networkName: "net", encap: "vxlan", subnet: "10.1.0.0/16" };
  await world.rest.post("/api/v1/networks/t1:net/", network);
  for (const groupName of ["web", "db"]) {
    await world.rest.post(`/api/v1/endpointGroups/t1:${groupName}/`, {
      tenantName: "t1",
      groupName,
      networkName: "net",
    });
  }
  for (const [pod, node, group] of [
    ["web1", 1, "web"],
    ["web2", 1, "web"],
    ["db1", 1, "db"],
    ["far1", 2, ""],
    ["far2", 2, ""],
    ["far3", 2, ""],
  ] as const) {
    await world.addPod(pod, node, { tenant: "t1", network: "net", ...(group === "" ? {} : { group }) });
  }
  for (const pod of ["far1", "far2", "far3"]) await serveIperf(world, pod);
});

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

const NONE = { ingressCeiling: null, ingressCeilingBurst: null, egressCeiling: null, egressCeilingBurst: null };

afterEach(async () => {
  for (const path of [WEB, TENANT]) await world.rest.patch(path, NONE);
  await meterRates([]);
});

const ofctl = async (command: string, ...more: string[]) => {
  const bridge = `${ovsRunDirectory(world.cluster.layout, 1)}/contiv-int.mgmt`;
  const argv = ["ovs-ofctl", "-O", "OpenFlow15", command, bridge, ...more];
  return (await run(inNetns(nodeNetns(world.cluster.layout.underlay, 1), argv))).stdout;
};

async function ratesNow(): Promise<readonly number[]> {
  return [...(await ofctl("dump-meters")).matchAll(/ kbps[^\n]*\n?[^\n]*?rate=(\d+)/g)]
    .map((found) => Number(found[1]))
    .sort((a, b) => a - b);
}

/** Waits until node 1 has meters of exactly these rates, in kbit/s. */
async function meterRates(rates: readonly number[], timeoutMs = 5_000): Promise<void> {
  const ask = () => ratesNow().catch(() => "the switch does not answer"); // it has just been started again
  await eventually("meters", ask, (found) => String(found) === String(rates), timeoutMs);
}

const SERVERS = { web1: "far1", web2: "far2", db1: "far3" } as const;
type Pod = keyof typeof SERVERS;

async function received(from: Pod, more: Partial<FlowOptions>): Promise<number> {
  const [address = ""] = await world.addresses(SERVERS[from]);
  const flow = await measure(world, { from, address, seconds: 2, omitSeconds: 1, ...more });
  return flow.receivedBitPerSecond / 1e6;
}

/** What each of them gets through in Mbit/s while all are at it. */
function together(pods: readonly Pod[], more: Partial<FlowOptions>): Promise<readonly number[]> {
  return Promise.all(pods.map((pod) => received(pod, more)));
}

const sum = (rates: readonly number[]) => rates.reduce((total, rate) => total + rate, 0);
function expectNear(megabitPerSecond: number, expected: number): void {
  expect(megabitPerSecond).toBeGreaterThan(expected * 0.85);
  expect(megabitPerSecond).toBeLessThan(expected * 1.05);
}

const UDP = { udpBitPerSecond: 15e6 };

it("hold all pods of a group together, each way, and nobody else", async () => {
  const bursts = { ingressCeilingBurst: BURST_KILOBYTES, egressCeilingBurst: BURST_KILOBYTES };
  await world.rest.patch(WEB, { ingressCeiling: "16mbps", egressCeiling: "10mbps", ...bursts });
  await meterRates([10_000, 16_000]);
  await steadily(async () => {
    const [web1 = 0, web2 = 0, db1 = 0] = await together(["web1", "web2", "db1"], UDP);
    expectNear(web1 + web2, 10);
    expect(db1).toBeGreaterThan(15 * 0.85);
  });
  await steadily(async () => {
    const inwards = await together(["web1", "web2", "db1"], { ...UDP, reverse: true });
    expectNear(sum(inwards.slice(0, 2)), 16);
    expect(inwards[2]).toBeGreaterThan(15 * 0.85);
  });
});

it("hold TCP, too; what they drop is told to admins", async () => {
  await world.rest.patch(WEB, { ingressCeiling: "10mbps", egressCeiling: "10mbps" });
  await meterRates([10_000, 10_000]);
  const seconds = 3;
  for (const reverse of [false, true]) {
    await steadily(async () => {
      const rates = await together(["web1", "web2"], { seconds, omitSeconds: 0, reverse });
      expect(sum(rates) * seconds).toBeLessThan(10 * (seconds + 1) * 1.05); // rate × time and a second's burst
      expect(sum(rates)).toBeGreaterThan(10 * 0.7);
    });
  }
  type Shown = { readonly totalBytes: number; readonly droppedPackets: number; readonly mechanism: string };
  type Node = { readonly node: string; readonly podIngress?: Shown; readonly podEgress?: Shown };
  type Oper = { readonly ceilings: { readonly podEgress: object; readonly nodes: readonly Node[] } };
  const { Oper } = await eventually(
    "reports",
    () => world.rest.get<{ Oper: Oper }>(WEB.replace("v1/", "v1/inspect/")),
    (answer) => (answer.Oper.ceilings.nodes[0]?.podIngress?.droppedPackets ?? 0) > 0,
  );
  expect(Oper.ceilings.podEgress).toEqual({ rateBitPerSecond: 10e6 });
  expect(Oper.ceilings.nodes).toHaveLength(1);
  expect(Oper.ceilings.nodes[0]?.podEgress?.totalBytes).toBeGreaterThan(1e6);
  expect(Oper.ceilings.nodes[0]?.podEgress).toMatchObject({ mechanism: "meter", droppedPackets: expect.any(Number) });
  const key = encodeURIComponent(`${findPod(world.cluster.layout, "web1").containerId}:eth0`);
  const { limits } = await world.rest.get<{ limits: object }>(`/api/v1/endpoints/${key}/bandwidth/`);
  const over = { kind: "endpointGroup", key: "t1:web", podIngress: { rateBitPerSecond: 10e6 } };
  expect(limits).toMatchObject({ ceilings: [over] });
  const metrics = await world.onNode(1, ["curl", "-s", "http://127.0.0.1:9090/metrics"]);
  expect(metrics.stdout).toMatch(
    /contiv_netplugin_ceiling_bits_per_second\{kind="endpointGroup",key="t1:web",direction="egress"\} 10000000/,
  );
});

it("of a tenant hold pods of different groups together; a change acts on what is running", async () => {
  const burst = { egressCeilingBurst: BURST_KILOBYTES };
  await world.rest.patch(TENANT, { egressCeiling: "6mbps", ...burst });
  await world.rest.patch(WEB, { egressCeiling: "4mbps", ...burst });
  await meterRates([4_000, 6_000]);
  await steadily(async () => {
    const rates = await together(["web1", "db1"], UDP);
    expectNear(sum(rates), 6);
    expect(rates[0]).toBeLessThan(4 * 1.05);
  });
  await steadily(async () => {
    await world.rest.patch(TENANT, { egressCeiling: "6mbps", ...burst });
    await meterRates([4_000, 6_000]);
    const running = received("db1", { ...UDP, seconds: 3, omitSeconds: 2 });
    await world.rest.patch(TENANT, { egressCeiling: "12mbps" });
    await meterRates([4_000, 12_000], 1_000);
    expectNear(await running, 12);
  });
});

/** ICMP messages that a pod's kernel has seen. */
async function icmpCount(pod: string): Promise<number> {
  const { stdout } = await world.inPod(pod, ["cat", "/proc/net/snmp"]);
  return Number(/^Icmp: (\d+)/m.exec(stdout)?.[1]);
}

it("drop the copies of flooded packets for their own pods only", async () => {
  await world.rest.patch(WEB, { ingressCeiling: "100kbps", ingressCeilingBurst: 2 });
  await meterRates([100]);
  const pods = ["web1", "web2", "db1"];
  const before = await Promise.all(pods.map(icmpCount));
  const count = 50;
  await world.inPod("far1", ["ping", "-b", "-c", `${count}`, "-i", "0.01", "-s", "1372", "-W", "1", "10.1.255.255"]);
  const [web1 = 0, web2 = 0, db1 = 0] = (await Promise.all(pods.map(icmpCount))).map(
    (each, i) => each - (before[i] ?? 0),
  );
  expect(db1).toBeGreaterThanOrEqual(count);
  expect(web1 + web2).toBeLessThan(count / 2);
});

it("stay in force without the agent, come back when somebody takes them away, and outlive the switch", async () => {
  const { layout } = world.cluster;
  await world.rest.patch(WEB, { egressCeiling: "10mbps" });
  await meterRates([10_000]);
  await world.kill(netpluginName(1));
  await world.rest.patch(WEB, { egressCeiling: "9mbps" });
  expect(await ratesNow()).toEqual([10_000]);
  await startNetplugin(layout, 1);
  await netpluginReady(layout, 1);
  await meterRates([9_000], REPAIR_TIMEOUT_MS);
  await ofctl("del-meters");
  await meterRates([9_000], REPAIR_TIMEOUT_MS);
  const metered = async () => (await ofctl("dump-flows", "table=0")).match(/meter:/g)?.length ?? 0;
  await eventually("flows", metered, (found) => found === 2, REPAIR_TIMEOUT_MS);
  await world.kill(vswitchdName(1));
  await startOvs(layout, 1);
  await meterRates([9_000], 3 * REPAIR_TIMEOUT_MS);
  const [address = ""] = await world.addresses("far1");
  await eventually(
    "the way back",
    () => world.ping("web1", address),
    (answers) => answers > 0,
    REPAIR_TIMEOUT_MS,
  );
  await steadily(async () => expectNear(sum(await together(["web1", "web2"], UDP)), 9));
  await world.rest.patch(WEB, NONE);
  await meterRates([]);
  expect(await metered()).toBe(0);
});
