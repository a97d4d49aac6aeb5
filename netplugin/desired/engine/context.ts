import type { Action } from "../../../drivers/ovs/openflow/action.ts";
import type { Flow } from "../../../drivers/ovs/openflow/flow.ts";
import type { Match } from "../../../drivers/ovs/openflow/match.ts";
import type { TableId } from "../../../drivers/ovs/openflow/values.ts";
import type { EndpointRecord } from "../../../state/kinds/endpoint.ts";
import type { Global } from "../../../state/kinds/global.ts";
import type { NetworkRecord } from "../../../state/kinds/network.ts";
import { DEFAULT_PHYSICAL_NETWORK, type Machine } from "../../machine/machine.ts";
import { type ObjectId, objectId } from "../../view/messages.ts";
import type { NodeView } from "../../view/node-view.ts";
import { endpointsOfNetworkOnNode, networksOfTenant, settingsOf } from "../../view/query.ts";
import { cookieOf, ownerIdOf } from "../pipeline/pipeline.ts";

/** Everything that flows are computed from, and answers that many owners ask for, remembered. Lives for one computation. */
export interface FlowContext {
  readonly view: NodeView;
  readonly machine: Machine;
  readonly generation: number;
  readonly settings: Global;
  readonly liveNetworks: Map<number, boolean>;
  readonly liveTenants: Map<number, boolean>;
  /** Answers of `tunnelTo`, by node; null: no tunnel. */
  readonly tunnels: Map<string, Tunnel | null>;
}

/** The way to another node. */
export interface Tunnel {
  readonly ofport: number;
  readonly vtepIp: string;
}

export function flowContext(view: NodeView, machine: Machine, generation: number): FlowContext {
  const settings = settingsOf(view);
  return { view, machine, generation, settings, liveNetworks: new Map(), liveTenants: new Map(), tunnels: new Map() };
}

/** A flow whose owner is still to be written into its cookie. No `goto` and no actions: drop. */
export interface FlowDraft {
  readonly table: TableId;
  readonly priority: number;
  readonly match: Match;
  readonly actions?: readonly Action[];
  readonly goto?: TableId;
}

/** The flows of one owner; with a failure they are none, or those that keep others safe from the gap. */
export interface OwnedFlows {
  readonly flows: readonly Flow[];
  readonly failure: string | undefined;
}

export const NO_FLOWS: OwnedFlows = { flows: [], failure: undefined };

/** Owner of what depends on no object: the way from table to table. */
export const BASE_OWNER: ObjectId = objectId("base", "");

export function own(context: FlowContext, owner: ObjectId, drafts: readonly FlowDraft[]): readonly Flow[] {
  const cookie = cookieOf({ generation: context.generation, ownerId: ownerIdOf(owner) });
  return drafts.map((draft) => ({ cookie, actions: [], ...draft }));
}

export function isRouting({ settings }: FlowContext): boolean {
  return settings.fwdMode === "routing";
}

export function isProxying({ settings }: FlowContext): boolean {
  return settings.arpMode === "proxy";
}

/**
 * Can flows turn a solicitation into its advertisement? Its flags and the type of its option are fields of the userspace datapath only;
 * on the kernel's Open vSwitch refuses flows that name them (ofproto-dpif.c, check_actions: "nd_ext"), and whoever is asked for answers.
 */
export function answersDiscovery({ machine }: Pick<FlowContext, "machine">): boolean {
  return machine.datapathType !== "system";
}

/** OpenFlow port of a network's uplink on this node; undefined also for VXLAN. */
export function uplinkOfport({ machine }: FlowContext, { config }: NetworkRecord): number | undefined {
  return config.encap === "vlan" ? machine.uplinks.get(physicalNetworkOf(config)) : undefined;
}

function physicalNetworkOf({ physicalNetwork }: NetworkRecord["config"]): string {
  return physicalNetwork === "" ? DEFAULT_PHYSICAL_NETWORK : physicalNetwork;
}

/** Why the network cannot work on this node, or undefined. */
export function networkFault(context: FlowContext, network: NetworkRecord): string | undefined {
  if (network.config.encap === "vxlan") {
    return context.machine.tunnelOfport === undefined ? "The tunnel port does not exist (yet)" : undefined;
  }
  if (uplinkOfport(context, network) !== undefined) return undefined;
  return `Physical network "${physicalNetworkOf(network.config)}" has no uplink on node "${context.machine.nodeName}"`;
}

export interface LocalPort {
  readonly endpoint: EndpointRecord;
  readonly ofport: number;
}

/** The network's endpoints that are plugged in on this node, in the order of their keys. */
export function* localPorts({ view, machine }: FlowContext, networkId: number): Generator<LocalPort> {
  for (const endpoint of endpointsOfNetworkOnNode(view, networkId, machine.nodeName)) {
    const ofport = machine.ports.get(endpoint.key);
    if (ofport !== undefined) yield { endpoint, ofport };
  }
}

/** True when the network works here and an endpoint of it is plugged in: only then do its frames enter the pipeline. */
export function isLive(context: FlowContext, network: NetworkRecord): boolean {
  const known = context.liveNetworks.get(network.networkId);
  if (known !== undefined) return known;
  const live = networkFault(context, network) === undefined && hasLocalPort(context, network.networkId);
  context.liveNetworks.set(network.networkId, live);
  return live;
}

function hasLocalPort({ view, machine }: FlowContext, networkId: number): boolean {
  for (const { key } of endpointsOfNetworkOnNode(view, networkId, machine.nodeName)) {
    if (machine.ports.has(key)) return true;
  }
  return false;
}

/** True when the store homes an endpoint of the network on this node, plugged in or not. */
export function hasLocalEndpoint({ view, machine }: FlowContext, networkId: number): boolean {
  return !endpointsOfNetworkOnNode(view, networkId, machine.nodeName).next().done;
}

/** True when any network of the tenant is live: with routing, all its networks can then be reached from here. */
export function isTenantLive(context: FlowContext, tenantId: number): boolean {
  const known = context.liveTenants.get(tenantId);
  if (known !== undefined) return known;
  let live = false;
  for (const network of networksOfTenant(context.view, tenantId)) live ||= isLive(context, network);
  context.liveTenants.set(tenantId, live);
  return live;
}

/** True when packets for endpoints of the network can begin on this node: within it, or routed from another one of its tenant. */
export function isReachable(context: FlowContext, network: NetworkRecord): boolean {
  if (networkFault(context, network) !== undefined) return false;
  return isLive(context, network) || (isRouting(context) && isTenantLive(context, network.tenantId));
}
