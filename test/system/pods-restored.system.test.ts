import { rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  etcdName,
  etcdReady,
  netmasterName,
  netmasterReady,
  netpluginName,
  netpluginReady,
  ovsRunDirectory,
  startEtcd,
  startNetmaster,
  startNetplugin,
} from "../../deploy/cluster/components.ts";
import { inNetns, run } from "../../deploy/cluster/exec.ts";
import { findPod } from "../../deploy/cluster/pods.ts";
import { controlNetns } from "../../deploy/cluster/underlay.ts";
import { startSteadyPing } from "./steady-ping.ts";
import { eventually, startTestCluster, type TestCluster } from "./test-cluster.ts";

/** Pods that live while the store below them becomes an older one. */
let world: TestCluster;
const NET = { tenant: "t1", network: "net1" };
const env = { ...process.env, ETCDCTL_API: "3" };
const addresses = new Map<string, string>();

interface Shown {
  readonly key: string;
  readonly ipAddress: readonly string[];
}

async function add(name: string, node: number): Promise<string> {
  const { ips } = await world.addPod(name, node, NET);
  const address = ips[0]?.address.split("/")[0] ?? "";
  expect([...addresses.values()]).not.toContain(address);
  addresses.set(name, address);
  return address;
}

async function save(): Promise<string> {
  const { layout } = world.cluster;
  const file = join(layout.home.directory, `snapshot-${addresses.size}.db`);
  const argv = ["etcdctl", "--endpoints", "http://127.0.0.1:2379", "snapshot", "save", file];
  await run(inNetns(controlNetns(layout.underlay), argv), { env });
  return file;
}

/** What docs/upgrade.md says for one member. */
async function restore(file: string): Promise<void> {
  const { layout } = world.cluster;
  const [name, peer] = [etcdName(1), "http://127.0.0.1:2380"];
  const dataDir = join(layout.home.directory, "etcd", name);
  await world.kill(name);
  await rm(`${dataDir}.old`, { recursive: true, force: true });
  await rename(dataDir, `${dataDir}.old`);
  const names = ["--name", name, "--initial-cluster", `${name}=${peer}`, "--initial-advertise-peer-urls", peer];
  await run(["etcdctl", "snapshot", "restore", file, ...names, "--data-dir", dataDir], { env });
  await startEtcd(layout, 1);
  await etcdReady(layout);
}

async function leased(): Promise<readonly string[]> {
  try {
    const network = await world.rest.get<{ Oper: { endpoints?: readonly Shown[] } }>(
      "/api/v1/inspect/networks/t1:net1/",
    );
    return (network.Oper.endpoints ?? []).flatMap(({ ipAddress }) => ipAddress.slice(0, 1)).sort();
  } catch (error) {
    return [(error as Error).message];
  }
}

function untilLeased(wanted: readonly string[]): Promise<readonly string[]> {
  const sorted = [...wanted].sort();
  return eventually("leases", leased, (found) => found.join() === sorted.join(), 30_000);
}

function untilAnswered(from: string, address: string): Promise<number> {
  return eventually(
    `${from} to ${address}`,
    () => world.ping(from, address, 1),
    (count) => count === 1,
    20_000,
  );
}

/** Somebody else takes that address by a call of the v1 plugin. */
async function leaseToRival(address: string): Promise<number> {
  const names = { TenantName: "t1", NetworkName: "net1", ServiceName: "", EndpointID: "rival", EPCommonName: "" };
  const config = { Container: "", Host: "n2", IPAddress: address, IPv6Address: "", ServiceName: "" };
  const request = { method: "POST", headers: { "content-type": "application/json" } };
  const body = JSON.stringify({ ...names, ConfigEP: config });
  return (await fetch(`${world.cluster.restUrl}/plugin/createEndpoint`, { ...request, body })).status;
}

function containerOf(pod: string): string {
  return findPod(world.cluster.layout, pod).containerId;
}

/** Those of these pods that have a port in the first node's switch. */
async function pluggedIn(pods: readonly string[]): Promise<string> {
  const database = `--db=unix:${ovsRunDirectory(world.cluster.layout, 1)}/db.sock`;
  const { stdout } = await world.onNode(1, ["ovs-vsctl", database, "--timeout=10", "list", "Port"]);
  return pods.filter((pod) => stdout.includes(containerOf(pod))).join();
}

