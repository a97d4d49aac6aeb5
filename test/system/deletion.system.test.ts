import { rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cniSocketPath, ovsRunDirectory, startOvs } from "../../deploy/cluster/components.ts";
import { stopDaemon } from "../../deploy/cluster/daemon.ts";
import { run } from "../../deploy/cluster/exec.ts";
import { panelNetns, podNetns } from "../../deploy/cluster/underlay.ts";
import { DEEDS, type Deed, NEEDS_SWITCH, PAIRS, WHILE_AWAY } from "./deletion-deeds.ts";
import { type DeletionSite, deletionSite } from "./deletion-site.ts";
import { askNetplugin } from "./node-dump.ts";
import { eventually, startTestCluster, type TestCluster } from "./test-cluster.ts";

/**
 * What we make on a node is deleted by hand under living pods: they ping again, no lease is lost, and a line of the log says what was
 * found. On n1 `a1` is a plain pod, `a2` and `a3` are limited by shapers and by meters, `v1` is in a VLAN network.
 */
const PARTNERS = { a1: "b1", a2: "b1", a3: "b1", v1: "w1" } as const;
const AGAIN_MS = 15_000;
const NODE_LOG = "netplugin-n1";

let world: TestCluster;
let site: DeletionSite;
let targets: ReadonlyMap<string, string>;
let leases: string;

beforeAll(async () => {
  world = await startTestCluster({ nodes: 2 });
  site = deletionSite(world);
  await makeObjects();
  await world.addPod("a1", 1, { tenant: "t1", network: "vx" });
  await world.addPod("a2", 1, { tenant: "t1", network: "vx", group: "shaped" });
  await world.addPod("a3", 1, { tenant: "t1", network: "vx", group: "policed" });
  await world.addPod("v1", 1, { tenant: "t1", network: "vl" });
  await world.addPod("b1", 2, { tenant: "t1", network: "vx" });
  await world.addPod("w1", 2, { tenant: "t1", network: "vl" });
  const pairs = Object.entries(PARTNERS).map(async ([pod, to]) => [pod, (await world.addresses(to))[0] ?? ""] as const);
  targets = new Map(await Promise.all(pairs));
  await eventually("first packets", pinging, (all) => all);
  leases = await leasesNow();
});

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

async function makeObjects(): Promise<void> {
  const { rest } = world;
  await rest.post("/api/v1/tenants/t1/", { tenantName: "t1" });
  for (const [networkName, encap, number] of [
    ["vx", "vxlan", 1],
    ["vl", "vlan", 2],
  ] as const) {
    const subnets = { subnet: `10.1.${number}.0/24`, ipv6Subnet: `fd0${number}::/64`, gateway: `10.1.${number}.254` };
    await rest.post(`/api/v1/networks/t1:${networkName}/`, { tenantName: "t1", networkName, encap, ...subnets });
  }
  for (const [groupName, egressMode] of [
    ["shaped", "shape"],
    ["policed", "police"],
  ] as const) {
    const profile = { tenantName: "t1", profileName: groupName, bandwidth: "20 Mbps", egressMode };
    await rest.post(`/api/v1/netprofiles/t1:${groupName}/`, profile);
    const group = { tenantName: "t1", groupName, networkName: "vx", netProfile: groupName };
    await rest.post(`/api/v1/endpointGroups/t1:${groupName}/`, group);
  }
}

async function leasesNow(): Promise<string> {
  const endpoints = await world.rest.get<{ key: string; epoch: string; ipAddress: unknown }[]>("/api/v1/endpoints/");
  return JSON.stringify(endpoints.map(({ key, epoch, ipAddress }) => [key, epoch, ipAddress]).sort());
}

async function pinging(): Promise<boolean> {
  const answers = await Promise.all([...targets].map(([pod, target]) => world.ping(pod, target, 1)));
  return answers.every((count) => count === 1);
}

/** Lines of netplugin's log since a time. */
function linesSince(sinceMs: number): readonly string[] {
  const lines = world.log(NODE_LOG, 2_000).split("\n");
  return lines.filter(
    (line) => line.startsWith("{") && Date.parse((JSON.parse(line) as { time: string }).time) >= sinceMs,
  );
}

async function expectTold(line: RegExp, sinceMs: number): Promise<void> {
  const told = async () => linesSince(sinceMs);
  await eventually(`told: ${line}`, told, (lines) => lines.some((each) => line.test(each)), AGAIN_MS);
}

async function expectRepaired(deeds: readonly Deed[], sinceMs: number): Promise<void> {
  for (const { line } of deeds) await expectTold(line, sinceMs);
  await expectWell(deeds);
}

async function expectWell(deeds: readonly Deed[]): Promise<void> {
  await eventually("all pods ping again", pinging, (all) => all, AGAIN_MS);
  for (const { what, isBack } of deeds) {
    if (isBack !== undefined)
      await eventually(
        `${what} is back`,
        () => isBack(site),
        (back) => back,
        AGAIN_MS,
      );
  }
  await eventually("the leases of before", leasesNow, (now) => now === leases, 1_000);
  const ready = async () => (await askNetplugin(world.cluster.layout, 1, "/readyz")) ?? "";
  await eventually("node ready", ready, isWell, AGAIN_MS);
}

