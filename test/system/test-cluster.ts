import { mkdtempSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Cluster, type ClusterOptions, startCluster, stopCluster } from "../../deploy/cluster/cluster.ts";
import {
  type CompiledRoots,
  netmasterName,
  netmasterReady,
  netpluginName,
  netpluginReady,
  projectRoot,
  startNetmaster,
  startNetplugin,
} from "../../deploy/cluster/components.ts";
import { logTail, signalDaemon, stopDaemon } from "../../deploy/cluster/daemon.ts";
import { podAddresses } from "../../deploy/cluster/demo.ts";
import { inNetns, type RunResult, run } from "../../deploy/cluster/exec.ts";
import { addPod, listPods, type PodPlacement, removePod } from "../../deploy/cluster/pods.ts";
import { type RestClient, restClient } from "../../deploy/cluster/rest-client.ts";
import { nodeNetns, podNetns } from "../../deploy/cluster/underlay.ts";
import { startReaper } from "./reaper.ts";

export interface TestClusterOptions {
  readonly nodes?: number;
  readonly netmasters?: number;
  readonly etcdMembers?: 1 | 3;
  readonly extraArguments?: Readonly<Record<string, readonly string[]>>;
  readonly compiled?: CompiledRoots;
}

/** A cluster of this test's own, with the verbs that scenarios are written in. */
export interface TestCluster extends AsyncDisposable {
  readonly cluster: Cluster;
  readonly rest: RestClient;
  restOf(netmaster: number): RestClient;
  addPod(name: string, node: number, placement?: PodPlacement): Promise<CniResult>;
  removePod(name: string): Promise<void>;
  removeAllPods(): Promise<void>;
  addresses(pod: string): Promise<readonly string[]>;
  inPod(pod: string, argv: readonly string[], timeoutMs?: number): Promise<RunResult>;
  onNode(node: number, argv: readonly string[]): Promise<RunResult>;
  /** How many of `count` pings were answered. */
  ping(fromPod: string, address: string, count?: number): Promise<number>;
  kill(component: string, signal?: NodeJS.Signals): Promise<void>;
  restartNetplugin(node: number, signal?: NodeJS.Signals): Promise<void>;
  restartNetmaster(index: number, signal?: NodeJS.Signals): Promise<void>;
  log(component: string, lines?: number): string;
}

export interface CniResult {
  readonly ips: readonly { readonly address: string; readonly gateway?: string }[];
  readonly interfaces: readonly { readonly name: string; readonly mac: string; readonly sandbox?: string }[];
  readonly routes?: readonly { readonly dst: string; readonly gw?: string }[];
}

const BUILD_TIMEOUT_MS = 240_000;
let clusterCount = 0;

/** Starts a cluster with names, ports and folders that nothing else uses; it ends with the test, also when that is killed. */
export async function startTestCluster(options: TestClusterOptions = {}): Promise<TestCluster> {
  await run([join(projectRoot(), "deploy/build")], { timeoutMs: BUILD_TIMEOUT_MS });
  const directory = mkdtempSync(join(tmpdir(), "contiv-"));
  const prefix = `ct${process.pid}x${++clusterCount}`;
  startReaper(`${prefix}-`, directory);
  const settings: ClusterOptions = {
    directory,
    underlay: { prefix, subnet: "192.168.213" },
    nodes: options.nodes ?? 2,
    netmasters: options.netmasters ?? 1,
    etcdMembers: options.etcdMembers ?? 1,
    restPort: await freePorts(options.netmasters ?? 1),
    tied: true,
    ...(options.extraArguments === undefined ? {} : { extraArguments: options.extraArguments }),
    ...(options.compiled === undefined ? {} : { compiled: options.compiled }),
  };
  try {
    return verbs(await startCluster(settings), settings);
  } catch (error) {
    await stopCluster(settings);
    throw error;
  }
}

function verbs(cluster: Cluster, settings: ClusterOptions): TestCluster {
  const { layout } = cluster;
  const restOf = (index: number) => restClient(`http://127.0.0.1:${layout.restPort(index)}`);
  return {
    cluster,
    rest: restClient(cluster.restUrl),
    restOf,
    addPod: async (name, node, placement = {}) => JSON.parse(await addPod(layout, name, node, placement)) as CniResult,
    removePod: (name) => removePod(layout, name),
    removeAllPods: async () => {
      for (const pod of listPods(layout)) await removePod(layout, pod.name);
    },
    addresses: (pod) => podAddresses(cluster, pod),
    inPod: (pod, argv, timeoutMs = 30_000) =>
      run(inNetns(podNetns(layout.underlay, pod), argv), { allowFailure: true, timeoutMs }),
    onNode: (node, argv) => run(inNetns(nodeNetns(layout.underlay, node), argv), { allowFailure: true }),
    ping: async (from, address, count = 3) => {
      const argv = ["ping", "-n", "-c", String(count), "-i", "0.1", "-W", "1", address];
      return answered(await run(inNetns(podNetns(layout.underlay, from), argv), { allowFailure: true }));
    },
    kill: async (component, signal = "SIGKILL") => {
      if (signal === "SIGSTOP" || signal === "SIGCONT") signalDaemon(layout.home, component, signal);
      else await stopDaemon(layout.home, component, signal);
    },
    restartNetplugin: async (node, signal = "SIGTERM") => {
      await stopDaemon(layout.home, netpluginName(node), signal);
      await startNetplugin(layout, node);
      await netpluginReady(layout, node);
    },
    restartNetmaster: async (index, signal = "SIGTERM") => {
      await stopDaemon(layout.home, netmasterName(index), signal);
      await startNetmaster(layout, index);
      await netmasterReady(layout, index);
    },
    log: (component, lines = 40) => logTail(layout.home, component, lines),
    [Symbol.asyncDispose]: () => stopCluster(settings),
  };
}

/** Replies that `ping` counted; 0 when it could not even send. */
export function answered(result: RunResult): number {
  return Number(/(\d+) received/.exec(result.stdout)?.[1] ?? "0");
}

/** Below the ports that the kernel gives to connections: one of those could have taken a killed netmaster's before it is back. */
const FIRST_PORT = 20_000;
const PORT_COUNT = 12_000;

/** The first of `count` adjacent ports of the loopback that nobody listens on. */
export async function freePorts(count: number): Promise<number> {
  for (let attempt = 0; attempt < 50; attempt++) {
    const first = FIRST_PORT + Math.floor(Math.random() * (PORT_COUNT - count));
    const all = await Promise.all(Array.from({ length: count }, (_, index) => isFree(first + index)));
    if (all.every(Boolean)) return first;
  }
  throw new Error(`found no ${count} adjacent free ports`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer().once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

/** Asks again until the answer is as wanted; the last answer is in the error. */
export async function eventually<T>(
  what: string,
  ask: () => Promise<T>,
  wanted: (answer: T) => boolean,
  timeoutMs = 10_000,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (wanted(answer)) return answer;
    if (Date.now() > deadline) throw new Error(`${what}: still ${JSON.stringify(answer)} after ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
