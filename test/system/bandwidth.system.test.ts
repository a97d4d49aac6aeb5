import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  netpluginName,
  netpluginReady,
  startNetplugin,
  startOvs,
  vswitchdName,
} from "../../deploy/cluster/components.ts";
import { inNetns, run } from "../../deploy/cluster/exec.ts";
import { podNetns } from "../../deploy/cluster/underlay.ts";
import { bandwidthAdmin, bandwidthNodes, bandwidthTraffic, mbit } from "./bandwidth-world.ts";
import { eventually, startTestCluster, type TestCluster } from "./test-cluster.ts";
import { type Flow, type FlowOptions, serveIperf, steadily } from "./throughput.ts";

/** What somebody removed by hand is found by events or by the regular comparison; a busy machine takes its time. */
const REPAIR_TIMEOUT_MS = 10_000;
/** A change of a limit is in force within a second, which the first test measures; the others only wait for it. */
const LIMITS_TIMEOUT_MS = 10_000;

/** Bandwidth limits and DSCP with real traffic (scenarios 17 to 22 and 55 of the acceptance list). */
let world: TestCluster;

beforeAll(async () => {
  world = await startTestCluster({ nodes: 2, netmasters: 2 });
  for (const name of ["t1", "t2"]) await tenant(name);
});

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

const { tenant, profile, attach, clear } = bandwidthAdmin(() => world);
const { keyOf, onNode, inPanel, ofctl, inspect, nearRate, farRate, meterRates } = bandwidthNodes(() => world);
const { addressOf, flow, bothWays } = bandwidthTraffic(() => world);

/** TCP's payload is 95 % of what is on the wire; the rest is what a few seconds of measuring give away. */
function expectNear(flow: Flow, rateMbit: number, { below = 0.85, above = 1.05 } = {}): void {
  expect(mbit(flow)).toBeGreaterThan(rateMbit * below);
  expect(mbit(flow)).toBeLessThan(rateMbit * above);
}

async function expectBoth(from: string, to: string, rateMbit: number, more: Partial<FlowOptions> = {}): Promise<void> {
  await steadily(async () => {
    for (const each of await bothWays(from, to, more)) expectNear(each, rateMbit);
  });
}

async function expectUnlimited(from: string, to: string): Promise<void> {
  await steadily(async () => {
    for (const each of await bothWays(from, to, { seconds: 2 })) expect(mbit(each)).toBeGreaterThan(40);
  });
}

/** UDP far above the rate: what arrives is the rate. */
async function expectUdp(from: string, to: string, rateMbit: number): Promise<void> {
  await steadily(async () => {
    expectNear(await flow(from, to, { udpBitPerSecond: 3e6 * rateMbit }), rateMbit, { below: 0.9, above: 1.1 });
  });
}

