import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { etcdReady, netpluginReady, startEtcd, startNetplugin, startOvs } from "../../deploy/cluster/components.ts";
import { stopDaemon } from "../../deploy/cluster/daemon.ts";
import { ONCE_MORE, startSteadyPing } from "./steady-ping.ts";
import { eventually, startTestCluster, type TestCluster } from "./test-cluster.ts";

/** Packets go on whatever else dies: a ping every 10 ms loses nothing (issue: "must be true at the end", 3). */
let world: TestCluster;
const NONE_LOST = [[], [], []];
const OUTAGE_MS = Number(process.env.CONTIV_TEST_OUTAGE_MS ?? "10000");

beforeAll(async () => {
  world = await startTestCluster({ nodes: 2 });
  await world.rest.post("/api/v1/tenants/t1/", { tenantName: "t1" });
  for (const [name, encap, third] of [
    ["vx", "vxlan", 1],
    ["vl", "vlan", 2],
  ] as const) {
    const subnets = { subnet: `10.1.${third}.0/24`, ipv6Subnet: `fd0${third}::/64` };
    await world.rest.post(`/api/v1/networks/t1:${name}/`, { tenantName: "t1", networkName: name, encap, ...subnets });
    await world.addPod(`${name}-1`, 1, { tenant: "t1", network: name });
    await world.addPod(`${name}-2`, 2, { tenant: "t1", network: name });
    await eventually(
      "first packets",
      async () => world.ping(`${name}-1`, await target(`${name}-2`), 1),
      (got) => got === 1,
    );
  }
});

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

async function target(pod: string, family: 4 | 6 = 4): Promise<string> {
  return (await world.addresses(pod))[family === 4 ? 0 : 1] ?? "";
}

/** Pings over both networks while `act` happens; returns the requests of each that were not answered. */
async function lostWhile(act: () => Promise<void>): Promise<readonly (readonly number[])[]> {
  const { underlay } = world.cluster.layout;
  const pings = [
    startSteadyPing(underlay, "vx-1", await target("vx-2")),
    startSteadyPing(underlay, "vl-1", await target("vl-2")),
    startSteadyPing(underlay, "vx-2", await target("vx-1", 6)),
  ];
  await sleep(300);
  await act();
  await sleep(500);
  const reports = await Promise.all(pings.map((ping) => ping.stop()));
  for (const report of reports) expect(report.sent).toBeGreaterThan(50);
  return reports.map(({ unanswered }) => unanswered);
}

/** How often a process has logged each of these sentences. */
function saidBy(process: string, sentences: readonly string[]): readonly number[] {
  const log = world.log(process, 20_000);
  return sentences.map((sentence) => log.split(`"msg":"${sentence}`).length - 1);
}

/** The process logs each of these sentences once more, and no other warning again and again. */
async function expectSaidOnce(process: string, sentences: readonly string[], act: () => Promise<void>): Promise<void> {
  const before = saidBy(process, sentences);
  await act();
  const once = before.map((count) => count + 1);
  const isSaid = (counts: readonly number[]) => counts.every((count, index) => count >= (once[index] ?? 0));
  await eventually(`said by ${process}`, async () => saidBy(process, sentences), isSaid, 15_000);
  await sleep(1_000);
  expect(saidBy(process, sentences)).toEqual(once);
}

const NETMASTER_LINES = [
  "No netmaster answers; running pods",
  "A netmaster answers again",
  'netplugin is not-ready"',
  'netplugin is ready"',
];
const SWITCH_LINES = [
  "Open vSwitch does not answer",
  "Open vSwitch answers again",
  'netplugin is not-ready"',
  'netplugin is ready"',
];
const ETCD_LINES = ["etcd does not answer; ", "etcd answers again"];

