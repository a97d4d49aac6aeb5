import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { netpluginName, netpluginReady, ovsRunDirectory, startNetplugin } from "../../deploy/cluster/components.ts";
import { inNetns, run } from "../../deploy/cluster/exec.ts";
import { findPod } from "../../deploy/cluster/pods.ts";
import { nodeNetns, panelNetns, podNetns } from "../../deploy/cluster/underlay.ts";
import { eventually, startTestCluster, type TestCluster } from "./test-cluster.ts";
import { type Flow, type FlowOptions, measure, serveIperf } from "./throughput.ts";

/** What somebody removed by hand is found by events or by the regular comparison; a busy machine takes its time. */
const REPAIR_TIMEOUT_MS = 10_000;

/** Bandwidth limits and DSCP with real traffic (scenarios 17 to 22 and 55 of the acceptance list). */
let world: TestCluster;

beforeAll(async () => {
  world = await startTestCluster({ nodes: 2, netmasters: 2 });
  for (const name of ["t1", "t2"]) await tenant(name);
});

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

async function tenant(tenantName: string): Promise<void> {
  await world.rest.post(`/api/v1/tenants/${tenantName}/`, { tenantName });
  const subnets = { subnet: "10.1.0.0/16", ipv6Subnet: "fd01::/64" };
  const network = { tenantName, networkName: "net", encap: "vxlan", ...subnets };
  await world.rest.post(`/api/v1/networks/${tenantName}:net/`, network);
  for (const groupName of ["web", "db"]) await attach(groupName, "", tenantName);
}

async function profile(profileName: string, members: object, tenantName = "t1"): Promise<void> {
  await world.rest.post(`/api/v1/netprofiles/${tenantName}:${profileName}/`, { tenantName, profileName, ...members });
}

async function attach(groupName: string, netProfile: string, tenantName = "t1"): Promise<void> {
  const group = { tenantName, groupName, networkName: "net", netProfile };
  await world.rest.post(`/api/v1/endpointGroups/${tenantName}:${groupName}/`, group);
}

async function clear(): Promise<void> {
  await world.removeAllPods();
  for (const tenantName of ["t1", "t2"]) {
    for (const groupName of ["web", "db"]) await attach(groupName, "", tenantName);
  }
  const profiles = await world.rest.get<{ key: string }[]>("/api/v1/netprofiles/");
  for (const { key } of profiles) await world.rest.delete(`/api/v1/netprofiles/${key}/`);
}

const keyOf = (pod: string) => `${findPod(world.cluster.layout, pod).containerId}:eth0`;
const onNode = async (node: number, ...argv: string[]) =>
  (await run(inNetns(nodeNetns(world.cluster.layout.underlay, node), argv))).stdout;
const inPanel = async (node: number, ...argv: string[]) =>
  (await run(inNetns(panelNetns(world.cluster.layout.underlay, node), argv))).stdout;
const ofctl = (node: number, command: string, ...more: string[]) =>
  onNode(
    node,
    "ovs-ofctl",
    "-O",
    "OpenFlow15",
    command,
    `${ovsRunDirectory(world.cluster.layout, node)}/contiv-int.mgmt`,
    ...more,
  );

interface Inspected {
  readonly key: string;
  readonly portName?: string;
  readonly ofport?: number;
  readonly complaint?: string;
  readonly limits?: Readonly<
    Record<"podIngress" | "podEgress", { mechanism: string; rateBitPerSecond: number; source: string }>
  >;
}

async function inspect(node: number, pod: string): Promise<Inspected | undefined> {
  const text = await onNode(node, "curl", "-s", "http://127.0.0.1:9090/inspect/bandwidth");
  const { endpoints } = JSON.parse(text) as { endpoints: Inspected[] };
  return endpoints.find(({ key }) => key === keyOf(pod));
}

interface Qdisc {
  readonly kind: string;
  readonly handle?: string;
  readonly options?: { readonly rate?: number; readonly burst?: number };
}

/** The rate of the tbf at a device's root in bit/s, as tc shows it; 0 without one. */
async function tbfRate(show: typeof onNode, node: number, device: string): Promise<number> {
  const qdiscs = JSON.parse(await show(node, "tc", "-j", "qdisc", "show", "dev", device, "root")) as Qdisc[];
  const tbf = qdiscs.find(({ kind }) => kind === "tbf");
  return (tbf?.options?.rate ?? 0) * 8;
}

