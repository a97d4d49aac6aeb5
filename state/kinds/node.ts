import { z } from "zod";
import type { DriverName } from "../driver-name.ts";
import { NodeName } from "../names.ts";
import { READY_STATES, Readiness } from "../readiness.ts";

/** What a node found out about its kernel and switch at start, by probing. */
export const NodeCapabilities = z.object({
  datapathType: z
    .enum(["system", "netdev"])
    .optional()
    .describe("system: the kernel's datapath. netdev: the userspace datapath. Absent: Open vSwitch was never seen."),
  ovsVersion: z.string().optional().describe("Version of Open vSwitch; absent: it was never seen."),
  kernelRelease: z.string().describe("Release of the kernel."),
  ingressPolicing: z.boolean().describe("The kernel can police what a port sends (act_police with matchall or basic)."),
  tbf: z.boolean().describe("The kernel can shape with tbf."),
  ifbRedirect: z.boolean().describe("The kernel can redirect to ifb with u32 and mirred."),
  meters: z.boolean().describe("The datapath offers OpenFlow meters."),
  conntrack: z.boolean().describe("The datapath offers connection tracking."),
});
export type NodeCapabilities = z.infer<typeof NodeCapabilities>;

/** One thing that is wrong or notable on a node, readable by an admin: cause and next step. */
export const NodeCondition = z.object({
  type: z.string().describe("What it is about."),
  status: z.enum(["ok", "degraded", "failed"]).describe("How bad it is."),
  message: z.string().describe("Cause and next step."),
});
export type NodeCondition = z.infer<typeof NodeCondition>;

/** What one driver of a node can do there, and what keeps it from doing anything now. */
export const DriverReport = z.object({
  encaps: z.array(z.string()).describe("Encapsulations that its networks may have: vxlan, vlan, none."),
  enforcesPolicies: z.boolean().describe("Policies, ceilings and limits of connections are enforced on its networks."),
  setsMac: z.boolean().describe("Pods get the MAC address of their endpoint."),
  freeSlots: z
    .int()
    .nonnegative()
    .optional()
    .describe("Pods that it has room for; absent: it has no bound of its own."),
  fault: z.string().optional().describe("Why no pod can be attached by it now, with the next step; absent: nothing."),
});
export type DriverReport = z.infer<typeof DriverReport>;

/** By name. One that this release does not know is left out, so that agents of later releases can register. */
const DriverReports = z.object({
  ovs: DriverReport.optional().describe("Open vSwitch."),
  "vhost-user": DriverReport.optional().describe(
    "Sockets of a switch in user space, for pods that drive their NIC themselves.",
  ),
  sriov: DriverReport.optional().describe("Virtual functions of NICs."),
  macvlan: DriverReport.optional().describe("Links with a MAC address of their own on a NIC."),
  ipvlan: DriverReport.optional().describe("Links that share a NIC's MAC address."),
  ptp: DriverReport.optional().describe("Point-to-point links that the node routes between."),
} satisfies Record<DriverName, z.ZodOptional<typeof DriverReport>>);
export type DriverReports = z.infer<typeof DriverReports>;

/** What a node says of itself when it registers. */
export const NodeRegistration = z.object({
  name: NodeName.describe("Name of the node."),
  vtepIp: z
    .union([z.ipv4(), z.ipv6()])
    .optional()
    .describe("Tunnel endpoint address, IPv4 or IPv6; absent: it has never had one, and no tunnel leads to it."),
  underlayMtuBytes: z.int().min(576).max(65_535).describe("MTU of the link that carries the tunnels, in bytes."),
  physicalNetworks: z.record(z.string(), z.string()).default({}).describe("NIC by alias of a physical network."),
  routerMac: z.string().describe("MAC that routed frames carry when they leave this node onto a VLAN."),
  bootId: z.string().describe("Boot id of the kernel: tells a reboot from a restart of the agent."),
  version: z.string().describe("Release of netplugin."),
  capabilities: NodeCapabilities.describe("What kernel and switch can do, found out by probing."),
  drivers: DriverReports.optional().describe(
    "What pods can be attached by there; absent: its agent is of a release that knows ovs only.",
  ),
});
export type NodeRegistration = z.infer<typeof NodeRegistration>;

/**
 * What the store keeps of a node. `state` says whether it is heard of and changes only on transitions, not with every heartbeat;
 * what REST shows as its state is `shownState`.
 */
export const NodeRecord = z.object({
  key: z.string(),
  state: z
    .enum(["ready", "unreachable"])
    .describe("ready: it sends heartbeats. unreachable: its heartbeats have stopped."),
  stateSince: z.string().describe("Since when, RFC 3339."),
  registration: NodeRegistration,
  conditions: z.array(NodeCondition).default([]).describe("What is wrong or notable on it."),
  readiness: Readiness.optional().describe(
    "What it said of itself last; absent: its agent is of a release that does not say so.",
  ),
});
export type NodeRecord = Readonly<z.infer<typeof NodeRecord>>;

/** The condition that tells why a node counts as unreachable; it goes when the node is heard of. */
export const HEARTBEAT_CONDITION = "heartbeat";

export const NODE_STATES = [...READY_STATES, "unreachable"] as const;

/** A node's state as everybody is shown it: unreachable, or what it says of itself. */
export interface ShownState {
  readonly state: (typeof NODE_STATES)[number];
  readonly reasons: readonly string[];
  /** RFC 3339. */
  readonly since: string;
}

export function shownState({
  state,
  stateSince,
  readiness,
  conditions,
}: Omit<NodeRecord, "key" | "registration">): ShownState {
  if (state === "ready") {
    const { reasons, since, ...told } = readiness ?? { state, reasons: [], since: stateSince };
    return { ...told, reasons, since: since > stateSince ? since : stateSince };
  }
  const silence = conditions.filter(({ type }) => type === HEARTBEAT_CONDITION);
  return { state, reasons: silence.map(({ message }) => message), since: stateSince };
}
