import { controlNetns, nodeNetns, podNetns } from "../../../deploy/cluster/underlay.ts";
import { policyAdmin, type RuleSpec } from "../policy-admin.ts";
import { startTestCluster, type TestCluster } from "../test-cluster.ts";
import { type Hub, type Station, startHub } from "./hub.ts";

export type Mode = "bridge" | "routing";
export type Net = "vx" | "vl";

/** A pod of the stage. All its addresses are known beforehand: they are handed out in the order of the list. */
export interface Actor {
  readonly name: string;
  readonly node: 1 | 2;
  readonly tenant: "blue" | "red";
  readonly net: Net;
  readonly group?: string;
  readonly mac: string;
  readonly ipv4: string;
  readonly ipv6: string;
  readonly linkLocal: string;
}

export const GATEWAY_MAC = "00:00:11:11:11:11";
export const BROADCAST = "ff:ff:ff:ff:ff:ff";
export const ALL_NODES = "33:33:00:00:00:01";
export const WIRE = "wire";
export const VNI = { blue: 1_001, red: 1_002 } as const;
export const VLAN = { blue: 300, red: 301 } as const;
const SUBNET = "192.168.213";
export const NODE_ADDRESSES = { 1: `${SUBNET}.11`, 2: `${SUBNET}.12` } as const;
export const CONTROL_ADDRESS = `${SUBNET}.1`;
const THIRD_OCTET = { vx: 1, vl: 2 } as const;
export const GATEWAYS = { vx: "10.1.0.254", vl: "10.2.0.254" } as const;
const LAST_OCTET_FORMAT = 16;

/**
 * Tenants with the same addresses on both nodes, over VXLAN (`vx`) and VLAN (`vl`). Groups: `srv` denies TCP and UDP but port 80, `q` denies
 * port 81, `all` denies everything but UDP to port 80, `old` has no policies yet. Who is in none has none.
 */
const CAST: readonly (readonly [name: string, node: 1 | 2, tenant: Actor["tenant"], net: Net, group?: string])[] = [
  ["atk1", 1, "blue", "vx"],
  ["atk2", 2, "blue", "vx"],
  ["srv1", 1, "blue", "vx", "srv"],
  ["srv2", 2, "blue", "vx", "srv"],
  ["q1", 1, "blue", "vx", "q"],
  ["q2", 2, "blue", "vx", "q"],
  ["all1", 1, "blue", "vx", "all"],
  ["all2", 2, "blue", "vx", "all"],
  ["old1", 1, "blue", "vx", "old"],
  ["red1", 1, "red", "vx"],
  ["red2", 2, "red", "vx"],
  ["red3", 1, "red", "vx"],
  ["red4", 2, "red", "vx"],
  ["vatk", 1, "blue", "vl"],
  ["vfar", 2, "blue", "vl"],
  ["vnear", 1, "blue", "vl"],
  ["vq2", 2, "blue", "vl", "vq"],
  ["vq1", 1, "blue", "vl", "vq"],
  ["vred1", 1, "red", "vl"],
  ["vred2", 2, "red", "vl"],
  ["vred3", 1, "red", "vl"],
];

export const ACTORS: readonly Actor[] = CAST.map(([name, node, tenant, net, group], index) => {
  const host = CAST.slice(0, index + 1).filter((each) => each[2] === tenant && each[3] === net).length;
  const third = THIRD_OCTET[net];
  const last = host.toString(LAST_OCTET_FORMAT).padStart(2, "0");
  return {
    ...{ name, node, tenant, net, ...(group === undefined ? {} : { group }) },
    ...{ ipv4: `10.${third}.0.${host}`, ipv6: `fd00:${third}::${host.toString(LAST_OCTET_FORMAT)}` },
    ...{
      mac: `02:02:0a:0${third}:00:${last}`,
      linkLocal: `fe80::2:aff:fe0${third}:${host.toString(LAST_OCTET_FORMAT)}`,
    },
  };
});

export function actor(name: string): Actor {
  const found = ACTORS.find((each) => each.name === name);
  if (found === undefined) throw new Error(`There is no pod ${name} on the stage`);
  return found;
}

/** The others of its network. */
export function company(name: string): readonly string[] {
  const { tenant, net } = actor(name);
  return ACTORS.filter((each) => each.tenant === tenant && each.net === net && each.name !== name).map(
    (each) => each.name,
  );
}

const deny = (policyName: string, fields: Partial<RuleSpec> = {}): RuleSpec => {
  return { policyName, direction: "in", action: "deny", ...fields };
};

const RULES: readonly RuleSpec[] = [
  deny("srv", { protocol: "tcp" }),
  deny("srv", { protocol: "udp" }),
  ...(["tcp", "udp"] as const).map((protocol) => {
    return { ...deny("srv", { protocol, port: 80, priority: 10 }), action: "allow" as const };
  }),
  ...(["tcp", "udp"] as const).map((protocol) => deny("q", { protocol, port: 81 })),
  deny("all"),
  { ...deny("all", { protocol: "udp", port: 80, priority: 10 }), action: "allow" as const },
  ...(["tcp", "udp"] as const).map((protocol) => deny("vq", { protocol, port: 81 })),
  deny("late", { protocol: "tcp" }),
];
const GROUPS: Readonly<Record<string, Net>> = { srv: "vx", q: "vx", all: "vx", vq: "vl", old: "vx" };