const nearRate = (node: number, port: string) => tbfRate(onNode, node, port);
const farRate = (node: number, port: string) => tbfRate(inPanel, node, port.replace("cvh", "cvp"));
const meterRates = async (node: number) =>
  Object.fromEntries(
    [...(await ofctl(node, "dump-meters")).matchAll(/meter=(\d+).*?\n?.*?rate=(\d+)/gs)].map((m) => [
      m[1],
      Number(m[2]),
    ]),
  );

const mbit = (flow: Flow) => flow.receivedBitPerSecond / 1e6;

/** TCP's payload is 95 % of what is on the wire; the rest is what a few seconds of measuring give away. */
function expectNear(flow: Flow, rateMbit: number, { below = 0.85, above = 1.05 } = {}): void {
  expect(mbit(flow)).toBeGreaterThan(rateMbit * below);
  expect(mbit(flow)).toBeLessThan(rateMbit * above);
}

const addressOf = async (pod: string, family: 4 | 6 = 4) => (await world.addresses(pod))[family === 4 ? 0 : 1] ?? "";

async function flow(from: string, to: string, more: Partial<FlowOptions> = {}): Promise<Flow> {
  return measure(world, { from, address: await addressOf(to), seconds: 3, omitSeconds: 1, ...more });
}

async function bothWays(from: string, to: string, more: Partial<FlowOptions> = {}): Promise<readonly [Flow, Flow]> {
  return [await flow(from, to, more), await flow(from, to, { ...more, reverse: true })];
}

async function expectBoth(from: string, to: string, rateMbit: number, more: Partial<FlowOptions> = {}): Promise<void> {
  for (const each of await bothWays(from, to, more)) expectNear(each, rateMbit);
}

async function expectUnlimited(from: string, to: string): Promise<void> {
  for (const each of await bothWays(from, to, { seconds: 2 })) expect(mbit(each)).toBeGreaterThan(40);
}

const SHAPE = { egressMode: "shape" };

