/**
 * CNI ADD and DEL, from before exec to after exit, against Debian's reference plugins, with 10 and with 200 ports present.
 *
 *   test/bench/run cni [--rounds 5] [--pods 20] [--warm-up 300]
 *
 * Everything is real: etcd with fsync on the disk of TMPDIR, netmaster over mutual TLS, Open vSwitch with its userspace datapath,
 * the static shim. Both sides are started by the same C program (lib/spawn-timer.c), take turns in the same run, and find pods'
 * namespaces made beforehand. Sequential calls follow each other without a pause: ADD, DEL, ADD, DEL, … Before anything is measured each
 * side does `--warm-up` of them, for netplugin and netmaster run for months and their just-in-time compiler learns during the first
 * calls; the first calls and the first burst are shown, too.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { netpluginName } from "../../deploy/cluster/components.ts";
import { daemonPid } from "../../deploy/cluster/daemon.ts";
import { run } from "../../deploy/cluster/exec.ts";
import { startTestCluster, type TestCluster } from "../system/test-cluster.ts";
import { type BenchPod, type Contender, contivContender, makeNamespaces, peerContender } from "./lib/plugins.ts";
import { printMachine, printTable, printVerdicts, type Verdict } from "./lib/report.ts";
import { buildSpawnTimer, type SpawnTimer, type Timing } from "./lib/spawn-timer.ts";
import { median, quantile, wallMs } from "./lib/statistics.ts";

const CONCURRENT = 64;
const FIRST_CALLS = 20;
const SETTLE_MS = 1_000;
const NETPLUGIN_RSS_MAX_MB = 120;
const NODE = 1;

interface Figures {
  readonly addMs: number[];
  readonly delMs: number[];
  readonly addAllMs: number[];
  readonly delAllMs: number[];
}

interface Ground {
  readonly cluster: TestCluster;
  readonly timer: SpawnTimer;
  readonly contenders: readonly Contender[];
  readonly netnsPrefix: string;
  readonly rounds: number;
  readonly podsPerRound: number;
}

const { values: flags } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    pods: { type: "string", default: "20" },
    "warm-up": { type: "string", default: "300" },
  },
});
let podCount = 0;

await using cluster = await startTestCluster({ nodes: 1 });
await cluster.rest.post("/api/v1/networks/default:bench/", {
  tenantName: "default",
  networkName: "bench",
  encap: "vxlan",
  subnet: "10.66.0.0/16",
  gateway: "10.66.255.254",
});
printMachine();
const ground = await prepare(cluster);
for (const contender of ground.contenders) await warmUp(contender);
const verdicts: Verdict[] = [];
const present = new Map<Contender, BenchPod[]>();
for (const ports of [10, 200]) {
  for (const contender of ground.contenders) await fillUp(contender, ports);
  const figures = await measure();
  printFigures(ports, figures);
  verdicts.push(...verdictsOf(ports, figures));
}
const rssMb = netpluginRssMb(cluster);
verdicts.push({
  what: "netplugin's RSS with 200 pods, MB",
  measured: rssMb,
  limit: NETPLUGIN_RSS_MAX_MB,
  direction: "at-most",
});
printVerdicts(verdicts);

async function prepare(cluster: TestCluster): Promise<Ground> {
  const { home, underlay } = cluster.cluster.layout;
  const peers = [true, false].map((withBandwidth) => ({
    withBandwidth,
    netns: `${underlay.prefix}-peer${withBandwidth ? "1" : "2"}`,
    directory: join(home.directory, withBandwidth ? "peer1" : "peer2"),
  }));
  await makeNamespaces(peers.map((peer) => peer.netns));
  for (const peer of peers) {
    await run(["mkdir", "-p", peer.directory]);
    await run(["ip", "-n", peer.netns, "link", "set", "lo", "up"]);
  }
  return {
    cluster,
    timer: await buildSpawnTimer(join(home.directory, "bench")),
    contenders: [contivContender(cluster, NODE, "bench"), ...peers.map(peerContender)],
    netnsPrefix: `${underlay.prefix}-b`,
    rounds: Number(flags.rounds),
    podsPerRound: Number(flags.pods),
  };
}

/** Pods that nobody has seen yet, each with a namespace of its own. */
async function newPods(count: number): Promise<readonly BenchPod[]> {
  const pods = Array.from({ length: count }, () => {
    podCount += 1;
    return { id: `bench${podCount}`, netns: `${ground.netnsPrefix}${podCount}` };
  });
  await makeNamespaces(pods.map((pod) => pod.netns));
  return pods;
}