/** Waits until both shapers of a pod on node 1 have this rate; 0 is none. */
async function rates(pod: string, rateMbit: number): Promise<void> {
  const { portName = "" } = (await inspect(1, pod)) ?? {};
  await eventually(
    `shapers of ${pod}`,
    async () => [await nearRate(1, portName), await farRate(1, portName)],
    (found) => isDeepStrictEqual(found, [rateMbit * 1e6, rateMbit * 1e6]),
    LIMITS_TIMEOUT_MS,
  );
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
      LIMITS_TIMEOUT_MS,
    );
    await expectUnlimited("client", "server");
    await world.rest.delete("/api/v1/netprofiles/t1:gold/");
    await attach("web", "silver");
    await rates("client", 3);
    await expectBoth("client", "server", 3);
    await expect(world.rest.delete("/api/v1/netprofiles/t1:silver/")).rejects.toThrow(/used by/);
    await profile("silver", { bandwidth: "" });
    await rates("client", 0);
    await expectUnlimited("client", "server");
  });

  it("polices what the pod sends when it does not say otherwise, never above rate and burst (55)", async () => {
    await profile("gold", { bandwidth: "10mbps", DSCP: 10 });
    await attach("web", "gold");
    const found = await eventually(
      "limits",
      () => inspect(1, "client"),
      (each) => each?.limits !== undefined,
      LIMITS_TIMEOUT_MS,
    );
    expect(found?.limits?.podEgress).toMatchObject({
      mechanism: "meter",
      rateBitPerSecond: 10e6,
      source: "netprofile",
    });
    expect(await meterRates(1)).toEqual({ [String(found?.ofport)]: 10_000 });
    const seconds = 5;
    await steadily(async () => {
      const sent = await flow("client", "server", { seconds, omitSeconds: 0 });
      expect(mbit(sent) * seconds).toBeLessThan(10 * (seconds + 1) * 1.02); // rate × time + a second's burst
      expect(mbit(sent)).toBeGreaterThan(8.5);
    });
    await expectUdp("client", "server", 10);
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
      LIMITS_TIMEOUT_MS,
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
      LIMITS_TIMEOUT_MS,
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

  it("survives a restart of the switch", async () => {
    await profile("gold", { bandwidth: "10mbps" });
    await profile("silver", { bandwidth: "12mbps", ...SHAPE });
    await attach("web", "gold");
    await attach("db", "silver");
    await world.addPod("shaped", 1, { tenant: "t1", network: "net", group: "db" });
    const [{ portName = "", ofport } = {}, { portName: shaped = "" } = {}] = [
      await inspect(1, "client"),
      await inspect(1, "shaped"),
    ];
    await world.kill(vswitchdName(1), "SIGKILL");
    await startOvs(world.cluster.layout, 1);
    await eventually(
      "all limits",
      async () => {
        const meters = await meterRates(1).catch(() => undefined); // the switch may not listen yet
        return [meters, await nearRate(1, portName), await nearRate(1, shaped), await farRate(1, shaped)];
      },
      (found) => isDeepStrictEqual(found, [{ [String(ofport)]: 10_000 }, 10e6, 12e6, 12e6]),
      20_000,
    );
    await expectUdp("client", "server", 10);
  });

  it("survives a change of the leader and can be updated afterwards (21)", async () => {
    await profile("gold", { bandwidth: "10mbps", ...SHAPE });
    await attach("web", "gold");
    const found = await eventually(
      "limits",
      () => inspect(1, "client"),
      (each) => each?.limits !== undefined,
      LIMITS_TIMEOUT_MS,
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
    await Promise.all([expectBoth("t1-a", "t1-b", 4), expectBoth("t2-a", "t2-b", 9)]);
    await profile("gold", { bandwidth: "7mbps", ...SHAPE }, "t2");
    await rates("t2-a", 7);
    await Promise.all([expectBoth("t1-a", "t1-b", 4), expectBoth("t2-a", "t2-b", 7)]);
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
    await serveIperf(world, "d1");
    await steadily(async () => {
      const [slow, fast] = await Promise.all([flow("w1", "d2", { seconds: 4 }), flow("d2", "d1", { seconds: 4 })]);
      expectNear(slow, 4);
      expectNear(fast, 12);
    });
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
      LIMITS_TIMEOUT_MS,
    );
    await steadily(async () => {
      const [sent, received] = await bothWays("client", "server", { seconds: 5 });
      expectNear(sent, 4);
      expectNear(received, 9);
    });
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
      LIMITS_TIMEOUT_MS,
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
    const [shaped, metered] = ["s", "m"].map((name) => Array.from({ length: 4 }, (_, index) => `${name}${index}`));
    const change = async (rateMbit: number) => {
      await profile("gold", { bandwidth: `${rateMbit}mbps`, ...SHAPE });
      await profile("silver", { bandwidth: `${rateMbit}mbps` });
    };
    await change(10);
    await attach("web", "gold");
    await attach("db", "silver");
    for (const pod of shaped ?? []) await world.addPod(pod, 1, { tenant: "t1", network: "net", group: "web" });
    for (const pod of metered ?? []) await world.addPod(pod, 1, { tenant: "t1", network: "net", group: "db" });
    const changing = (async () => {
      for (let index = 1; index <= 50; index++) await change(50 + index);
    })();
    await sleep(200);
    await world.kill(netpluginName(1));
    await startNetplugin(world.cluster.layout, 1);
    await netpluginReady(world.cluster.layout, 1);
    await changing;
    const meters: Record<string, number> = {};
    for (const pod of [...(shaped ?? []), ...(metered ?? [])]) {
      const { portName = "", ofport } =
        (await eventually(
          pod,
          () => inspect(1, pod),
          (each) => each?.limits?.podIngress.rateBitPerSecond === 100e6,
          5_000,
        )) ?? {};
      expect(await nearRate(1, portName)).toBe(100e6);
      expect(await farRate(1, portName)).toBe(shaped?.includes(pod) ? 100e6 : 0);
      if (!shaped?.includes(pod)) meters[String(ofport)] = 100_000;
    }
    expect(await meterRates(1)).toEqual(meters);
  });
});
