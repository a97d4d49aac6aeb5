import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ovsRunDirectory, startOvs } from "../../deploy/cluster/components.ts";
import { stopDaemon } from "../../deploy/cluster/daemon.ts";
import { inNetns, run } from "../../deploy/cluster/exec.ts";
import { panelNetns, podNetns } from "../../deploy/cluster/underlay.ts";
import { askNetplugin } from "./node-dump.ts";
import { eventually, startTestCluster, type TestCluster } from "./test-cluster.ts";

/** What we make on a node is deleted by hand under living pods: they ping again, no lease is lost, and one line of the log says why. */
const PODS = ["a1", "a2", "a3"] as const;
const AGAIN_MS = 15_000;

let world: TestCluster;
let target: string;
let leases: string;

beforeAll(async () => {
  world = await startTestCluster({ nodes: 2 });
  const subnets = { subnet: "10.1.1.0/24", ipv6Subnet: "fd01::/64", gateway: "10.1.1.254" };
  await world.rest.post("/api/v1/tenants/t1/", { tenantName: "t1" });
  await world.rest.post("/api/v1/networks/t1:vx/", { tenantName: "t1", networkName: "vx", encap: "vxlan", ...subnets });
  for (const pod of PODS) await world.addPod(pod, 1, { tenant: "t1", network: "vx" });
  await world.addPod("b1", 2, { tenant: "t1", network: "vx" });
  target = (await world.addresses("b1"))[0] ?? "";
  await eventually("first packets", pinging, (all) => all);
  leases = await leasesNow();
});

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

async function leasesNow(): Promise<string> {
  const endpoints = await world.rest.get<{ key: string; epoch: string; ipAddress: unknown }[]>("/api/v1/endpoints/");
  return JSON.stringify(endpoints.map(({ key, epoch, ipAddress }) => [key, epoch, ipAddress]).sort());
}

async function pinging(): Promise<boolean> {
  const answers = await Promise.all(PODS.map((pod) => world.ping(pod, target, 1)));
  return answers.every((count) => count === 1);
}

function vsctl(...args: readonly string[]) {
  const database = join(ovsRunDirectory(world.cluster.layout, 1), "db.sock");
  return world.onNode(1, ["ovs-vsctl", `--db=unix:${database}`, "--timeout=10", ...args]);
}

async function onNode(script: string): Promise<void> {
  const { exitCode, stderr } = await world.onNode(1, ["sh", "-c", script]);
  if (exitCode !== 0) throw new Error(`${script}: ${stderr}`);
}

async function inPanel(script: string): Promise<void> {
  await run(inNetns(panelNetns(world.cluster.layout.underlay, 1), ["sh", "-c", script]));
}

/** The port of the first pod; repairs may have given it another. */
async function port(): Promise<string> {
  const endpoints = JSON.parse((await askNetplugin(world.cluster.layout, 1, "/inspect/endpoints")) ?? "[]") as {
    portName: string;
  }[];
  return endpoints.map(({ portName }) => portName).sort()[0] ?? "";
}

async function farEnd(): Promise<string> {
  return (await port()).replace("cvh", "cvp");
}

async function switchRestarts(deed: () => Promise<unknown>): Promise<void> {
  const { layout } = world.cluster;
  await stopDaemon(layout.home, "vswitchd-n1", "SIGKILL");
  await deed();
  await startOvs(layout, 1);
}

async function netpluginRestarts(deed: () => Promise<unknown>): Promise<void> {
  await world.kill("netplugin-n1", "SIGKILL");
  await deed();
  await world.restartNetplugin(1);
}

const PLUGGED = /plugged in again/;
const RENEWED = /have new interfaces/;
const LINKS = /links of pods' ports/;

/** What is deleted, and how the log names it where pods' ports are concerned. */
const DEEDS: readonly (readonly [what: string, deed: () => Promise<unknown>, line?: RegExp])[] = [
  ["a pod's port", async () => vsctl("del-port", "contiv-int", await port()), PLUGGED],
  ["a port's marks", async () => vsctl("clear", "Port", await port(), "external_ids"), PLUGGED],
  ["one mark", async () => vsctl("remove", "Port", await port(), "external_ids", "contiv-endpoint"), PLUGGED],
  ["the integration bridge", () => vsctl("del-br", "contiv-int"), PLUGGED],
  ["the bridge's marks", () => vsctl("clear", "Bridge", "contiv-int", "external_ids")],
  ["the fail mode", () => vsctl("del-fail-mode", "contiv-int")],
  ["the tunnel port", () => vsctl("del-port", "contiv-int", "contiv-vxlan")],
  ["the tunnel port's options", () => vsctl("clear", "Interface", "contiv-vxlan", "options")],
  ["a near end's state", async () => onNode(`ip link set ${await port()} down`), LINKS],
  ["a near end's name", async () => onNode(`ip link set ${await port()} down name lost0 up`), LINKS],
  ["a near end's size", async () => onNode(`ip link set ${await port()} mtu 600`), LINKS],
  ["a near end", async () => onNode(`ip link delete ${await port()}`), RENEWED],
  ["a far end", async () => inPanel(`ip link delete ${await farEnd()}`), RENEWED],
  ["a far end's state", async () => inPanel(`ip link set ${await farEnd()} down`), LINKS],
  ["a far end's alias", async () => inPanel(`ip link set ${await farEnd()} alias ''`)],
];

async function expectRepaired(line: RegExp | undefined, sinceMs: number): Promise<void> {
  await eventually("all pods ping again", pinging, (all) => all, AGAIN_MS);
  expect(await leasesNow()).toBe(leases);
  await eventually(
    "node ready",
    async () => (await askNetplugin(world.cluster.layout, 1, "/readyz")) ?? "",
    (text) => text.includes("ready"),
  );
  if (line === undefined) return;
  const messages = world
    .log("netplugin-n1", 400)
    .split("\n")
    .filter((text) => text.startsWith("{"))
    .map((text) => JSON.parse(text) as { time: number; msg: string })
    .filter(({ time, msg }) => Number(time) >= sinceMs && line.test(msg));
  expect(messages.length).toBeGreaterThan(0);
}

describe("deleted by hand under living pods", () => {
  for (const [what, deed, line] of DEEDS) {
    it(what, async () => {
      const sinceMs = Date.now();
      await deed();
      await expectRepaired(line, sinceMs);
    });
  }

  it.each([
    ["netplugin", netpluginRestarts],
    ["the switch", switchRestarts],
  ] as const)("a near end, while %s restarts", async (_, restart) => {
    const name = await port();
    await restart(() => onNode(`ip link delete ${name}`));
    await expectRepaired(undefined, 0);
  });
});

describe("a pod that went without DEL", () => {
  it("is gone when its namespace and its interface are: port and lease go after a while", async () => {
    await world.addPod("gone", 1, { tenant: "t1", network: "vx" });
    await run(["ip", "netns", "delete", podNetns(world.cluster.layout.underlay, "gone")]);
    await eventually("its lease is released", leasesNow, (now) => now === leases, 40_000);
    expect(world.log("netplugin-n1", 100)).toContain("pods are gone without DEL");
  });

  it("lives while only its interface was deleted: the lease stays, a condition tells", async () => {
    await world.inPod("a1", ["ip", "link", "delete", "eth0"]);
    const conditions = async () => (await askNetplugin(world.cluster.layout, 1, "/inspect/driver")) ?? "";
    await eventually("told", conditions, (text) => text.includes("pods have lost their interface"), 15_000);
    expect(await leasesNow()).toBe(leases);
  });
});