describe("a group's netprofile", () => {
  beforeEach(async () => {
    await world.addPod("client", 1, { tenant: "t1", network: "net", group: "web" });
    await world.addPod("server", 2, { tenant: "t1", network: "net" });
    await serveIperf(world, "server");
  });
  afterEach(clear);

  it("limits running pods both ways, a change within a second and without losing a connection (17)", async () => {
    await expectUnlimited("client", "server");
    await profile("gold", { bandwidth: "6 Mbps", DSCP: 6, burst: 80, ...SHAPE });
    await attach("web", "gold");
    const { portName = "" } =
      (await eventually(
        "limits",
        () => inspect(1, "client"),
        (found) => found?.limits !== undefined,
        1_000,
      )) ?? {};
    expect(await nearRate(1, portName)).toBe(6e6);
    expect(await farRate(1, portName)).toBe(6e6);
    await expectBoth("client", "server", 6);
    const running = flow("client", "server", { seconds: 6, omitSeconds: 0 });
    await sleep(2_000);
    await profile("gold", { bandwidth: "16 Mbps", DSCP: 6, burst: 80, ...SHAPE });
    await eventually(
      "new rate",
      () => nearRate(1, portName),
      (rate) => rate === 16e6,
      1_000,
    );
    expect(await farRate(1, portName)).toBe(16e6);
    expect(mbit(await running)).toBeGreaterThan(8);
    await expectBoth("client", "server", 16);
    await expectBoth("client", "server", 16, { address: await addressOf("server", 6), connections: 8 });
  });

  it("goes when it is detached or says nothing, and another one takes its place (18)", async () => {
    await profile("gold", { bandwidth: "6mbps", ...SHAPE });
    await profile("silver", { bandwidth: "3mbps", ...SHAPE });
    await attach("web", "gold");
    await expectBoth("client", "server", 6);
    await attach("web", "");
    await eventually(
      "no limits",
      () => inspect(1, "client"),
      (found) => found?.limits === undefined,
      1_000,
    );
    await expectUnlimited("client", "server");
    await world.rest.delete("/api/v1/netprofiles/t1:gold/");
    await attach("web", "silver");
    await sleep(500);
    await expectBoth("client", "server", 3);
    await expect(world.rest.delete("/api/v1/netprofiles/t1:silver/")).rejects.toThrow(/used by/);
    await profile("silver", { bandwidth: "" });
    await sleep(500);
    await expectUnlimited("client", "server");
  });

  it("polices what the pod sends when it does not say otherwise, never above rate and burst (55)", async () => {
    await profile("gold", { bandwidth: "10mbps", DSCP: 10 });
    await attach("web", "gold");
    const found = await eventually(
      "limits",
      () => inspect(1, "client"),
      (each) => each?.limits !== undefined,
      1_000,
    );
    expect(found?.limits?.podEgress).toMatchObject({
      mechanism: "meter",
      rateBitPerSecond: 10e6,
      source: "netprofile",
    });
    expect(await meterRates(1)).toEqual({ [String(found?.ofport)]: 10_000 });
    const seconds = 5;
    const sent = await flow("client", "server", { seconds, omitSeconds: 0 });
    expect(mbit(sent) * seconds).toBeLessThan(10 * (seconds + 1) * 1.02); // rate × time + a second's burst
    expect(mbit(sent)).toBeGreaterThan(8.5);
    const udp = await flow("client", "server", { udpBitPerSecond: 30e6 });
    expectNear(udp, 10, { below: 0.9, above: 1.1 });
    const flows = await ofctl(1, "dump-flows", "table=10");
    expect(flows).toMatch(/ip,.*nw_src=10\.1\..*actions=set_field:10->ip_dscp/);
    expect(flows).toMatch(/ipv6_src=fd01::.*actions=set_field:10->ip_dscp/);
  });

  it("marks IPv4 and IPv6 of what the pod sends with its DSCP, and only that (55)", async () => {
    await profile("gold", { DSCP: 46 });
    await attach("web", "gold");
    await eventually(
      "flows",
      () => ofctl(1, "dump-flows", "table=10"),
      (text) => text.includes("ip_dscp"),
      1_000,
    );
    const tos = async (from: string, to: string, family: 4 | 6) => {
      const netns = podNetns(world.cluster.layout.underlay, to);
      const filter = family === 4 ? "icmp[icmptype]==8" : "icmp6 and ip6[40]==128";
      const seen = run(inNetns(netns, ["timeout", "5", "tcpdump", "-nvi", "eth0", "-c", "1", filter]), {
        allowFailure: true,
      });
      await sleep(1_000);
      await world.ping(from, await addressOf(to, family), 3);
      const { stdout } = await seen;
      return /(tos|class) 0x([0-9a-f]+)/.exec(stdout)?.[2] ?? "00";
    };
    expect(Number.parseInt(await tos("client", "server", 4), 16) >> 2).toBe(46);
    expect(Number.parseInt(await tos("client", "server", 6), 16) >> 2).toBe(46);
    expect(Number.parseInt(await tos("server", "client", 4), 16) >> 2).toBe(0);
  });

  it("is repaired when somebody takes it away by hand", async () => {
    await profile("gold", { bandwidth: "10mbps", ...SHAPE });
    await attach("web", "gold");
    const found = await eventually(
      "limits",
      () => inspect(1, "client"),
      (each) => each?.limits !== undefined,
      REPAIR_TIMEOUT_MS,
    );
    const port = found?.portName ?? "";
    await onNode(1, "tc", "qdisc", "del", "dev", port, "root");
    await eventually(
      "near end",
      () => nearRate(1, port),
      (rate) => rate === 10e6,
      REPAIR_TIMEOUT_MS,
    );
    await inPanel(1, "tc", "qdisc", "replace", "dev", port.replace("cvh", "cvp"), "root", "pfifo");
    await eventually(
      "far end",
      () => farRate(1, port),
      (rate) => rate === 10e6,
      REPAIR_TIMEOUT_MS,
    );
    await profile("gold", { bandwidth: "10mbps" });
    await eventually(
      "meter",
      () => meterRates(1),
      (rates) => Object.keys(rates).length === 1,
      REPAIR_TIMEOUT_MS,
    );
    await ofctl(1, "del-meters");
    await eventually(
      "meter again",
      () => meterRates(1),
      (rates) => Object.values(rates)[0] === 10_000,
      REPAIR_TIMEOUT_MS,
    );
    expect(await world.ping("client", await addressOf("server"), 3)).toBeGreaterThan(0);
  });

  it("changed while the agent is down is applied when it starts (20)", async () => {
    await profile("gold", { bandwidth: "10mbps", ...SHAPE });
    await attach("web", "gold");
    const found = await eventually(
      "limits",
      () => inspect(1, "client"),
      (each) => each?.limits !== undefined,
      1_000,
    );
    const port = found?.portName ?? "";
    await world.kill(netpluginName(1));
    expect(await nearRate(1, port)).toBe(10e6);
    await profile("gold", { bandwidth: "5mbps", ...SHAPE });
    await startNetplugin(world.cluster.layout, 1);
    await netpluginReady(world.cluster.layout, 1);
    await eventually(
      "new rate",
      () => nearRate(1, port),
      (rate) => rate === 5e6,
      5_000,
    );
    expect(await farRate(1, port)).toBe(5e6);
    await expectBoth("client", "server", 5);
  });

  it("survives a change of the leader and can be updated afterwards (21)", async () => {
    await profile("gold", { bandwidth: "10mbps", ...SHAPE });
    await attach("web", "gold");
    const found = await eventually(
      "limits",
      () => inspect(1, "client"),
      (each) => each?.limits !== undefined,
      1_000,
    );
    await world.restartNetmaster(1, "SIGKILL");
    await eventually(
      "a leader",
      () =>
        profile("gold", { bandwidth: "5mbps", ...SHAPE }).then(
          () => true,
          () => false,
        ),
      Boolean,
      20_000,
    );
    await eventually(
      "new rate",
      () => nearRate(1, found?.portName ?? ""),
      (rate) => rate === 5e6,
      15_000,
    );
  });
});

