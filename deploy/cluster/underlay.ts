import { existsSync } from "node:fs";
import { inNetns, run } from "./exec.ts";

/**
 * The underlay of a cluster on one machine: a bridge in the control namespace, and one namespace per node with one NIC, `eth0`.
 * The bridge carries tagged frames untouched, so it serves both as the tunnels' network and as a VLAN trunk.
 */
export interface Underlay {
  /** Prefix of all namespace names of this cluster. */
  readonly prefix: string;
  /** First three octets of the underlay's /24. */
  readonly subnet: string;
}

export const NODE_NIC = "eth0";
const BRIDGE = "underlay";
const FIRST_NODE_OCTET = 10;

export function controlNetns(underlay: Underlay): string {
  return `${underlay.prefix}-ctl`;
}

export function nodeNetns(underlay: Underlay, node: number): string {
  return `${underlay.prefix}-n${node}`;
}

/** Where the ends of a node's ready ports wait. */
export function panelNetns(underlay: Underlay, node: number): string {
  return `${underlay.prefix}-panel-n${node}`;
}

export function podNetns(underlay: Underlay, pod: string): string {
  return `${underlay.prefix}-pod-${pod}`;
}

export function controlAddress(underlay: Underlay): string {
  return `${underlay.subnet}.1`;
}

export function nodeAddress(underlay: Underlay, node: number): string {
  return `${underlay.subnet}.${FIRST_NODE_OCTET + node}`;
}

export function netnsExists(name: string): boolean {
  return existsSync(`/run/netns/${name}`);
}

/** Makes the control namespace and its bridge; one that was left half made is made anew. */
export async function ensureControl(underlay: Underlay): Promise<void> {
  const netns = controlNetns(underlay);
  if (netnsExists(netns)) {
    if ((await linksOf(netns)).some(({ ifname, flags }) => ifname === BRIDGE && flags.includes("UP"))) return;
    await deleteNetns(netns);
  }
  await run(["ip", "netns", "add", netns]);
  await ipBatch(netns, [
    "link set lo up",
    // It learns nothing (always floods): tenants with the same subnets have the same MACs in different VLANs, and a bridge that
    // knows no VLANs would learn each of them now here, now there. Switches learn per VLAN.
    `link add ${BRIDGE} type bridge ageing_time 0`,
    `address add ${controlAddress(underlay)}/24 dev ${BRIDGE}`,
    `link set ${BRIDGE} up`, // the last step: says that the namespace is complete
  ]);
}

/** Makes one node's namespace and plugs its NIC into the underlay; one that was left half made is made anew. */
export async function ensureNode(underlay: Underlay, node: number): Promise<void> {
  const netns = nodeNetns(underlay, node);
  const control = controlNetns(underlay);
  const port = (await linksOf(control)).find(({ ifname }) => ifname === `port${node}`);
  if (netnsExists(netns) && port?.master === BRIDGE) return;
  if (port !== undefined) await ipBatch(control, [`link delete port${node}`]);
  if (netnsExists(netns)) await deleteNetns(netns);
  await run(["ip", "netns", "add", netns]);
  await ipBatch(control, [`link add port${node} type veth peer name ${NODE_NIC} netns ${netns}`]);
  // Frames between namespaces never reach a wire that would fill in checksums; the userspace datapath needs them filled in.
  await run(inNetns(netns, ["ethtool", "-K", NODE_NIC, "tx", "off"]));
  await run(inNetns(control, ["ethtool", "-K", BRIDGE, "tx", "off"]));
  await ipBatch(netns, [
    "link set lo up",
    `link set ${NODE_NIC} up`,
    `address add ${nodeAddress(underlay, node)}/24 dev ${NODE_NIC}`,
  ]);
  // The last step: the port's master says that the node is complete.
  await ipBatch(control, [`link set port${node} up`, `link set port${node} master ${BRIDGE}`]);
}

/** Pulls or plugs the node's cable. */
export async function setCable(underlay: Underlay, node: number, plugged: boolean): Promise<void> {
  await ipBatch(controlNetns(underlay), [`link set port${node} ${plugged ? "up" : "down"}`]);
}

/** Removes every namespace of this cluster and ends what still runs in them, a forgotten `pod exec` for instance. */
export async function removeNamespaces(underlay: Underlay): Promise<void> {
  const { stdout } = await run(["ip", "-json", "netns", "list"]);
  const listed = JSON.parse(stdout.trim() === "" ? "[]" : stdout) as { name: string }[];
  for (const { name } of listed) {
    if (!name.startsWith(`${underlay.prefix}-`)) continue;
    await endProcesses(name);
    await deleteNetns(name);
  }
}

/** A process keeps its namespace, links included, alive after the name is gone. Succeeds when there is no such namespace. */
export async function endProcesses(netns: string): Promise<void> {
  if (!netnsExists(netns)) return;
  const { stdout } = await run(["ip", "netns", "pids", netns], { allowFailure: true });
  for (const line of stdout.split("\n")) {
    const pid = Number(line);
    if (pid > 0 && pid !== process.pid) kill(pid);
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // it has ended by itself
  }
}

async function deleteNetns(name: string): Promise<void> {
  await run(["ip", "netns", "delete", name]);
}

interface Link {
  readonly ifname: string;
  readonly flags: readonly string[];
  readonly master?: string;
}

async function linksOf(netns: string): Promise<readonly Link[]> {
  const { stdout } = await run(["ip", "-n", netns, "-json", "link", "show"]);
  return JSON.parse(stdout) as Link[];
}

async function ipBatch(netns: string, lines: readonly string[]): Promise<void> {
  await run(["ip", "-n", netns, "-batch", "-"], { stdin: `${lines.join("\n")}\n` });
}
