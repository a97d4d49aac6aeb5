import { setTimeout as sleep } from "node:timers/promises";
import { listPods } from "../../deploy/cluster/pods.ts";
import { isInfraEndpoint } from "../../state/infra.ts";
import type { EndpointRecord } from "../../state/kinds/endpoint.ts";
import { differences } from "./invariants.ts";
import { dumpFlows, flowBirthsMs } from "./node-dump.ts";
import { dumpStore } from "./store-dump.ts";
import type { TestCluster } from "./test-cluster.ts";

/** Every pod reaches the next one of its network, over each family; the last reaches the first. */
export async function expectRingPings(world: TestCluster, timeoutMs = 15_000): Promise<void> {
  const { layout } = world.cluster;
  const leases = (await dumpStore(layout)).records("endpoint").filter((lease) => !isInfraEndpoint(lease));
  const names = new Map(listPods(layout).map((pod) => [pod.containerId, pod.name]));
  const rings = new Map<number, EndpointRecord[]>();
  for (const lease of leases) rings.set(lease.networkId, [...(rings.get(lease.networkId) ?? []), lease]);
  const trips = [...rings.values()].flatMap((ring) =>
    ring.flatMap((lease, index) => {
      const next = ring[(index + 1) % ring.length];
      const from = names.get(lease.containerId);
      if (next === undefined || next === lease || from === undefined) return [];
      return [next.ipv4, next.ipv6].flatMap((to) => (to === undefined ? [] : { from, to }));
    }),
  );
  const deadlineMs = Date.now() + timeoutMs;
  let silent = trips;
  while (silent.length > 0) {
    const answers = await Promise.all(
      silent.map(async (trip) => ({ trip, got: await world.ping(trip.from, trip.to, 1) })),
    );
    silent = answers.filter(({ got }) => got === 0).map(({ trip }) => trip);
    if (silent.length > 0 && Date.now() > deadlineMs) throw new Error(`no answer: ${JSON.stringify(silent)}`);
  }
}

/**
 * Restarts netplugin and compares the switch with before: a set of flows computed afresh is the one that was there, and not one
 * flow was written again.
 */
export async function flowsChangedByRestart(world: TestCluster, node: number): Promise<readonly string[]> {
  const { layout } = world.cluster;
  const before = await dumpFlows(layout, node);
  const restartMs = Date.now();
  await world.restartNetplugin(node);
  await sleep(1_000); // a first full comparison comes with the complete view
  const found = differences(`n${node}: flow`, before, await dumpFlows(layout, node));
  const rewritten = (await flowBirthsMs(layout, node)).filter((birthMs) => birthMs > restartMs).length;
  return rewritten === 0 ? found : [...found, `n${node}: ${rewritten} flows were written again`];
}