/** What an admin does to an endpoint whose container he believes to be gone. */
async function endLease(pod: string): Promise<number> {
  const path = `/debug/epcleanup/tenant/t1/ep/${containerOf(pod)}`;
  return (await fetch(`${world.cluster.restUrl}${path}`, { method: "DELETE" })).status;
}

const all = () => [...addresses.values()];

beforeAll(async () => {
  world = await startTestCluster({ nodes: 2, extraArguments: { netmaster: ["--node-timeout", "9s"] } });
  await world.rest.post("/api/v1/tenants/t1/", { tenantName: "t1" });
  const network = {
    tenantName: "t1",
    networkName: "net1",
    encap: "vxlan",
    subnet: "10.1.1.0/24",
    gateway: "10.1.1.254",
  };
  await world.rest.post("/api/v1/networks/t1:net1/", network);
  await add("old1", 1);
  await add("old2", 2);
}, 300_000);
afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

describe("pods that live while the store is restored", () => {
  it("netmaster running: all keep their addresses, and no address is handed out twice", async () => {
    const file = await save();
    await add("new1", 1);
    await add("new2", 2);
    const { underlay } = world.cluster.layout;
    const held = startSteadyPing(underlay, "old1", addresses.get("old2") ?? "");
    const lost = startSteadyPing(underlay, "new1", addresses.get("new2") ?? "");
    await restore(file);
    await add("after", 2);
    await untilLeased(all());
    await untilAnswered("new1", addresses.get("new2") ?? "");
    const [heldReport, lostReport] = [await held.stop(), await lost.stop()];
    process.stdout.write(
      `gaps: in the snapshot ${heldReport.longestGapMs} ms, not in it ${lostReport.longestGapMs} ms\n`,
    );
    expect(heldReport.longestGapMs).toBeLessThan(1_000);
    expect(lostReport.longestGapMs).toBeLessThan(10_000);
  }, 120_000);

  it("netmaster and a node's agent stopped: what another holds by now is closed and told, the rest taken back", async () => {
    const file = await save();
    await add("taken", 1);
    await add("free", 1);
    const { layout } = world.cluster;
    await world.kill(netpluginName(1), "SIGTERM");
    await world.kill(netmasterName(1), "SIGTERM");
    await restore(file);
    await startNetmaster(layout, 1);
    await netmasterReady(layout, 1);
    await eventually(
      "the rival's lease",
      () => leaseToRival(addresses.get("taken") ?? ""),
      (status) => status === 200,
      30_000,
    );
    await startNetplugin(layout, 1);
    await netpluginReady(layout, 1).catch(() => undefined); // it says "degraded"
    await untilLeased(all());
    await untilAnswered("old2", addresses.get("free") ?? "");
    expect(await world.ping("taken", addresses.get("old1") ?? "", 2)).toBe(0);
    const told = await eventually(
      "the condition",
      async () => JSON.stringify(await world.rest.get("/api/v1/nodes/")),
      (text) => text.includes("pods are closed"),
      15_000,
    );
    expect(told).toContain(`with ${addresses.get("taken")} in t1:net1`);
    expect(told).toContain("is taken in network t1:net1");
    await world.removePod("taken");
    addresses.delete("taken");
    await add("anew", 1);
    await untilAnswered("anew", addresses.get("old2") ?? "");
  }, 180_000);

  it("leases that an admin ends while their node's agent is down, in an epoch that it had settled, do not come back", async () => {
    const before = await leased();
    await add("held", 1);
    const file = await save();
    await add("back", 1);
    await restore(file);
    const later = await add("later", 2); // not before each node has offered what the store lacks
    await untilLeased([...before, later, addresses.get("held") ?? "", addresses.get("back") ?? ""]);
    await world.kill(netpluginName(1));
    for (const pod of ["held", "back"]) expect(await endLease(pod)).toBe(200);
    await untilLeased([...before, later]);
    await startNetplugin(world.cluster.layout, 1);
    await netpluginReady(world.cluster.layout, 1);
    await eventually(
      "ports",
      () => pluggedIn(["old1", "held", "back"]),
      (found) => found === "old1",
      15_000,
    );
    await untilLeased([...before, later]);
    await untilAnswered("old1", addresses.get("old2") ?? "");
  }, 180_000);
});
