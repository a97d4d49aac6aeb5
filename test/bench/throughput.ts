/**
 * TCP throughput through the pipeline, against a bare bridge with `actions=normal` in the same vswitchd and datapath; and with policies
 * (100 rules that match on each side) against the same pipeline without.
 *
 *   test/bench/run throughput [--rounds 5] [--seconds 4]
 *
 * Two ways: between pods of one node, and between pods of two nodes over VXLAN. The bare bridges have ports of the same kind (veth,
 * MTU, checksums as the pods'), and across nodes a VXLAN port with a fixed remote. Both sides take turns in the same run.
 */
import { parseArgs } from "node:util";
import { ovsRunDirectory } from "../../deploy/cluster/components.ts";
import { inNetns, run } from "../../deploy/cluster/exec.ts";
import { nodeAddress, nodeNetns, podNetns } from "../../deploy/cluster/underlay.ts";
import { eventually, startTestCluster, type TestCluster } from "../system/test-cluster.ts";
import { printMachine, printTable, printVerdicts, type Verdict } from "./lib/report.ts";
import { median } from "./lib/statistics.ts";
import { spawnTied, type Tied } from "./lib/tied.ts";

const PART_MIN = 0.9;
const POLICY_PART_MIN = 0.95;
const RULES_PER_SIDE = 100;
const BARE_MTU_BYTES = 1450;
/** Another than the pipeline's, which has the port for all flow-based tunnels. */
const BARE_VXLAN_UDP_PORT = 4790;
const BARE_BRIDGE = "bare";

/** Two namespaces that reach each other, and the receiver's address. */
interface Path {
  readonly from: string;
  readonly to: string;
  readonly address: string;
}

const { values: flags } = parseArgs({
  options: { rounds: { type: "string", default: "5" }, seconds: { type: "string", default: "4" } },
});

await using cluster = await startTestCluster({ nodes: 2 });
printMachine();
const ways = [];
for (const [name, to] of [
  ["one node", 1],
  ["two nodes, VXLAN", 2],
] as const) {
  ways.push({
    name,
    ours: await podPath(cluster, `net${to}`, 1, to),
    ruled: await podPath(cluster, `ruled${to}`, 1, to, await writeRules(cluster, `ruled${to}`)),
    bare: await barePath(cluster, 1, to),
  });
}
const verdicts: Verdict[] = [];
const rows = [];
for (const { name, ours, ruled, bare } of ways) {
  using _ours = await serve(ours);
  using _ruled = await serve(ruled);
  using _bare = await serve(bare);
  const gbps = { ours: [] as number[], ruled: [] as number[], bare: [] as number[] };
  for (let round = 0; round < Number(flags.rounds); round++) {
    gbps.ours.push(await measure(ours));
    gbps.ruled.push(await measure(ruled));
    gbps.bare.push(await measure(bare));
  }
  const [plain, withRules, normal] = [median(gbps.ours), median(gbps.ruled), median(gbps.bare)];
  rows.push([name, plain, normal, plain / normal, withRules, withRules / plain]);
  verdicts.push({ what: name, measured: plain / normal, limit: PART_MIN, direction: "at-least" });
  verdicts.push({
    what: `${name}, with rules`,
    measured: withRules / plain,
    limit: POLICY_PART_MIN,
    direction: "at-least",
  });
}
printTable(
  ["TCP, one stream, Gbit/s (median)", "pipeline", "bare bridge", "part", "with 100 + 100 rules", "part of without"],
  rows,
);
printVerdicts(verdicts);

async function writeNetwork(cluster: TestCluster, networkName: string, subnet: string): Promise<void> {
  await cluster.rest.post(`/api/v1/networks/default:${networkName}/`, {
    ...{ tenantName: "default", networkName, encap: "vxlan", subnet: `${subnet}.0/24`, gateway: `${subnet}.254` },
  });
}

/** A group whose rules allow what its members tell each other, by 100 rules on the way out and 100 on the way in. */
async function writeRules(cluster: TestCluster, name: string): Promise<string> {
  const tenantName = "default";
  await writeNetwork(cluster, name, name === "ruled1" ? "10.3.1" : "10.3.2");
  await cluster.rest.post(`/api/v1/policys/default:${name}/`, { tenantName, policyName: name });
  const groupName = `${name}-pods`;
  const group = { tenantName, groupName, networkName: name, policies: [name] };
  await cluster.rest.post(`/api/v1/endpointGroups/default:${groupName}/`, group);
  for (const [direction, peer] of [
    ["out", "toEndpointGroup"],
    ["in", "fromEndpointGroup"],
  ] as const) {
    for (let priority = 1; priority <= RULES_PER_SIDE; priority += 1) {
      const ruleId = `${direction}${priority}`;
      const rule = { tenantName, policyName: name, ruleId, direction, action: "allow", priority, [peer]: groupName };
      await cluster.rest.post(`/api/v1/rules/default:${name}:${ruleId}/`, rule);
    }
  }
  return groupName;
}

