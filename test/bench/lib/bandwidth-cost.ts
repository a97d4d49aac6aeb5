import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { run } from "../../../deploy/cluster/exec.ts";
import type { TestCluster } from "../../system/test-cluster.ts";
import { type BenchPod, type Contender, contivContender, makeNamespaces, peerContender } from "./plugins.ts";
import { printTable, type Verdict } from "./report.ts";
import { buildSpawnTimer } from "./spawn-timer.ts";
import { median, quantile } from "./statistics.ts";

const ROUNDS = 8;
const PODS = 15;
/** Their just-in-time compiler learns during the first calls. */
const WARM_UP_ROUNDS = 6;
const ADD_MAX_MS = 1;
const NODE = 1;

/** What both limits add to an ADD, beside what the `bandwidth` plugin adds; all take turns. */
export async function cost(world: TestCluster): Promise<readonly Verdict[]> {
  const { home, underlay } = world.cluster.layout;
  const timer = await buildSpawnTimer(join(home.directory, "bench"));
  const peers = [false, true].map((withBandwidth) => {
    const name = withBandwidth ? "peer2" : "peer1";
    const options = { withBandwidth, netns: `${underlay.prefix}-${name}`, directory: join(home.directory, name) };
    mkdirSync(options.directory, { recursive: true });
    return options;
  });
  await makeNamespaces(peers.map(({ netns }) => netns));
  const ours = [false, true].map((withLimits) => contivContender(world, NODE, "net", { tenant: "t1", withLimits }));
  const contenders = [...ours, ...peers.map(peerContender)];
  const addMs = new Map<Contender, number[]>(contenders.map((contender) => [contender, []]));
  let podCount = 0;
  for (let round = 0; round < WARM_UP_ROUNDS + ROUNDS; round++) {
    for (const contender of contenders) {
      const pods: BenchPod[] = Array.from({ length: PODS }, () => {
        podCount += 1;
        return { id: `cost${podCount}`, netns: `${underlay.prefix}-c${podCount}` };
      });
      await makeNamespaces(pods.map(({ netns }) => netns));
      const jobs = pods.flatMap((pod) => [contender.add(pod), contender.del(pod)]);
      const timings = await timer.time(contender.netns, jobs, 1);
      const adds = timings.filter(({ name }) => name.includes(":ADD:")).map(({ durationMs }) => durationMs);
      if (round >= WARM_UP_ROUNDS) addMs.get(contender)?.push(...adds);
      const stdin = pods.map(({ netns }) => `netns delete ${netns}\n`).join("");
      await run(["ip", "-batch", "-"], { stdin, timeoutMs: 120_000 });
    }
  }
  const [plain = [], limited = [], peer = [], chain = []] = [...addMs.values()];
  const row = (name: string, without: readonly number[], withLimits: readonly number[]) => [
    ...[name, median(without), median(withLimits), median(withLimits) - median(without)],
    ...[quantile(without, 0.99), quantile(withLimits, 0.99)],
  ];
  printTable(
    ["ADD, ms", "p50", "with both limits", "more", "p99", "with both limits"],
    [row("contiv", plain, limited), row("bridge + host-local, + bandwidth", peer, chain)],
  );
  const more = median(limited) - median(plain);
  return [{ what: "both limits in ADD p50, ms more", measured: more, limit: ADD_MAX_MS, direction: "at-most" }];
}
