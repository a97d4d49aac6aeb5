import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { netpluginReady, ovsdbName, startNetplugin } from "../../deploy/cluster/components.ts";
import { discardPod, type Pod, preparePod } from "../../deploy/cluster/pods.ts";
import { expectSound } from "./invariants.ts";
import { callCni, resultOf } from "./shim.ts";
import { eventually, startTestCluster, type TestCluster } from "./test-cluster.ts";

/** netplugin is killed where a call has been answered and something of it is still to be done. */
const NODE = 1;
const NETPLUGIN = `netplugin-n${NODE}`;

let world: TestCluster;

beforeAll(async () => {
  world = await startTestCluster({ nodes: 1 });
  const network = { tenantName: "default", networkName: "net", encap: "vxlan", subnet: "10.1.0.0/28" };
  await world.rest.post("/api/v1/networks/default:net/", network);
});

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

afterEach(async () => {
  await world.removeAllPods();
  await expectSound(world, 15_000);
});

const prepare = (name: string) => preparePod(world.cluster.layout, name, NODE, { tenant: "default", network: "net" });
const call = (pod: Pod, command: "ADD" | "DEL") => callCni(world.cluster.layout, pod, command);
const endpointCount = async () => (await world.rest.get<unknown[]>("/api/v1/endpoints/")).length;

async function startAgain(): Promise<void> {
  const { layout } = world.cluster;
  await startNetplugin(layout, NODE);
  await netpluginReady(layout, NODE);
}

async function readyState(): Promise<string> {
  const { stdout } = await world.onNode(NODE, ["curl", "-s", "http://127.0.0.1:9090/readyz"]);
  return JSON.stringify(JSON.parse(stdout));
}

describe("DEL has been answered, and netplugin is killed", () => {
  it("before the port is out of the switch's database: the pod is not taken for a living one that lost its interface", async () => {
    for (let round = 0; round < 5; round++) {
      const pods = await Promise.all([0, 1, 2].map((index) => prepare(`gone-${index}`)));
      for (const pod of pods) resultOf(await call(pod, "ADD"));
      await world.kill(ovsdbName(NODE), "SIGSTOP");
      for (const pod of pods) expect(await call(pod, "DEL")).toMatchObject({ code: 0 });
      await world.kill(NETPLUGIN, "SIGKILL");
      await world.kill(ovsdbName(NODE), "SIGCONT");
      await startAgain();
      await eventually("the leases ended", endpointCount, (count) => count === 0, 15_000);
      await eventually("ready", readyState, (state) => state.includes('"status":"ready"'), 15_000);
      for (const pod of pods) await discardPod(world.cluster.layout, pod.name);
    }
  });

  it("and the same interface is added again: it lives, whatever the notes say", async () => {
    const pod = await prepare("again");
    resultOf(await call(pod, "ADD"));
    await world.kill("netmaster-1", "SIGSTOP");
    expect(await call(pod, "DEL")).toMatchObject({ code: 0 });
    await world.kill(NETPLUGIN, "SIGKILL");
    await world.kill("netmaster-1", "SIGCONT");
    await startAgain();
    resultOf(await call(pod, "ADD"));
    await world.restartNetplugin(NODE, "SIGKILL");
    await expectSound(world, 5_000).catch((e) => {
      console.log(world.log("netplugin-n1", 60), world.log("netmaster-1", 20));
      throw e;
    });
    expect((await world.inPod("again", ["ip", "link", "show", "eth0"])).exitCode).toBe(0);
    expect(await endpointCount()).toBe(1);
  });
});
