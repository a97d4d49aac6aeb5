import { setTimeout as sleep } from "node:timers/promises";
import { netpluginName, netpluginReady, ovsRunDirectory, startNetplugin } from "../../deploy/cluster/components.ts";
import { run } from "../../deploy/cluster/exec.ts";
import { differences } from "./invariants.ts";
import { dumpFlows } from "./node-dump.ts";
import type { TestCluster } from "./test-cluster.ts";

const REFILL_TIMEOUT_MS = 20_000;

/**
 * The flows of a node at rest against those of a fresh one: netplugin is stopped, the switch is emptied, and a new netplugin fills
 * it from what the store says. Each difference is a sentence.
 */
export async function differencesFromFresh(world: TestCluster, node: number): Promise<readonly string[]> {
  const { layout } = world.cluster;
  const before = await dumpFlows(layout, node);
  if (before.length === 0) throw new Error(`n${node} has no flows`);
  await world.kill(netpluginName(node), "SIGTERM");
  await run(["ovs-ofctl", "-O", "OpenFlow15", "del-flows", `unix:${ovsRunDirectory(layout, node)}/contiv-int.mgmt`]);
  const left = await dumpFlows(layout, node);
  if (left.length > 0) throw new Error(`n${node} has flows after all were deleted: ${left.join("\n")}`);
  await startNetplugin(layout, node);
  await netpluginReady(layout, node);
  const deadlineMs = performance.now() + REFILL_TIMEOUT_MS;
  for (;;) {
    const found = differences(`n${node}: flow`, await dumpFlows(layout, node), before);
    if (found.length === 0 || performance.now() > deadlineMs) return found;
    await sleep(100);
  }
}
