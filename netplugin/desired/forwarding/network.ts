import type { Action } from "../../../drivers/ovs/openflow/action.ts";
import type { NetworkRecord } from "../../../state/kinds/network.ts";
import { objectId } from "../../view/messages.ts";
import { nodesOfNetwork } from "../../view/query.ts";
import {
  type FlowContext,
  type FlowDraft,
  hasLocalEndpoint,
  isLive,
  isReachable,
  isRouting,
  isTenantLive,
  NO_FLOWS,
  networkFault,
  type OwnedFlows,
  own,
  uplinkOfport,
} from "../engine/context.ts";
import { GROUP_MAC, isIpv6, output, setField, setTunnelDestination, tagVlan } from "../pipeline/actions.ts";
import { Flag, hasFlags, Priority, Register, Table } from "../pipeline/pipeline.ts";
import { floodToPods } from "../policy/endpoint.ts";
import { tunnelTo } from "./endpoint.ts";
import { gatewayFlows } from "./gateway.ts";

/**
 * Most nodes that a frame is flooded to. Open vSwitch turns one packet into at most 64 kB of datapath actions; a tunnel header takes 84
 * bytes of them over IPv4 and about 104 over IPv6 (measured with 3.1, userspace datapath: 780 IPv4 tunnels).
 */
export const FLOOD_NODES_MAX = 500;

/** How frames of a network come in from outside, and where those go that are for nobody in particular. */
export function networkFlows(context: FlowContext, network: NetworkRecord): OwnedFlows {
  if (!isWanted(context, network)) return NO_FLOWS;
  const failure = networkFault(context, network);
  if (failure !== undefined) return { flows: [], failure };
  return network.config.encap === "vlan" ? vlanFlows(context, network) : vxlanFlows(context, network);
}

/** Is anything here that would use the network if it worked? */
function isWanted(context: FlowContext, network: NetworkRecord): boolean {
  return (
    hasLocalEndpoint(context, network.networkId) || (isRouting(context) && isTenantLive(context, network.tenantId))
  );
}

interface Incoming {
  readonly table: number;
  readonly priority: number;
  readonly match: FlowDraft["match"];
  readonly actions: readonly Action[];
}

function incoming(network: NetworkRecord, flag: number, { actions, ...draft }: Incoming): FlowDraft {
  return {
    ...draft,
    actions: [
      ...actions,
      setField(Register.networkId, network.networkId),
      setField(Register.tenantId, network.tenantId),
      setField(Register.flags, flag),
    ],
    goto: Table.antiSpoofing,
  };
}

function switching(
  network: NetworkRecord,
  flags: number,
  match: FlowDraft["match"] = {},
): Pick<FlowDraft, "table" | "match"> {
  return {
    table: Table.switch,
    match: { [Register.networkId]: network.networkId, [Register.flags]: hasFlags(flags), ...match },
  };
}

function vlanFlows(context: FlowContext, network: NetworkRecord): OwnedFlows {
  const uplink = uplinkOfport(context, network);
  if (uplink === undefined || !isReachable(context, network)) return NO_FLOWS;
  const drafts = [routedToUplink(context, network, uplink)];
  if (isLive(context, network))
    drafts.push(...vlanSegment(context, network, uplink), ...gatewayFlows(context, network));
  return { flows: own(context, objectId("network", network.key), drafts), failure: undefined };
}

function routedToUplink({ machine }: FlowContext, network: NetworkRecord, uplink: number): FlowDraft {
  return {
    ...switching(network, Flag.fromPod | Flag.routed),
    priority: Priority.switch.routedUnknown,
    actions: [setField("ethSrc", machine.routerMac), ...tagVlan(network.tag), setField(Register.outputPort, uplink)],
    goto: Table.output,
  };
}

/** Unknown unicast goes from pods to the uplink only; from the uplink it is dropped: the physical switch floods what it does not know. */
function vlanSegment(context: FlowContext, network: NetworkRecord, uplink: number): FlowDraft[] {
  const locals = floodToPods(context, network.networkId);
  const { group, unknown } = Priority.switch;
  const toUplink = tagVlan(network.tag);
  return [
    incoming(network, Flag.fromUplink, {
      table: Table.classify,
      priority: Priority.classify.vlan,
      match: { inPort: uplink, vlanVid: network.tag },
      actions: [setField(Register.uplinkVlan, network.tag), { kind: "popVlan" }],
    }),
    {
      ...switching(network, Flag.fromPod, { ethDst: GROUP_MAC }),
      priority: group,
      actions: [...locals, ...toUplink, output(uplink)],
    },
    { ...switching(network, Flag.fromUplink, { ethDst: GROUP_MAC }), priority: group, actions: locals },
    {
      ...switching(network, Flag.fromPod),
      priority: unknown,
      actions: [...toUplink, setField(Register.outputPort, uplink)],
      goto: Table.output,
    },
  ];
}

function vxlanFlows(context: FlowContext, network: NetworkRecord): OwnedFlows {
  if (!isLive(context, network)) return NO_FLOWS;
  const locals = floodToPods(context, network.networkId);
  const { actions: tunnels, failure } = floodTunnels(context, network);
  const priority = Priority.switch.unknown;
  const drafts: FlowDraft[] = [
    incoming(network, Flag.fromTunnel, {
      table: Table.tunnel,
      priority: Priority.classify.vni,
      match: { tunId: BigInt(network.tag) },
      actions: [],
    }),
    { ...switching(network, Flag.fromPod), priority, actions: [...locals, ...tunnels] },
    { ...switching(network, Flag.fromTunnel), priority, actions: locals },
    ...gatewayFlows(context, network),
  ];
  const flows = own(context, objectId("network", network.key), drafts);
  return { flows, failure };
}

/** To every other node that has endpoints of the network and whose tunnel address is known. */
function floodTunnels(
  context: FlowContext,
  network: NetworkRecord,
): { actions: Action[]; failure: string | undefined } {
  const { machine, view } = context;
  const others = [...nodesOfNetwork(view, network.networkId)].filter((nodeName) => nodeName !== machine.nodeName);
  const tunnels = others.map((nodeName) => tunnelTo(context, nodeName)).filter((tunnel) => tunnel !== undefined);
  const vtepIps = tunnels.map(({ vtepIp }) => vtepIp).slice(0, FLOOD_NODES_MAX);
  const copies = (addresses: readonly string[]): Action[] =>
    addresses.flatMap((vtepIp) => [setTunnelDestination(vtepIp), output(machine.tunnelOfport ?? 0)]);
  const [ipv4, ipv6] = [vtepIps.filter((vtepIp) => !isIpv6(vtepIp)), vtepIps.filter(isIpv6)];
  const between = ipv4.length > 0 && ipv6.length > 0 ? [setField("tunDst", "0.0.0.0")] : [];
  const actions =
    vtepIps.length === 0 ? [] : [setField("tunId", network.tag), ...copies(ipv4), ...between, ...copies(ipv6)];
  const isCut = tunnels.length > FLOOD_NODES_MAX;
  return {
    actions,
    failure: isCut
      ? `Broadcast and unknown unicast reach only ${FLOOD_NODES_MAX} of the ${tunnels.length} nodes that hold its endpoints`
      : undefined,
  };
}