/** A cluster with all pods attached, everything enforced, and the hub at every pod, at each node's kernel, and on the underlay. */
export interface Stage extends AsyncDisposable {
  readonly world: TestCluster;
  readonly hub: Hub;
  /** MAC of the near end of a pod's port, which lies in its node's namespace. */
  readonly nearEnds: ReadonlyMap<string, string>;
}

export async function setStage(mode: Mode): Promise<Stage> {
  const world = await startTestCluster({ nodes: 2 });
  try {
    await declare(world, mode);
    const nearEnds = new Map<string, string>();
    for (const each of ACTORS) nearEnds.set(each.name, await attach(world, each));
    for (const node of [1, 2]) {
      await world.onNode(node, ["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"]);
    }
    const hub = await startHub(stations(world));
    const dispose = async () => {
      await hub[Symbol.asyncDispose]();
      await world[Symbol.asyncDispose]();
    };
    return { world, hub, nearEnds, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await world[Symbol.asyncDispose]();
    throw error;
  }
}

async function declare({ rest }: TestCluster, mode: Mode): Promise<void> {
  await rest.post("/api/v1/globals/global/", { name: "global", fwdMode: mode });
  for (const tenantName of ["blue", "red"] as const) {
    await rest.post(`/api/v1/tenants/${tenantName}/`, { tenantName });
    for (const networkName of ["vx", "vl"] as const) {
      const third = THIRD_OCTET[networkName];
      const [encap, pktTag] = networkName === "vx" ? ["vxlan", VNI[tenantName]] : ["vlan", VLAN[tenantName]];
      const addresses = { subnet: `10.${third}.0.0/24`, ipv6Subnet: `fd00:${third}::/64` };
      const gateways = { gateway: GATEWAYS[networkName], ipv6Gateway: `fd00:${third}::ff` };
      const network = { tenantName, networkName, encap, pktTag, ...addresses, ...gateways };
      await rest.post(`/api/v1/networks/${tenantName}:${networkName}/`, network);
    }
  }
  const admin = policyAdmin(rest, "blue", GROUPS);
  for (const { policyName } of RULES.filter(isFirstOfPolicy)) await admin.policy(policyName);
  for (const rule of RULES) await admin.add(rule);
  for (const group of Object.keys(GROUPS)) await admin.attach(group, group === "old" ? [] : [group]);
}

function isFirstOfPolicy({ policyName }: RuleSpec, index: number): boolean {
  return RULES.findIndex((each) => each.policyName === policyName) === index;
}

/** The group `old`, which has had no policies so far, gets one that denies TCP. */
export async function denyTcpToOld({ world }: Stage): Promise<void> {
  const admin = policyAdmin(world.rest, "blue", GROUPS);
  await admin.attach("old", ["late"]);
  await admin.untilEnforced();
}

/** Returns the MAC of its port's near end. */
async function attach(world: TestCluster, { name, node, tenant, net, group, ...is }: Actor): Promise<string> {
  const placement = { tenant, network: net, ...(group === undefined ? {} : { group }) };
  const { interfaces, ips } = await world.addPod(name, node, placement);
  const given = [interfaces[1]?.mac, ...ips.map(({ address }) => address.split("/")[0])].join(" ");
  const expected = [is.mac, is.ipv4, is.ipv6].join(" ");
  if (given !== expected) throw new Error(`${name} has ${given} instead of ${expected}`);
  const { stdout } = await world.onNode(node, ["ip", "-json", "link", "show", interfaces[0]?.name ?? ""]);
  return (JSON.parse(stdout) as { address: string }[])[0]?.address ?? "";
}

function stations({ cluster }: TestCluster): readonly Station[] {
  const { underlay } = cluster.layout;
  const pods = ACTORS.map(({ name }): Station => {
    return { kind: "pod", name, netns: podNetns(underlay, name), device: "eth0" };
  });
  const nodes = ([1, 2] as const).map((node): Station => {
    return { kind: "node", name: `n${node}`, netns: nodeNetns(underlay, node), device: "eth0" };
  });
  return [...pods, ...nodes, { kind: "wire", name: WIRE, netns: controlNetns(underlay), device: "underlay" }];
}

/** What the kernels of the nodes have forwarded so far, by family, and whom they know on links that are not their NIC. */
export async function kernelTraces({ world }: Stage): Promise<readonly string[]> {
  const traces: string[] = [];
  for (const node of [1, 2]) {
    const { stdout: snmp } = await world.onNode(node, ["nstat", "-asz", "IpForwDatagrams", "Ip6OutForwDatagrams"]);
    traces.push(...(snmp.match(/^\S*Forw\S+\s+\d+/gm) ?? []).map((line) => `n${node} ${line.replace(/\s+/, " ")}`));
    const { stdout: neighbours } = await world.onNode(node, ["ip", "neighbour", "show"]);
    const strange = neighbours.split("\n").filter((line) => / dev cv/.test(line));
    traces.push(...strange.map((line) => `n${node} knows ${line}`));
  }
  return traces;
}
