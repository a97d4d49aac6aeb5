import { z } from "zod";
import { NodeName } from "../names.ts";

/** What a node found out about its kernel and switch at start, by probing. */
export const NodeCapabilities = z.object({
  datapathType: z.enum(["system", "netdev"]),
  ovsVersion: z.string(),
  kernelRelease: z.string(),
  /** Can the kernel police a port's ingress (act_police with matchall or basic)? */
  ingressPolicing: z.boolean(),
  /** Can it shape with tbf, and redirect to ifb with u32 and mirred? */
  tbf: z.boolean(),
  ifbRedirect: z.boolean(),
  /** Does the datapath offer OpenFlow meters and connection tracking? */
  meters: z.boolean(),
  conntrack: z.boolean(),
});
export type NodeCapabilities = z.infer<typeof NodeCapabilities>;

/** One thing that is wrong or notable on a node, readable by an admin: cause and next step. */
export const NodeCondition = z.object({
  type: z.string(),
  status: z.enum(["ok", "degraded", "failed"]),
  message: z.string(),
});
export type NodeCondition = z.infer<typeof NodeCondition>;

/** What a node says of itself when it registers. */
export const NodeRegistration = z.object({
  name: NodeName,
  /** Tunnel endpoint address, IPv4 or IPv6. */
  vtepIp: z.union([z.ipv4(), z.ipv6()]),
  /** MTU of the link that carries the tunnels, in bytes. */
  underlayMtuBytes: z.int().min(576).max(65_535),
  /** Physical network alias → NIC. */
  physicalNetworks: z.record(z.string(), z.string()).default({}),
  /** MAC that routed frames carry when they leave this node onto a VLAN. */
  routerMac: z.string(),
  /** Kernel boot id: tells a reboot from a restart of the agent. */
  bootId: z.string(),
  version: z.string(),
  capabilities: NodeCapabilities,
});
export type NodeRegistration = z.infer<typeof NodeRegistration>;

/** What the store keeps of a node. `state` changes only on transitions, not with every heartbeat. */
export const NodeRecord = z.object({
  key: z.string(),
  state: z.enum(["ready", "unreachable"]),
  stateSince: z.string(),
  registration: NodeRegistration,
  conditions: z.array(NodeCondition).default([]),
});
export type NodeRecord = Readonly<z.infer<typeof NodeRecord>>;
