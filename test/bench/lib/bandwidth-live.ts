import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { bandwidthAdmin, bandwidthNodes, bandwidthTraffic } from "../../system/bandwidth-world.ts";
import { eventually, type TestCluster } from "../../system/test-cluster.ts";
import { serveIperf } from "../../system/throughput.ts";
import { contivContender, makeNamespaces } from "./plugins.ts";
import { printTable, type Verdict } from "./report.ts";
import { buildSpawnTimer } from "./spawn-timer.ts";
import { median } from "./statistics.ts";

const NODE = 1;
const ENDPOINTS = 200;
const UPDATES = 5;
const UPDATE_MAX_MS = 1_000;
const MODES = ["shape", "police"] as const;

/** One update of a netprofile until all ports carry it, as tc and the switch show. */
export async function update(world: TestCluster): Promise<readonly Verdict[]> {
  const { profile } = bandwidthAdmin(() => world);
  const { layout } = world.cluster;
  // IPv4 only: multicast of 200 dual-stack pods to each other would be measured, too.
  const network = { tenantName: "t1", networkName: "crowd", encap: "vxlan", subnet: "10.2.0.0/16" };
  await world.rest.post("/api/v1/networks/t1:crowd/", network);
  const attach = (netProfile: string) =>
    world.rest.post("/api/v1/endpointGroups/t1:many/", { ...network, groupName: "many", netProfile });
  await attach("");
  const timer = await buildSpawnTimer(join(layout.home.directory, "bench"));
  const contender = contivContender(world, NODE, "crowd", { tenant: "t1", group: "many" });
  const pods = Array.from({ length: ENDPOINTS }, (_, index) => ({
    id: `many${index}`,
    netns: `${layout.underlay.prefix}-m${index}`,
  }));
  await makeNamespaces(pods.map(({ netns }) => netns));
  await timer.time(contender.netns, pods.map(contender.add), 4);
  const verdicts: Verdict[] = [];
  const rows: (string | number)[][] = [];
  for (const [index, egressMode] of MODES.entries()) {
    const base = 100 * (index + 1);
    await profile("many", { bandwidth: `${base}mbps`, egressMode });
    await attach("many");
    await inForce(world, base, egressMode, 30_000);
    const ms: number[] = [];
    for (let round = 1; round <= UPDATES; round++) {
      await sleep(500);
      const startedMs = performance.now();
      await profile("many", { bandwidth: `${base + round}mbps`, egressMode });
      await inForce(world, base + round, egressMode, 30_000);
      ms.push(performance.now() - startedMs);
    }
    rows.push([egressMode, median(ms), Math.max(...ms)]);
    const what = `${ENDPOINTS} endpoints changed, ${egressMode}: median, ms`;
    verdicts.push({ what, measured: median(ms), limit: UPDATE_MAX_MS, direction: "at-most" });
  }
  printTable([`one update, ${ENDPOINTS} endpoints, ms`, "median", "longest"], rows);
  await timer.time(contender.netns, pods.map(contender.del), 4);
  return verdicts;
}

async function inForce(world: TestCluster, rateMbit: number, egressMode: string, timeoutMs: number): Promise<void> {
  const { onNode, inPanel, meterRates } = bandwidthNodes(() => world);
  const shown = `rate ${rateMbit}Mbit `;
  const count = (text: string) => text.split("\n").filter((line) => line.includes(shown)).length;
  const near = async () => count(await onNode(NODE, "tc", "qdisc", "show"));
  const far = async () => {
    if (egressMode === "shape") return count(await inPanel(NODE, "tc", "qdisc", "show"));
    return Object.values(await meterRates(NODE)).filter((rate) => rate === rateMbit * 1_000).length;
  };
  for (const ask of [near, far]) await eventually("limits", ask, (found) => found === ENDPOINTS, timeoutMs);
}

const LIMITED_MBIT = 10;
const ROUNDS = 5;
const SECONDS = 3;
const PART_MIN = 0.95;

/** Throughput of an unlimited pair, alone and while another pod sends as much as its limit lets it. */
export async function neighbour(world: TestCluster): Promise<readonly Verdict[]> {
  const { profile, attach } = bandwidthAdmin(() => world);
  const { flow } = bandwidthTraffic(() => world);
  for (const pod of ["a", "b", "d"]) await world.addPod(pod, NODE, { tenant: "t1", network: "net" });
  await world.addPod("c", NODE, { tenant: "t1", network: "net", group: "web" });
  for (const pod of ["b", "d"]) await serveIperf(world, pod);
  const verdicts: Verdict[] = [];
  const rows: (string | number)[][] = [];
  for (const egressMode of MODES) {
    await profile("slow", { bandwidth: `${LIMITED_MBIT}mbps`, egressMode });
    await attach("web", "slow");
    await sleep(1_000);
    const gbps = { alone: [] as number[], beside: [] as number[], limited: [] as number[] };
    const pair = async () => (await flow("a", "b", { seconds: SECONDS, omitSeconds: 0 })).receivedBitPerSecond / 1e9;
    for (let round = 0; round < ROUNDS; round++) {
      gbps.alone.push(await pair());
      const saturating = flow("c", "d", { seconds: SECONDS + 2, omitSeconds: 0 });
      await sleep(1_000);
      gbps.beside.push(await pair());
      gbps.limited.push((await saturating).receivedBitPerSecond / 1e9);
    }
    const part = median(gbps.beside) / median(gbps.alone);
    rows.push([egressMode, median(gbps.alone), median(gbps.beside), part, median(gbps.limited) * 1_000]);
    const what = `unlimited pair beside a pod at its limit, ${egressMode}: part`;
    verdicts.push({ what, measured: part, limit: PART_MIN, direction: "at-least" });
  }
  printTable(["TCP, Gbit/s (median)", "pair alone", "pair beside", "part", "the limited pod, Mbit/s"], rows);
  await world.removeAllPods();
  return verdicts;
}
