import { z } from "zod";
import { NodeName } from "../names.ts";

/** What a node found out about its kernel and switch at start, by probing. */
export const NodeCapabilities = z.object({
  datapathType: z.enum(["system", "netdev"]).describe("system: the kernel's datapath. netdev: the userspace datapath."),
  ovsVersion: z.string().describe("Version of Open vSwitch."),
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

/** What a node says of itself when it registers. */
export const NodeRegistration = z.object({
  name: NodeName.describe("Name of the node."),
  vtepIp: z.union([z.ipv4(), z.ipv6()]).describe("Tunnel endpoint address, IPv4 or IPv6."),
  underlayMtuBytes: z.int().min(576).max(65_535).describe("MTU of the link that carries the tunnels, in bytes."),
  physicalNetworks: z.record(z.string(), z.string()).default({}).describe("NIC by alias of a physical network."),
  routerMac: z.string().describe("MAC that routed frames carry when they leave this node onto a VLAN."),
  bootId: z.string().describe("Boot id of the kernel: tells a reboot from a restart of the agent."),
  version: z.string().describe("Release of netplugin."),
  capabilities: NodeCapabilities.describe("What kernel and switch can do, found out by probing."),
});
export type NodeRegistration = z.infer<typeof NodeRegistration>;

/** What the store keeps of a node. `state` changes only on transitions, not with every heartbeat. */
export const NodeRecord = z.object({
  key: z.string(),
  state: z.enum(["ready", "unreachable"]).describe("unreachable: its heartbeats have stopped."),
  stateSince: z.string().describe("Since when, RFC 3339."),
  registration: NodeRegistration,
  conditions: z.array(NodeCondition).default([]).describe("What is wrong or notable on it."),
});
export type NodeRecord = Readonly<z.infer<typeof NodeRecord>>;
