import { join } from "node:path";
import { type ClusterLayout, INSPECT_PORT, ovsRunDirectory } from "../../deploy/cluster/components.ts";
import { run } from "../../deploy/cluster/exec.ts";
import { getFromLoopback } from "../../deploy/cluster/loopback.ts";
import { netnsExists, nodeNetns, panelNetns, podNetns } from "../../deploy/cluster/underlay.ts";

/** A port of the node's switch, as its database shows it. */
export interface DumpedPort {
  readonly name: string;
  readonly ofport: number | undefined;
  readonly type: string;
  readonly error: string;
  readonly externalIds: Readonly<Record<string, string>>;
}

/** A link of a network namespace, as iproute2 shows it. */
export interface DumpedLink {
  readonly ifindex: number;
  readonly name: string;
  readonly mac: string;
  /** The other end of a veth, or what a macvlan hangs on. */
  readonly lowerIfindex: number | undefined;
  readonly isUp: boolean;
  /** With prefix length, link-local ones left out. */
  readonly addresses: readonly string[];
}

/** What is really there on a node, read with the tools of Open vSwitch and iproute2. */
export interface NodeDump {
  readonly node: number;
  readonly ports: readonly DumpedPort[];
  readonly links: readonly DumpedLink[];
  readonly panelLinks: readonly DumpedLink[];
  /** The integration bridge's flows without counters, sorted. */
  readonly flows: readonly string[];
  /** netplugin's metrics: name with labels → value. */
  readonly metrics: ReadonlyMap<string, number>;
}

export async function dumpNode(layout: ClusterLayout, node: number): Promise<NodeDump> {
  const netns = nodeNetns(layout.underlay, node);
  const [ports, links, panelLinks, flows, metrics] = await Promise.all([
    dumpPorts(layout, node),
    dumpLinks(netns),
    dumpLinks(panelNetns(layout.underlay, node)),
    dumpFlows(layout, node),
    dumpMetrics(layout, node),
  ]);
  return { node, ports, links, panelLinks, flows, metrics };
}

async function dumpPorts(layout: ClusterLayout, node: number): Promise<readonly DumpedPort[]> {
  const marks = new Map(
    (await listTable<[string, OvsdbMap]>(layout, node, "Port", "name,external_ids")).map(([name, [, ids]]) => [
      name,
      ids,
    ]),
  );
  const interfaces = await listTable<[string, unknown, string, unknown]>(
    layout,
    node,
    "Interface",
    "name,ofport,type,error",
  );
  return interfaces.map(([name, ofport, type, error]) => ({
    name,
    ofport: typeof ofport === "number" ? ofport : undefined,
    type,
    error: typeof error === "string" ? error : "",
    externalIds: Object.fromEntries(marks.get(name) ?? []),
  }));
}

/** `["map", [[key, value], …]]` (RFC 7047 §5.1). */
type OvsdbMap = [string, [string, string][]];

async function listTable<Row>(layout: ClusterLayout, node: number, table: string, columns: string): Promise<Row[]> {
  const database = `--db=unix:${join(ovsRunDirectory(layout, node), "db.sock")}`;
  const format = ["--timeout=15", "--format=json", `--columns=${columns}`];
  const { stdout } = await run(["ovs-vsctl", database, ...format, "list", table]);
  return (JSON.parse(stdout) as { data: Row[] }).data;
}

/** Every link of a namespace; none when the namespace is gone. */
export async function dumpLinks(netns: string): Promise<readonly DumpedLink[]> {
  if (!netnsExists(netns)) return [];
  const { stdout } = await run(["ip", "-n", netns, "-json", "address", "show"]);
  const rows = JSON.parse(stdout) as {
    ifindex: number;
    ifname: string;
    address?: string;
    link_index?: number;
    link?: string;
    flags: string[];
    addr_info: { local: string; prefixlen: number; scope: string }[];
  }[];
  return rows.map(({ ifindex, ifname, address, link_index, flags, addr_info }) => ({
    ifindex,
    name: ifname,
    mac: address ?? "",
    lowerIfindex: link_index,
    isUp: flags.includes("UP"),
    addresses: addr_info.filter(({ scope }) => scope !== "link").map(({ local, prefixlen }) => `${local}/${prefixlen}`),
  }));
}

export function dumpPodLinks(layout: ClusterLayout, pod: string): Promise<readonly DumpedLink[]> {
  return dumpLinks(podNetns(layout.underlay, pod));
}

/** The flows of the integration bridge without counters, sorted. */
export async function dumpFlows(layout: ClusterLayout, node: number): Promise<readonly string[]> {
  const lines = await flowLines(layout, node, ["--no-stats"]);
  return lines.map((line) => line.trim()).sort();
}

/** When each flow was put into the switch, in milliseconds of this process's clock, rounded to what the switch tells. */
export async function flowBirthsMs(layout: ClusterLayout, node: number): Promise<readonly number[]> {
  const nowMs = Date.now();
  const lines = await flowLines(layout, node, []);
  return lines.map((line) => nowMs - 1_000 * Number(/duration=([0-9.]+)s/.exec(line)?.[1] ?? "NaN"));
}

async function flowLines(layout: ClusterLayout, node: number, options: readonly string[]): Promise<readonly string[]> {
  const socket = `unix:${join(ovsRunDirectory(layout, node), "contiv-int.mgmt")}`;
  const argv = ["ovs-ofctl", "-O", "OpenFlow15", "--no-names", ...options, "--timeout=15", "dump-flows", socket];
  const { stdout } = await run(argv);
  return stdout.split("\n").filter((line) => line.includes("actions=") || line.includes("table="));
}

/** What netplugin's inspection server answers; undefined while it does not. */
export async function askNetplugin(layout: ClusterLayout, node: number, path: string): Promise<string | undefined> {
  const answer = getFromLoopback(nodeNetns(layout.underlay, node), INSPECT_PORT, path);
  return await answer.then(
    ({ text }) => text,
    () => undefined,
  );
}

async function dumpMetrics(layout: ClusterLayout, node: number): Promise<ReadonlyMap<string, number>> {
  const text = (await askNetplugin(layout, node, "/metrics")) ?? "";
  const metrics = new Map<string, number>();
  for (const line of text.split("\n")) {
    const match = /^([a-z_]+(?:\{[^}]*\})?) ([0-9.e+-]+)$/.exec(line);
    if (match?.[1] !== undefined) metrics.set(match[1], Number(match[2]));
  }
  return metrics;
}

/** Sum of a counter over all its labels. */
export function total({ metrics }: NodeDump, name: string): number {
  let sum = 0;
  for (const [key, value] of metrics) if (key === name || key.startsWith(`${name}{`)) sum += value;
  return sum;
}