/** Ready, or degraded only by the note, kept for some minutes, that addresses of an uplink were taken away and put back. */
function isWell(readyz: string): boolean {
  if (readyz === "") return false;
  const { status, reasons = [] } = JSON.parse(readyz) as { status: string; reasons?: string[] };
  return status === "ready" || (status === "degraded" && reasons.every((reason) => reason.includes("it was put back")));
}

async function switchRestarts(deed: () => Promise<unknown>): Promise<void> {
  const { layout } = world.cluster;
  await stopDaemon(layout.home, "vswitchd-n1", "SIGKILL");
  await deed();
  await startOvs(layout, 1);
}

async function netpluginRestarts(deed: () => Promise<unknown>): Promise<void> {
  await world.kill(NODE_LOG, "SIGKILL");
  await deed();
  await world.restartNetplugin(1);
}

describe("deleted by hand under living pods", () => {
  it.each(DEEDS.map((deed) => [deed.what, deed] as const))("%s", async (_what, deed) => {
    const sinceMs = Date.now();
    await deed.delete(site);
    await expectRepaired([deed], sinceMs);
  });

  it.each(PAIRS.map(([one, other]) => [one.what, other.what, one, other] as const))(
    "%s, and %s",
    async (_one, _other, one, other) => {
      await one.delete(site);
      await other.delete(site);
      await expectWell([one, other]);
    },
  );

  it.each(WHILE_AWAY.map((deed) => [deed.what, deed] as const))("%s, while netplugin is away", async (_what, deed) => {
    await netpluginRestarts(() => deed.delete(site));
    await expectWell([deed]);
  });

  it.each(WHILE_AWAY.filter(({ what }) => !NEEDS_SWITCH.has(what)).map((deed) => [deed.what, deed] as const))(
    "%s, while the switch is away",
    async (_what, deed) => {
      await switchRestarts(() => deed.delete(site.withoutSwitch));
      await expectWell([deed]);
    },
  );
});

describe("the switch's database, lost", () => {
  const ADDRESS = "192.168.213.11/24";

  async function loseDatabase(): Promise<void> {
    const { layout } = world.cluster;
    for (const daemon of ["vswitchd-n1", "ovsdb-n1"]) await stopDaemon(layout.home, daemon, "SIGKILL");
    await rm(join(ovsRunDirectory(layout, 1), "conf.db"));
    await startOvs(layout, 1);
  }

  /** In both places of the new database, and so that the bridge can be made from it. */
  async function expectRemembered(): Promise<void> {
    const places = async () => [
      await site.vsctl("br-get-external-id", "cu-eth0"),
      await site.vsctl("get", "Open_vSwitch", ".", "external_ids"),
    ];
    const areFull = (texts: readonly string[]) => texts.every((text) => text.includes(ADDRESS));
    await eventually("remembered", places, areFull, AGAIN_MS);
    const sinceMs = Date.now();
    await site.vsctl("--no-wait", "del-br", "cu-eth0");
    await expectTold(/bridge cu-eth0 is gone.*repaired/, sinceMs);
    await expectWell([]);
    expect(await site.onNode("ip -o address show dev cu-eth0")).toContain(ADDRESS);
    expect(await askNetplugin(world.cluster.layout, 1, "/inspect/driver")).not.toContain("no tunnel address");
  }

  it("while netplugin runs: what the uplink's port still has is remembered, also by the next netplugin", async () => {
    await loseDatabase();
    await expectWell([]);
    await netpluginRestarts(async () => {});
    await expectRemembered();
  });

  it("while netplugin is away", async () => {
    await netpluginRestarts(loseDatabase);
    await expectWell([]);
    await expectRemembered();
  });
});

describe("left behind in the switch's database", () => {
  it("flow-restore-wait, with which a switch that starts forwards nothing: told at once, and removed after a while", async () => {
    const sinceMs = Date.now();
    await switchRestarts(() =>
      site.withoutSwitch.vsctl("set", "Open_vSwitch", ".", "other_config:flow-restore-wait=true"),
    );
    for (const path of ["/readyz", "/inspect/driver"]) {
      const told = async () => (await askNetplugin(world.cluster.layout, 1, path)) ?? "";
      await eventually(`told by ${path}`, told, (text) => text.includes("flow-restore-wait"), 5_000);
    }
    await expectTold(/flow-restore-wait.*not as they should be; they are repaired/, sinceMs);
    await expectWell([]);
    expect(await site.vsctl("get", "Open_vSwitch", ".", "other_config")).not.toContain("flow-restore-wait");
  });
});