describe("several groups and tenants", () => {
  afterEach(clear);

  it("equal names in different tenants do not affect each other (19)", async () => {
    for (const [tenantName, bandwidth] of [
      ["t1", "4mbps"],
      ["t2", "9mbps"],
    ] as const) {
      await profile("gold", { bandwidth, ...SHAPE }, tenantName);
      await attach("web", "gold", tenantName);
      await world.addPod(`${tenantName}-a`, 1, { tenant: tenantName, network: "net", group: "web" });
      await world.addPod(`${tenantName}-b`, 2, { tenant: tenantName, network: "net" });
      await serveIperf(world, `${tenantName}-b`);
    }
    await expectBoth("t1-a", "t1-b", 4);
    await expectBoth("t2-a", "t2-b", 9);
    await profile("gold", { bandwidth: "7mbps", ...SHAPE }, "t2");
    await sleep(500);
    await expectBoth("t1-a", "t1-b", 4);
    await expectBoth("t2-a", "t2-b", 7);
  });

  it("hold per endpoint, for what it sends and receives, across groups (22)", async () => {
    await profile("slow", { bandwidth: "4mbps", ...SHAPE });
    await profile("fast", { bandwidth: "12mbps", ...SHAPE });
    await attach("web", "slow");
    await attach("db", "fast");
    await world.addPod("w1", 1, { tenant: "t1", network: "net", group: "web" });
    await world.addPod("d1", 1, { tenant: "t1", network: "net", group: "db" });
    await world.addPod("d2", 2, { tenant: "t1", network: "net", group: "db" });
    await serveIperf(world, "d2");
    const [slow, fast] = await Promise.all([
      flow("w1", "d2", { seconds: 4 }),
      serveIperf(world, "d1").then(() => flow("d2", "d1", { seconds: 4 })),
    ]);
    expectNear(slow, 4);
    expectNear(fast, 12);
    await expectBoth("w1", "d2", 4);
  });
});

