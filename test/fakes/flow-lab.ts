import { existsSync, readdirSync } from "node:fs";
import { inNetns, run } from "../../deploy/cluster/exec.ts";
import { formatFlow } from "../../drivers/ovs/openflow/text.ts";
import { newFlowSet, updateFlowSet } from "../../netplugin/desired/flow-set/flow-set.ts";
import type { Machine } from "../../netplugin/machine/machine.ts";
import { NO_CHANGES, type NodeView } from "../../netplugin/view/node-view.ts";
import { endpointsOfNode, networkOf, recordsOf } from "../../netplugin/view/query.ts";
import type { EndpointRecord } from "../../state/kinds/endpoint.ts";
import { flowsOfSet } from "./flows-of-set.ts";
import { type OvsNode, startOvsNode } from "./ovs-node.ts";
import { machineOf, worldView } from "./world.ts";

/**
 * Nodes with a real Open vSwitch each, joined back to back by a veth underlay that carries tunnels and VLANs, and a network
 * namespace for every endpoint of a world (world.ts). The flows are those of the flow set; nothing else of netplugin runs.
 */
export interface FlowLab extends AsyncDisposable {
  /** Computes and installs the flows of a world on both nodes, in one bundle each. Pods must be those of the first world. */
  load(world: string, generation?: number): Promise<void>;
  /** Runs a program in a pod; the exit code tells. */
  exec(pod: string, ...argv: readonly string[]): Promise<{ readonly exitCode: number; readonly stdout: string }>;
  /** One answered ping within 4 s: the first packets of a new tunnel are lost while the switch looks for its other end. */
  reaches(pod: string, address: string): Promise<boolean>;
  /** Every pod forgets whom it knows, so that ARP and ND take part in what follows. */
  forgetNeighbours(): Promise<void>;
  netnsOf(pod: string): string;
  node(name: string): OvsNode;
  /** A host on an access port of a VLAN, on the uplink bridge of n2: a machine of the underlay. Name, address, VLAN. */
  addHost(name: string, addresses: readonly string[], vlan: number): Promise<void>;
}

const PREFIX = "cfl";
const INTEGRATION = "contiv-int";
const UPLINK = "uplink";
const FIRST_POD_OFPORT = 11;
const NODE_NAMES = ["n1", "n2"] as const;

const PING_ONCE = ["ping", "-n", "-c", "1", "-W", "1", "-i", "0.2", "-w", "4"];

const isNode = (name: string) => NODE_NAMES.some((node) => node === name);

const netnsName = (name: string) => `${PREFIX}${process.pid}-${name}`;

export async function startFlowLab(world: string): Promise<FlowLab> {
  await removeOrphans();
  const view = worldView(world);
  const nodes = new Map<string, OvsNode>();
  const machines = new Map<string, Machine>();
  const names = new Set<string>(NODE_NAMES);
  const close = async () => {
    for (const node of nodes.values()) await node[Symbol.asyncDispose]();
    for (const name of names) await run(["ip", "netns", "del", netnsName(name)], { allowFailure: true });
  };
  try {
    await makeUnderlay();
    for (const name of NODE_NAMES) nodes.set(name, await startNode(view, name));
    for (const name of NODE_NAMES) machines.set(name, await plugPods(view, name, lookUp(nodes, name), names));
  } catch (error) {
    await close();
    throw error;
  }
  const exec = (pod: string, ...argv: readonly string[]) => run(inNetns(netnsName(pod), argv), { allowFailure: true });
  return {
    load: async (text, generation) => {
      const next = worldView(text);
      for (const name of NODE_NAMES) await install(next, lookUp(machines, name), lookUp(nodes, name), generation);
    },
    exec,
    reaches: async (pod, address) => (await exec(pod, ...PING_ONCE, address)).exitCode === 0,
    forgetNeighbours: async () => {
      for (const name of names) if (!isNode(name)) await exec(name, "ip", "neigh", "flush", "dev", "eth0");
    },
    netnsOf: netnsName,
    node: (name) => lookUp(nodes, name),
    addHost: async (name, addresses, vlan) => {
      names.add(name);
      await makeHost(name, addresses);
      const device = `h-${name}`;
      await lookUp(nodes, "n2").vsctl("add-port", UPLINK, device, `tag=${vlan}`);
    },
    [Symbol.asyncDispose]: close,
  };
}

function lookUp<V>(map: ReadonlyMap<string, V>, name: string): V {
  const value = map.get(name);
  if (value === undefined) throw new Error(`The lab has no "${name}"`);
  return value;
}