/** Two pods of a network of their own; of a group, in its network, which is there already. */
async function podPath(cluster: TestCluster, name: string, from: number, to: number, group?: string): Promise<Path> {
  const placement = { network: name, ...(group === undefined ? {} : { group }) };
  if (group === undefined) await writeNetwork(cluster, name, `10.${from}.${to}`);
  await cluster.addPod(`${name}-a`, from, placement);
  await cluster.addPod(`${name}-b`, to, placement);
  const [address = ""] = await cluster.addresses(`${name}-b`);
  const netns = (pod: string) => podNetns(cluster.cluster.layout.underlay, pod);
  return reachable({ from: netns(`${name}-a`), to: netns(`${name}-b`), address });
}

/** The same without a pipeline: a port on a bridge that only learns. */
async function barePath(cluster: TestCluster, from: number, to: number): Promise<Path> {
  const { underlay } = cluster.cluster.layout;
  const name = `${BARE_BRIDGE}${from}${to}`;
  const subnet = `10.9${from}.${to}`;
  const ends = [
    { node: from, netns: `${underlay.prefix}-${name}a`, port: `${name}a`, address: `${subnet}.1`, other: to },
    { node: to, netns: `${underlay.prefix}-${name}b`, port: `${name}b`, address: `${subnet}.2`, other: from },
  ];
  for (const end of ends) {
    await vsctl(cluster, end.node, [
      ...["--may-exist", "add-br", name, "--", "set", "bridge", name, "datapath_type=netdev", "fail_mode=standalone"],
    ]);
    await plugIn(cluster, name, end);
    if (from !== to) await tunnel(cluster, name, end.node, nodeAddress(underlay, end.other));
  }
  const [a, b] = ends;
  return reachable({ from: a?.netns ?? "", to: b?.netns ?? "", address: b?.address ?? "" });
}

interface BareEnd {
  readonly node: number;
  readonly netns: string;
  readonly port: string;
  readonly address: string;
}

async function plugIn(cluster: TestCluster, bridge: string, end: BareEnd): Promise<void> {
  const node = nodeNetns(cluster.cluster.layout.underlay, end.node);
  await run(["ip", "netns", "add", end.netns]);
  const mtu = ["mtu", String(BARE_MTU_BYTES)];
  await run([
    "ip",
    "-n",
    node,
    "link",
    "add",
    end.port,
    ...mtu,
    "up",
    "type",
    "veth",
    "peer",
    "eth0",
    "netns",
    end.netns,
  ]);
  await run(inNetns(end.netns, ["ethtool", "-K", "eth0", "tx", "off"]));
  await run(["ip", "-n", end.netns, "address", "add", `${end.address}/24`, "dev", "eth0"]);
  await run(["ip", "-n", end.netns, "link", "set", "eth0", ...mtu, "up"]);
  await vsctl(cluster, end.node, ["add-port", bridge, end.port]);
}

async function tunnel(cluster: TestCluster, bridge: string, node: number, remote: string): Promise<void> {
  const options = [`options:remote_ip=${remote}`, "options:key=77", `options:dst_port=${BARE_VXLAN_UDP_PORT}`];
  const port = `${bridge}t`;
  await vsctl(cluster, node, ["add-port", bridge, port, "--", "set", "interface", port, "type=vxlan", ...options]);
}

async function vsctl(cluster: TestCluster, node: number, argv: readonly string[]): Promise<void> {
  const socket = `${ovsRunDirectory(cluster.cluster.layout, node)}/db.sock`;
  await run(["ovs-vsctl", `--db=unix:${socket}`, "--timeout=15", ...argv]);
}

/** Waits until pings arrive: neighbours and MACs are learnt before anything is measured. */
async function reachable(path: Path): Promise<Path> {
  const ping = inNetns(path.from, ["ping", "-n", "-c", "1", "-W", "1", path.address]);
  const arrives = async () => (await run(ping, { allowFailure: true })).exitCode === 0;
  await eventually(`ping from ${path.from} to ${path.address}`, arrives, (answer) => answer);
  return path;
}

async function serve(path: Path): Promise<Tied> {
  const server = spawnTied(inNetns(path.to, ["iperf3", "-s"]));
  const listening = async () => (await run(inNetns(path.to, ["ss", "-Hltn"]))).stdout.includes(":5201");
  await eventually(`iperf3 in ${path.to}`, listening, (answer) => answer);
  return server;
}

async function measure(path: Path): Promise<number> {
  const client = ["iperf3", "-c", path.address, "-t", String(flags.seconds), "-O", "1", "-J"];
  const { stdout } = await run(inNetns(path.from, client), { timeoutMs: 60_000 });
  const result = JSON.parse(stdout) as { end: { sum_received: { bits_per_second: number } } };
  return result.end.sum_received.bits_per_second / 1e9;
}