describe("gone from the switch and from the kernel, while netplugin is away", () => {
  const RECALLED = /Switch and kernel do not know these pods any more/;
  const unplug = async (pod: string) => {
    const port = await site.port(pod);
    await site.vsctl("del-port", "contiv-int", port);
    await site.onNode(`ip link delete ${port}`);
  };

  it.each<[string, () => Promise<unknown>]>([
    ["a pod's port and its links", () => unplug("a1")],
    [
      "a mark of a port, and its links",
      async () => {
        const port = await site.port("a1");
        await site.vsctl("remove", "Port", port, "external_ids", "contiv-role");
        await site.onNode(`ip link delete ${port}`);
      },
    ],
    [
      "a port's marks, overwritten by a dead pod's, and its links",
      async () => {
        const port = await site.port("a1");
        await site.vsctl(
          "set",
          "Port",
          port,
          "external_ids:contiv-endpoint=ghost:eth0",
          "external_ids:contiv-epoch=ghost",
        );
        await site.onNode(`ip link delete ${port}`);
      },
    ],
    [
      "the integration bridge and the panel",
      async () => {
        await site.vsctl("del-br", "contiv-int");
        await run(["ip", "netns", "delete", panelNetns(world.cluster.layout.underlay, 1)]);
      },
    ],
    [
      "all bridges and all links",
      async () => {
        await site.vsctl("del-br", "contiv-int", "--", "del-br", "cu-eth0");
        await site.onNode("ip -o link | sed -n 's/^[0-9]*: \\(cvh[^@:]*\\).*/\\1/p' | xargs -n 1 ip link delete");
      },
    ],
  ])("%s", async (_what, deed) => {
    await site.port("a1"); // known to the site when netplugin cannot be asked any more
    const sinceMs = Date.now();
    await netpluginRestarts(deed);
    await expectTold(RECALLED, sinceMs);
    await expectWell([]);
    const ports = await site.vsctl("--format=json", "--columns=name,error", "find", "Interface", "'error!=[]'");
    expect(ports).not.toContain("cvh"); // nothing is left of the old ones
  });

  it("a pod that is gone, too: its lease is released", async () => {
    await world.addPod("dead", 1, { tenant: "t1", network: "vx" });
    await site.port("dead");
    await netpluginRestarts(async () => {
      await unplug("dead");
      await run(["ip", "netns", "delete", podNetns(world.cluster.layout.underlay, "dead")]);
    });
    await eventually("its lease is released", leasesNow, (now) => now === leases, 40_000);
    await expectWell([]);
  });
});

describe("what netplugin listens at and works in", () => {
  it("the socket of the CNI plugin", async () => {
    const sinceMs = Date.now();
    await rm(cniSocketPath(world.cluster.layout, 1));
    await eventually(
      "told",
      async () => linesSince(sinceMs).join("\n"),
      (text) => /CNI socket/.test(text),
      5_000,
    );
    await world.addPod("new", 1, { tenant: "t1", network: "vx" });
    await world.removePod("new");
    await expectWell([]);
  });

  it.each([
    ["while netplugin runs", async (deed: () => Promise<unknown>) => deed()],
    ["while netplugin is away", netpluginRestarts],
  ] as const)("the name of the panel's namespace, %s", async (_when, around) => {
    const name = panelNetns(world.cluster.layout.underlay, 1);
    await around(() => run(["ip", "netns", "delete", name]));
    await expectWell([]);
    await eventually("the name leads there", entering(name), (exitCode) => exitCode === 0, AGAIN_MS);
    await expectWell([]);
    await world.addPod("new", 1, { tenant: "t1", network: "vx" });
    await world.removePod("new");
    const sinceMs = Date.now();
    await netpluginRestarts(async () => {});
    await expectWell([]);
    const renewed = linesSince(sinceMs).filter((line) => line.includes("have new interfaces"));
    expect(renewed).toEqual([]); // the panel outlived the process by its name
  });
});

/** `ip netns list` would show an empty file too. */
function entering(netns: string): () => Promise<number> {
  return async () => (await run(["ip", "netns", "exec", netns, "true"], { allowFailure: true })).exitCode;
}

describe("a pod that went without DEL", () => {
  it("is gone when its namespace and its interface are: port and lease go after a while", async () => {
    await world.addPod("gone", 1, { tenant: "t1", network: "vx" });
    await run(["ip", "netns", "delete", podNetns(world.cluster.layout.underlay, "gone")]);
    await eventually("its lease is released", leasesNow, (now) => now === leases, 40_000);
    expect(world.log(NODE_LOG, 100)).toContain("Pods are gone without DEL");
  });

  it("lives while only its interface was deleted: the lease stays, a condition tells", async () => {
    await world.inPod("a1", ["ip", "link", "delete", "eth0"]);
    const conditions = async () => (await askNetplugin(world.cluster.layout, 1, "/inspect/driver")) ?? "";
    await eventually("told", conditions, (text) => text.includes("pods have lost their interface"), 15_000);
    expect(await leasesNow()).toBe(leases);
  });
});
