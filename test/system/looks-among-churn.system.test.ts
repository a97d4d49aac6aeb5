import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startChurn } from "./churn.ts";
import { seededRandom, testSeed } from "./random.ts";
import { startTestCluster, type TestCluster } from "./test-cluster.ts";

/**
 * The regular comparison of switch and kernel runs while ports pass from pod to pod. It looked at links first and at the switch's database
 * later, took ports that had changed hands in between for a fault, and closed them under the next pod: its ADD failed with ENODEV.
 */
let world: TestCluster;

beforeAll(async () => {
  world = await startTestCluster({ nodes: 1 });
  const network = { tenantName: "default", networkName: "net", encap: "vxlan", subnet: "10.1.0.0/16" };
  await world.rest.post("/api/v1/networks/default:net/", network);
});

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

const PODS = 24;
const CHURN_MS = 15_000;
/** Each change of a pod's link makes netplugin look. */
const LOOK_MS = 100;

it("no look takes a port from the pod that has it now, or tells of what was never so", async () => {
  const stable = await world.addPod("stable", 1, { tenant: "default", network: "net" });
  const near = stable.interfaces[0]?.name ?? "";
  const churn = startChurn({
    layout: world.cluster.layout,
    nodes: [1],
    placements: [{ tenant: "default", network: "net" }],
    podsPerNode: PODS,
    random: seededRandom(testSeed()),
  });
  const endMs = Date.now() + CHURN_MS;
  for (let count = 0; Date.now() < endMs; count++) {
    await world.onNode(1, ["ip", "link", "set", near, "txqueuelen", String(1_000 + (count % 2))]);
    await sleep(LOOK_MS);
  }
  churn.windDown();
  const report = await churn.ended;
  process.stdout.write(`${report.added} ADDs and ${report.deleted} DELs among looks\n`);
  expect(report).toMatchObject({ failedAdds: 0, failedDeletes: 0 });
  expect(report.added).toBeGreaterThan(PODS);
  const log = world.log("netplugin-n1", 5_000);
  for (const told of ["written down again", "plugged in again", "put right", "new interfaces", "CNI call failed"])
    expect(log).not.toContain(told);
});
