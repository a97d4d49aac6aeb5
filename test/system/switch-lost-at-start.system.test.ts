import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import {
  netpluginName,
  netpluginReady,
  ovsdbName,
  startNetplugin,
  startOvs,
  vswitchdName,
} from "../../deploy/cluster/components.ts";
import { daemonPid, stopDaemon } from "../../deploy/cluster/daemon.ts";
import { eventually, startTestCluster, type TestCluster } from "./test-cluster.ts";

/** The switch is restarted (an upgrade, a crash) while netplugin starts: netplugin waits for it, whatever step it had reached. */
const NODE = 1;
/** From the start of netplugin, which is ready after some 250 ms on a quiet machine. */
const DELAYS_MS = Array.from({ length: 12 }, (_, index) => 100 + index * 40);
/** Fewer: after each, vswitchd asks for its database in pauses of up to 8 s, and forwards nothing on the userspace datapath until it has it. */
const DATABASE_DELAYS_MS = [150, 250];
const RECONNECTED_MS = 20_000;

let world: TestCluster;

beforeAll(async () => {
  world = await startTestCluster({ nodes: 1 });
  await world.rest.post("/api/v1/tenants/t1/", { tenantName: "t1" });
  const network = { tenantName: "t1", networkName: "net", encap: "vxlan", subnet: "10.1.1.0/24" };
  await world.rest.post("/api/v1/networks/t1:net/", network);
  for (const name of ["a", "b"]) await world.addPod(name, NODE, { tenant: "t1", network: "net" });
});

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

it.each([
  ["ovs-vswitchd", vswitchdName(NODE), DELAYS_MS],
  ["ovsdb-server", ovsdbName(NODE), DATABASE_DELAYS_MS],
])("netplugin goes on starting when %s is killed meanwhile", async (_, victim, delaysMs) => {
  const { layout } = world.cluster;
  for (const delayMs of delaysMs) {
    await stopDaemon(layout.home, netpluginName(NODE), "SIGKILL");
    await startNetplugin(layout, NODE);
    const pid = daemonPid(layout.home, netpluginName(NODE));
    await sleep(delayMs);
    await stopDaemon(layout.home, victim, "SIGKILL");
    await startOvs(layout, NODE);
    await netpluginReady(layout, NODE);
    expect(daemonPid(layout.home, netpluginName(NODE)), `killed after ${delayMs} ms`).toBe(pid);
  }
  await eventually(
    "answers to pings",
    () => world.ping("a", "10.1.1.2"),
    (answers) => answers > 0,
    RECONNECTED_MS,
  );
});
