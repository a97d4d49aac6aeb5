import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { NetError } from "../../state/errors.ts";
import {
  type ClusterLayout,
  type CompiledRoots,
  etcdName,
  etcdReady,
  netmasterName,
  netmasterReady,
  netpluginName,
  netpluginReady,
  ovsdbName,
  pkiDirectory,
  startEtcd,
  startNetmaster,
  startNetplugin,
  startOvs,
  vswitchdName,
} from "./components.ts";
import { daemonPid, stopDaemon } from "./daemon.ts";
import { writeJson } from "./json-file.ts";
import { createAuthority } from "./pki.ts";
import { listPods, removePod } from "./pods.ts";
import { endProcesses, ensureControl, ensureNode, podNetns, removeNamespaces, type Underlay } from "./underlay.ts";

export interface ClusterOptions {
  /** Folder of everything this cluster keeps: logs, sockets, the etcd data, the pods. */
  readonly directory: string;
  readonly underlay: Underlay;
  readonly nodes: number;
  readonly netmasters?: number;
  readonly etcdMembers?: 1 | 3;
  /** REST port of the first netmaster on the host's loopback; the others follow. */
  readonly restPort: number;
  /** True: everything ends together with this process. */
  readonly tied?: boolean;
  readonly extraArguments?: Readonly<Record<string, readonly string[]>>;
  readonly compiled?: CompiledRoots;
  readonly progress?: (step: string) => void;
}

/** A cluster on one machine: the same code serves `deploy/sandbox` and the system tests. */
export interface Cluster {
  readonly layout: ClusterLayout;
  readonly nodes: readonly number[];
  readonly restUrl: string;
}

const STATE_FILE = "cluster.json";

export function layoutOf(options: ClusterOptions): ClusterLayout {
  return {
    home: { directory: options.directory, tied: options.tied ?? false },
    underlay: options.underlay,
    netmasters: options.netmasters ?? 1,
    etcdMembers: options.etcdMembers ?? 1,
    restPort: (netmaster) => options.restPort + netmaster - 1,
    ...(options.extraArguments === undefined ? {} : { extraArguments: options.extraArguments }),
    ...(options.compiled === undefined ? {} : { compiled: options.compiled }),
  };
}

/** Brings the cluster up, or completes one that is partly there; ready pods stay as they are. */
export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const layout = layoutOf(options);
  const progress = options.progress ?? (() => {});
  refuseFewerNodes(options);
  mkdirSync(options.directory, { recursive: true, mode: 0o700 });
  writeJson(join(options.directory, STATE_FILE), { nodes: options.nodes, restPort: options.restPort });
  progress("network namespaces and underlay");
  await ensureControl(layout.underlay);
  const nodes = Array.from({ length: options.nodes }, (_, index) => index + 1);
  for (const node of nodes) await ensureNode(layout.underlay, node);
  await createAuthority(pkiDirectory(layout));
  await Promise.all([startControl(layout, progress), ...nodes.map((node) => startOvs(layout, node))]);
  progress(`netplugin on ${nodes.length} nodes`);
  await Promise.all(nodes.map((node) => startNode(layout, node)));
  return { layout, nodes, restUrl: `http://127.0.0.1:${options.restPort}` };
}

/** What is written down is what `down` ends: a smaller number would leave nodes behind. */
function refuseFewerNodes({ directory, nodes }: ClusterOptions): void {
  const saved = savedCluster(directory);
  if (saved === undefined || saved.nodes <= nodes) return;
  throw new NetError(
    "CONFLICT",
    `This cluster has ${saved.nodes} nodes and cannot shrink to ${nodes}; first: deploy/sandbox down`,
  );
}

async function startNetmasters(layout: ClusterLayout): Promise<void> {
  const indexes = Array.from({ length: layout.netmasters }, (_, index) => index + 1);
  for (const index of indexes) {
    const running = daemonPid(layout.home, netmasterName(index)) !== undefined; // it holds the REST port already
    if (!running) await startNetmaster(layout, index);
  }
  await Promise.all(indexes.map((index) => netmasterReady(layout, index)));
}

async function startControl(layout: ClusterLayout, progress: (step: string) => void): Promise<void> {
  progress("Open vSwitch, etcd");
  for (let member = 1; member <= layout.etcdMembers; member++) await startEtcd(layout, member);
  await etcdReady(layout);
  progress("netmaster");
  await startNetmasters(layout);
}

async function startNode(layout: ClusterLayout, node: number): Promise<void> {
  await startNetplugin(layout, node);
  await netpluginReady(layout, node);
}

/** What a running or stopped cluster in `directory` was started with; undefined when there is none. */
export function savedCluster(directory: string): { readonly nodes: number; readonly restPort: number } | undefined {
  const file = join(directory, STATE_FILE);
  if (!existsSync(file)) return undefined;
  return JSON.parse(readFileSync(file, "utf8")) as { nodes: number; restPort: number };
}

/** Ends every process and removes every namespace, socket and file of the cluster. */
export async function stopCluster(options: ClusterOptions): Promise<void> {
  const layout = layoutOf(options);
  const nodes = Array.from({ length: options.nodes }, (_, index) => index + 1);
  for (const { name } of listPods(layout)) {
    await endProcesses(podNetns(layout.underlay, name));
    await removePod(layout, name).catch(() => {}); // the namespace goes below
  }
  await Promise.all(nodes.map((node) => stopDaemon(layout.home, netpluginName(node))));
  for (let index = 1; index <= layout.netmasters; index++) await stopDaemon(layout.home, netmasterName(index));
  for (let member = 1; member <= layout.etcdMembers; member++) await stopDaemon(layout.home, etcdName(member));
  await Promise.all(nodes.map((node) => stopDaemon(layout.home, vswitchdName(node))));
  await Promise.all(nodes.map((node) => stopDaemon(layout.home, ovsdbName(node))));
  await removeNamespaces(layout.underlay);
  rmSync(options.directory, { recursive: true, force: true });
}
