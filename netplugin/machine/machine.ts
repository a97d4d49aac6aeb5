import type { Mac } from "../../state/ids.ts";
import type { NodeName } from "../../state/names.ts";
import type { LimitMeans } from "./limit-means.ts";

/** Physical network of a VLAN network that names none. */
export const DEFAULT_PHYSICAL_NETWORK = "default";

/** An object whose flows the switch does not take: it gets none, and whoever would be less safe without them is closed. */
export interface RefusedObject {
  readonly kind: "network" | "node" | "endpoint" | "rule";
  readonly key: string;
  /** The switch's own words. */
  readonly reason: string;
}

/**
 * What the flows depend on besides the view: this node, and the ports that exist. The runtime builds a new value when the switch
 * reports a change; `updateFlowSet` compares it with the last one, so an unchanged map may (and should) be the same object.
 */
export interface Machine {
  readonly nodeName: NodeName;
  /** Source MAC of frames that this node routes onto a VLAN: physical switches must not see one MAC on many ports. */
  readonly routerMac: Mac;
  /** Tunnel endpoint address of this node, in canonical text. */
  readonly vtepIp: string;
  /** OpenFlow port of the flow-keyed VXLAN tunnel port; undefined until it exists. */
  readonly tunnelOfport: number | undefined;
  /** Physical network alias → OpenFlow port (on the integration bridge) of the patch to its uplink bridge. */
  readonly uplinks: ReadonlyMap<string, number>;
  /** Endpoint key → OpenFlow port, for pods' ports and internal (infra) ports alike. */
  readonly ports: ReadonlyMap<string, number>;
  /** The userspace datapath when absent. */
  readonly datapathType?: "system" | "netdev" | undefined;
  /** What there is to limit bandwidth with; nothing until it has been probed. */
  readonly limitMeans?: LimitMeans | undefined;
  /** How many connections one of its pods may begin per second; absent = any number, or this switch has no meters to limit it. */
  readonly newConnectionsPerSecond?: number | undefined;
  /** How many messages of ARP and neighbour discovery one of its pods may send per second; absent likewise. */
  readonly neighbourMessagesPerSecond?: number | undefined;
  /** By `kind/key`; absent = the switch takes everything. */
  readonly refused?: ReadonlyMap<string, RefusedObject> | undefined;
}