/** Namespaces of labs whose process was killed. */
async function removeOrphans(): Promise<void> {
  const present = existsSync("/run/netns") ? readdirSync("/run/netns") : [];
  for (const name of present) {
    const pid = new RegExp(`^${PREFIX}(\\d+)-`).exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`))
      await run(["ip", "netns", "del", name], { allowFailure: true });
  }
}

async function ip(netns: string, ...lines: readonly string[]): Promise<void> {
  await run(["ip", "-netns", netns, "-batch", "-"], { stdin: `${lines.join("\n")}\n` });
}

/** The userspace datapath takes frames as they are: the sender must have filled in the checksums. */
async function offloadOff(netns: string, device: string): Promise<void> {
  await run(inNetns(netns, ["ethtool", "-K", device, "tx", "off"]));
}

async function makeUnderlay(): Promise<void> {
  const [first, second] = NODE_NAMES.map(netnsName);
  if (first === undefined || second === undefined) return;
  for (const netns of [first, second]) await run(["ip", "netns", "add", netns]);
  await ip(first, `link add eth0 type veth peer name eth0 netns ${second}`);
  for (const netns of [first, second]) {
    await ip(netns, "link set lo up", "link set eth0 mtu 1600 up");
    await offloadOff(netns, "eth0");
  }
}

function vtepOf(view: NodeView, name: string): string {
  const node = [...recordsOf(view, "node")].find(({ key }) => key === name);
  const vtepIp = node?.registration.vtepIp;
  if (vtepIp === undefined) throw new Error(`The world has no node ${name} with a tunnel address`);
  return vtepIp;
}

async function startNode(view: NodeView, name: string): Promise<OvsNode> {
  const netns = netnsName(name);
  const node = await startOvsNode({ netns });
  const bridge = (bridgeName: string, failMode: string) => [
    ...["--", "add-br", bridgeName, "--", "set", "Bridge", bridgeName],
    ...["datapath_type=netdev", `fail_mode=${failMode}`],
  ];
  const port = (bridgeName: string, portName: string, ...settings: string[]) => [
    ...["--", "add-port", bridgeName, portName],
    ...(settings.length === 0 ? [] : ["--", "set", "Interface", portName, ...settings]),
  ];
  await node.vsctl(
    ...bridge(UPLINK, "standalone").slice(1),
    ...bridge(INTEGRATION, "secure"),
    ...port(UPLINK, "eth0"),
    ...port(UPLINK, "to-int", "type=patch", "options:peer=to-up"),
    ...port(INTEGRATION, "to-up", "type=patch", "options:peer=to-int", "ofport_request=2"),
    ...port(INTEGRATION, "vxlan0", "type=vxlan", "options:remote_ip=flow", "options:key=flow", "ofport_request=1"),
  );
  await node.ofctl(["set-frags", node.bridgeSocket(INTEGRATION), "nx-match"]);
  const prefixLength = vtepOf(view, name).includes(":") ? 64 : 24;
  const quick = prefixLength === 64 ? "nodad" : "";
  await ip(
    netns,
    `link set ${UPLINK} mtu 1600 up`,
    `address add ${vtepOf(view, name)}/${prefixLength} dev ${UPLINK} ${quick}`,
  );
  return node;
}

async function plugPods(view: NodeView, name: string, node: OvsNode, names: Set<string>): Promise<Machine> {
  const ports: Record<string, number> = {};
  const commands: string[] = [];
  for (const endpoint of endpointsOfNode(view, name)) {
    names.add(endpoint.key);
    const ofport = FIRST_POD_OFPORT + Object.keys(ports).length;
    ports[endpoint.key] = ofport;
    await makePod(view, endpoint, ofport);
    commands.push(
      "--",
      "add-port",
      INTEGRATION,
      `p${ofport}`,
      "--",
      "set",
      "Interface",
      `p${ofport}`,
      `ofport_request=${ofport}`,
    );
  }
  await node.vsctl(...commands.slice(1));
  return machineOf(name, ports, { vtepIp: vtepOf(view, name) });
}

/** A pod as CNI would dress it: MAC, addresses (with duplicate address detection), default routes to the gateways. */
async function makePod(view: NodeView, endpoint: EndpointRecord, ofport: number): Promise<void> {
  const network = networkOf(view, endpoint.networkId);
  if (network === undefined) throw new Error(`Endpoint ${endpoint.key} has no network`);
  const { gateway, ipv6Gateway, encap } = network.config;
  const [host, pod] = [netnsName(endpoint.nodeName), netnsName(endpoint.key)];
  await run(["ip", "netns", "add", pod]);
  const peer = `peer name eth0 address ${endpoint.mac} mtu ${encap === "vxlan" ? 1450 : 1500} netns ${pod}`;
  await ip(host, `link add p${ofport} type veth ${peer}`, `link set p${ofport} up`);
  await offloadOff(pod, "eth0");
  await ip(
    pod,
    "link set lo up",
    "link set eth0 up",
    `address add ${endpoint.ipv4}/24 dev eth0`,
    ...(gateway === "" ? [] : [`route add default via ${gateway}`]),
    ...(endpoint.ipv6 === undefined ? [] : [`address add ${endpoint.ipv6}/64 dev eth0`]),
    ...(endpoint.ipv6 === undefined || ipv6Gateway === "" ? [] : [`route add default via ${ipv6Gateway}`]),
  );
}

async function makeHost(name: string, addresses: readonly string[]): Promise<void> {
  const [host, node] = [netnsName(name), netnsName("n2")];
  await run(["ip", "netns", "add", host]);
  await ip(node, `link add h-${name} type veth peer name eth0 netns ${host}`, `link set h-${name} up`);
  await offloadOff(host, "eth0");
  await ip(
    host,
    "link set lo up",
    "link set eth0 up",
    ...addresses.map((address) => `address add ${address} dev eth0`),
  );
}

async function install(view: NodeView, machine: Machine, node: OvsNode, generation?: number): Promise<void> {
  const { set } = updateFlowSet(newFlowSet(generation), { view, changes: NO_CHANGES, machine });
  if (set.failures.size > 0) throw new Error(`Flows are missing: ${JSON.stringify(set.failures.toArray())}`);
  const text = [...flowsOfSet(set).values()].map(formatFlow).join("\n");
  await node.ofctl(["--bundle", "replace-flows", node.bridgeSocket(INTEGRATION), "-"], text);
}
