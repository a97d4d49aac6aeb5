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

/** Makes what is missing of the control namespace and its bridge. */
export async function ensureControl(underlay: Underlay): Promise<void> {
  const netns = controlNetns(underlay);
  if (netnsExists(netns)) return;
  await run(["ip", "netns", "add", netns]);
  await ipBatch(netns, [
    "link set lo up",
    `link add ${BRIDGE} type bridge`,
    `link set ${BRIDGE} up`,
    `address add ${controlAddress(underlay)}/24 dev ${BRIDGE}`,
  ]);
}

/** Makes what is missing of one node's namespace and plugs its NIC into the underlay. */
export async function ensureNode(underlay: Underlay, node: number): Promise<void> {
  const netns = nodeNetns(underlay, node);
  if (netnsExists(netns)) return;
  await run(["ip", "netns", "add", netns]);
  const control = controlNetns(underlay);
  await ipBatch(control, [
    `link add port${node} type veth peer name ${NODE_NIC} netns ${netns}`,
    `link set port${node} master ${BRIDGE} up`,
  ]);
  // Frames between namespaces never reach a wire that would fill in checksums; the userspace datapath needs them filled in.
  await run(inNetns(netns, ["ethtool", "-K", NODE_NIC, "tx", "off"]));
  await run(inNetns(control, ["ethtool", "-K", BRIDGE, "tx", "off"]));
  await ipBatch(netns, [
    "link set lo up",
    `link set ${NODE_NIC} up`,
    `address add ${nodeAddress(underlay, node)}/24 dev ${NODE_NIC}`,
  ]);
}

/** Pulls or plugs the node's cable. */
export async function setCable(underlay: Underlay, node: number, plugged: boolean): Promise<void> {
  await ipBatch(controlNetns(underlay), [`link set port${node} ${plugged ? "up" : "down"}`]);
}

/** Removes every namespace of this cluster; what lives inside goes with it. */
export async function removeNamespaces(underlay: Underlay): Promise<void> {
  const { stdout } = await run(["ip", "-json", "netns", "list"]);
  const listed = JSON.parse(stdout.trim() === "" ? "[]" : stdout) as { name: string }[];
  for (const { name } of listed) {
    if (name.startsWith(`${underlay.prefix}-`)) await run(["ip", "netns", "delete", name]);
  }
}

async function ipBatch(netns: string, lines: readonly string[]): Promise<void> {
  await run(["ip", "-n", netns, "-batch", "-"], { stdin: `${lines.join("\n")}\n` });
}