describe("limits of one endpoint", () => {
  afterEach(clear);

  it("come with ADD from annotations and runtimeConfig, and hold when ADD has answered", async () => {
    const annotations = { "kubernetes.io/ingress-bandwidth": "5M", "kubernetes.io/egress-bandwidth": "7M" };
    await world.addPod("noted", 1, { tenant: "t1", network: "net", annotations });
    const noted = await inspect(1, "noted");
    expect(noted?.limits?.podIngress).toMatchObject({ rateBitPerSecond: 5e6, source: "annotation" });
    expect(await nearRate(1, noted?.portName ?? "")).toBe(5e6);
    expect(Object.values(await meterRates(1))).toContain(7_000);
    const bandwidth = { IngressRate: 3e6, ingressBurst: 4_294_967_295, egressRate: 2e6 };
    await world.addPod("told", 1, { tenant: "t1", network: "net", annotations, bandwidth });
    const told = await inspect(1, "told");
    expect(told?.limits).toMatchObject({
      podIngress: { rateBitPerSecond: 3e6, source: "runtime" },
      podEgress: { rateBitPerSecond: 2e6, source: "runtime" },
    });
    const refused = world.addPod("wrong", 1, {
      tenant: "t1",
      network: "net",
      annotations: { "kubernetes.io/egress-bandwidth": "10m" },
    });
    await expect(refused).rejects.toThrow(/egress-bandwidth must be 1k to 1P/);
  });

  it("are set and taken away by REST, win over the others, and are measured", async () => {
    await profile("gold", { bandwidth: "9mbps", ...SHAPE });
    await attach("web", "gold");
    await world.addPod("client", 1, { tenant: "t1", network: "net", group: "web" });
    await world.addPod("server", 2, { tenant: "t1", network: "net" });
    await serveIperf(world, "server");
    const url = `/api/v1/endpoints/${encodeURIComponent(keyOf("client"))}`;
    await world.rest.patch(`${url}/`, { egressBandwidth: "4mbps" });
    await eventually(
      "own limit",
      () => inspect(1, "client"),
      (found) => found?.limits?.podEgress.source === "rest",
      1_000,
    );
    const [sent, received] = await bothWays("client", "server", { seconds: 5 });
    expectNear(sent, 4);
    expectNear(received, 9);
    type Answer = {
      limits: object;
      measured?: { overSeconds: number; podIngress: { bitPerSecond: number; droppedPackets?: number } };
    };
    const answer = await eventually(
      "measured",
      () => world.rest.get<Answer>(`${url}/bandwidth/`),
      ({ measured }) => (measured?.podIngress.bitPerSecond ?? 0) > 1e6,
    );
    expect(answer.limits).toMatchObject({ podEgress: { rateBitPerSecond: 4e6, source: "rest" } });
    expect(answer.measured?.podIngress).toMatchObject({ mechanism: "tbf", droppedPackets: expect.any(Number) });
    const metrics = await onNode(1, "curl", "-s", "http://127.0.0.1:9090/metrics");
    expect(metrics).toMatch(
      /contiv_netplugin_limit_bits_per_second\{.*direction="egress",source="rest",mechanism="panel-tbf"\} 4000000/,
    );
    await world.rest.patch(`${url}/`, { egressBandwidth: null });
    await eventually(
      "group's limit",
      () => inspect(1, "client"),
      (found) => found?.limits?.podEgress.source === "netprofile",
      1_000,
    );
  });

  it("do not pass from a pod to the next one on its port", async () => {
    for (let round = 0; round < 12; round++) {
      const annotations = { "kubernetes.io/ingress-bandwidth": "5M" };
      await world.addPod("limited", 1, { tenant: "t1", network: "net", annotations });
      await world.removePod("limited");
    }
    const pods = Array.from({ length: 12 }, (_, index) => `free${index}`);
    for (const pod of pods) await world.addPod(pod, 1, { tenant: "t1", network: "net" });
    await eventually(
      "bare ports",
      () => onNode(1, "tc", "qdisc", "show"),
      (text) => !text.includes("tbf"),
      2_000,
    );
  });
});

describe("many changes", () => {
  afterEach(clear);

  it("leave every port with exactly what the store says when the agent is killed among them", async () => {
    const pods = Array.from({ length: 8 }, (_, index) => `p${index}`);
    await profile("gold", { bandwidth: "10mbps", ...SHAPE });
    await attach("web", "gold");
    for (const pod of pods) await world.addPod(pod, 1, { tenant: "t1", network: "net", group: "web" });
    const changing = (async () => {
      for (let index = 1; index <= 100; index++) await profile("gold", { bandwidth: `${index}mbps`, ...SHAPE });
    })();
    await sleep(200);
    await world.kill(netpluginName(1));
    await startNetplugin(world.cluster.layout, 1);
    await netpluginReady(world.cluster.layout, 1);
    await changing;
    for (const pod of pods) {
      const found = await eventually(
        pod,
        () => inspect(1, pod),
        (each) => each?.limits?.podIngress.rateBitPerSecond === 100e6,
        5_000,
      );
      expect(await nearRate(1, found?.portName ?? "")).toBe(100e6);
      expect(await farRate(1, found?.portName ?? "")).toBe(100e6);
    }
  });
});