describe("nothing is lost", ONCE_MORE, () => {
  it("while netplugin is restarted", async () => {
    expect(await lostWhile(() => world.restartNetplugin(1, "SIGTERM"))).toEqual(NONE_LOST);
  });

  it("while netplugin is killed and comes back", async () => {
    expect(await lostWhile(() => world.restartNetplugin(2, "SIGKILL"))).toEqual(NONE_LOST);
  });

  it("while netplugin is upgraded to another pipeline generation and back", async () => {
    const { layout } = world.cluster;
    const withGeneration = (generation: string) => ({
      ...layout,
      extraArguments: { netplugin: ["--pipeline-generation", generation] },
    });
    expect(
      await lostWhile(async () => {
        for (const generation of ["2", "1"]) {
          await stopDaemon(layout.home, "netplugin-n1");
          await startNetplugin(withGeneration(generation), 1);
          await netpluginReady(layout, 1);
          await sleep(500);
        }
      }),
    ).toEqual(NONE_LOST);
  });

  it("while netmaster is down, and DEL succeeds meanwhile; the lease is released when it is back", async () => {
    const { layout } = world.cluster;
    await world.addPod("short", 1, { tenant: "t1", network: "vx" });
    await expectSaidOnce("netplugin-n1", NETMASTER_LINES, async () => {
      const lost = await lostWhile(async () => {
        await world.kill("netmaster-1");
        await sleep(OUTAGE_MS / 2);
        await world.removePod("short");
        await sleep(OUTAGE_MS / 2);
        await world.restartNetmaster(1);
      });
      expect(lost).toEqual(NONE_LOST);
    });
    await eventually("lease released", endpointCount, (count) => count === 4, 15_000);
    expect(layout.netmasters).toBe(1);
  });

  it("while etcd is down, and the store is as before afterwards", async () => {
    const { layout } = world.cluster;
    const before = await world.rest.get("/api/v1/networks/");
    await expectSaidOnce("netmaster-1", ETCD_LINES, async () => {
      const lost = await lostWhile(async () => {
        await world.kill("etcd-1", "SIGKILL");
        await sleep(OUTAGE_MS);
        await startEtcd(layout, 1);
        await etcdReady(layout);
      });
      expect(lost).toEqual(NONE_LOST);
    });
    await eventually(
      "networks",
      () => world.rest.get("/api/v1/networks/"),
      (now) => JSON.stringify(now) === JSON.stringify(before),
      20_000,
    );
    await eventually(
      "writes again",
      () => tryPod("again"),
      (ok) => ok,
      20_000,
    );
    await world.removePod("again");
  });
});

async function endpointCount(): Promise<number> {
  return (await world.rest.get<unknown[]>("/api/v1/endpoints/")).length;
}

async function tryPod(name: string): Promise<boolean> {
  return world.addPod(name, 1, { tenant: "t1", network: "vx" }).then(
    () => true,
    () => false,
  );
}

describe("Open vSwitch restarts", () => {
  it("and packets pass again by themselves; the time without is measured", async () => {
    const { layout } = world.cluster;
    const ping = startSteadyPing(layout.underlay, "vx-1", await target("vx-2"));
    await sleep(300);
    await stopDaemon(layout.home, "vswitchd-n1", "SIGTERM");
    await startOvs(layout, 1);
    await eventually(
      "ping",
      async () => world.ping("vx-1", await target("vx-2"), 1),
      (got) => got === 1,
      20_000,
    );
    await sleep(500);
    const report = await ping.stop();
    console.log(`without packets after a restart of ovs-vswitchd: ${report.longestGapMs} ms`);
    expect(report.longestGapMs).toBeLessThan(10_000);
  });

  it("also when its database and switch are killed together", async () => {
    const { layout } = world.cluster;
    await expectSaidOnce("netplugin-n2", SWITCH_LINES, async () => {
      await stopDaemon(layout.home, "vswitchd-n2", "SIGKILL");
      await stopDaemon(layout.home, "ovsdb-n2", "SIGKILL");
      await sleep(1_000);
      await startOvs(layout, 2);
    });
    await eventually(
      "ping vx",
      async () => world.ping("vx-1", await target("vx-2"), 1),
      (got) => got === 1,
      20_000,
    );
    await eventually(
      "ping vl",
      async () => world.ping("vl-1", await target("vl-2", 6), 1),
      (got) => got === 1,
      20_000,
    );
  });
});