async function dropNamespaces(pods: readonly BenchPod[]): Promise<void> {
  const stdin = pods.map((pod) => `netns delete ${pod.netns}\n`).join("");
  await run(["ip", "-batch", "-"], { stdin, timeoutMs: 120_000 });
}

async function warmUp(contender: Contender): Promise<void> {
  const figures = newFigures();
  while (figures.addMs.length < Number(flags["warm-up"])) await measureSequential(contender, figures);
  await measureConcurrent(contender, figures);
  const [adds, dels] = [figures.addMs, figures.delMs].map((each) => median(each.slice(0, FIRST_CALLS)).toFixed(1));
  const burst = figures.addAllMs[0]?.toFixed(0);
  const what = `first ${FIRST_CALLS} calls: ADD p50 ${adds} ms, DEL p50 ${dels} ms; first ${CONCURRENT} ADDs at once: ${burst} ms`;
  process.stdout.write(`${contender.name}: ${what}\n`);
}

async function fillUp(contender: Contender, ports: number): Promise<void> {
  const pods = present.get(contender) ?? [];
  const more = await newPods(ports - pods.length);
  await ground.timer.time(contender.netns, more.map(contender.add), 4);
  present.set(contender, [...pods, ...more]);
}

/** Contenders take turns, so that whatever else the machine does meets them all. */
async function measure(): Promise<ReadonlyMap<Contender, Figures>> {
  const figures = new Map<Contender, Figures>(ground.contenders.map((contender) => [contender, newFigures()]));
  for (let round = 0; round < ground.rounds; round++) {
    for (const [contender, each] of figures) {
      await measureSequential(contender, each);
      await measureConcurrent(contender, each);
    }
  }
  return figures;
}

function newFigures(): Figures {
  return { addMs: [], delMs: [], addAllMs: [], delAllMs: [] };
}

async function measureSequential(contender: Contender, figures: Figures): Promise<void> {
  const pods = await newPods(ground.podsPerRound);
  await sleep(SETTLE_MS);
  const jobs = pods.flatMap((pod) => [contender.add(pod), contender.del(pod)]);
  const timings = await ground.timer.time(contender.netns, jobs, 1);
  figures.addMs.push(...durations(timings, "ADD"));
  figures.delMs.push(...durations(timings, "DEL"));
  await dropNamespaces(pods);
}

async function measureConcurrent(contender: Contender, figures: Figures): Promise<void> {
  const pods = await newPods(CONCURRENT);
  await sleep(SETTLE_MS);
  figures.addAllMs.push(wallMs(await ground.timer.time(contender.netns, pods.map(contender.add), CONCURRENT)));
  await sleep(SETTLE_MS);
  figures.delAllMs.push(wallMs(await ground.timer.time(contender.netns, pods.map(contender.del), CONCURRENT)));
  await dropNamespaces(pods);
}

function durations(timings: readonly Timing[], command: string): number[] {
  return timings.filter((timing) => timing.name.includes(`:${command}:`)).map((timing) => timing.durationMs);
}

function printFigures(ports: number, figures: ReadonlyMap<Contender, Figures>): void {
  process.stdout.write(`\n${ports} ports present; milliseconds\n\n`);
  const head = ["", "ADD p50", "ADD p99", "DEL p50", "DEL p99", "64 ADDs", "64 DELs"];
  const rows = [...figures].map(([contender, { addMs, delMs, addAllMs, delAllMs }]) => [
    contender.name,
    ...[median(addMs), quantile(addMs, 0.99), median(delMs), quantile(delMs, 0.99)],
    ...[median(addAllMs), median(delAllMs)],
  ]);
  printTable(head, rows);
}

function verdictsOf(ports: number, figures: ReadonlyMap<Contender, Figures>): Verdict[] {
  const [ours, chain] = [...figures.values()];
  if (ours === undefined || chain === undefined) throw new Error("the chain was not measured");
  const ratio = (what: string, pick: (figures: Figures) => number[], limit: number): Verdict => ({
    what: `${what}, ${ports} ports: part of the chain's`,
    measured: median(pick(ours)) / median(pick(chain)),
    limit,
    direction: "at-most",
  });
  return [
    ratio("ADD p50", (each) => each.addMs, 0.6),
    ratio("DEL p50", (each) => each.delMs, 0.5),
    ratio("64 concurrent ADDs", (each) => each.addAllMs, 0.35),
  ];
}

function netpluginRssMb(cluster: TestCluster): number {
  const pid = daemonPid(cluster.cluster.layout.home, netpluginName(NODE));
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return (Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024) / 1e6;
}
