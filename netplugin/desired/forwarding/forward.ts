import type { Match } from "../../../drivers/ovs/openflow/match.ts";
import type { FlowDraft, Tunnel } from "../engine/context.ts";
import type { LocalPlace, Place } from "../engine/place.ts";
import { EtherType, setField, setTunnelDestination } from "../pipeline/actions.ts";
import { Flag, GATEWAY_MAC, hasFlags, Priority, Register, raiseFlags, Table } from "../pipeline/pipeline.ts";

/** Distributed gateway: packets of the tenant's pods for this endpoint. A network without gateway has no part in routing. */
export function routeFlows(place: Place): FlowDraft[] {
  const { endpoint, network, ipv6 } = place;
  const flows: FlowDraft[] = [];
  if (network.config.gateway !== "") {
    flows.push(routeFlow(place, { ethType: EtherType.ipv4, ipv4Dst: endpoint.ipv4 }));
  }
  if (network.config.ipv6Gateway !== "" && ipv6 !== undefined) {
    flows.push(routeFlow(place, { ethType: EtherType.ipv6, ipv6Dst: ipv6 }));
  }
  return flows;
}

function routeFlow({ endpoint, network }: Place, destination: Match): FlowDraft {
  const { tenantId, networkId } = network;
  return {
    table: Table.route,
    priority: Priority.route.endpoint,
    match: {
      [Register.tenantId]: tenantId,
      [Register.flags]: hasFlags(Flag.fromPod),
      ethDst: GATEWAY_MAC,
      ...destination,
    },
    actions: [
      { kind: "decTtl" },
      setField("ethSrc", GATEWAY_MAC),
      setField("ethDst", endpoint.mac),
      setField(Register.networkId, networkId),
      raiseFlags(Flag.routed),
    ],
    goto: Table.switch,
  };
}

/** Frames for an endpoint of this node. */
export function localSwitchFlow({ ofport, ...place }: LocalPlace): FlowDraft {
  return { ...towards(place), actions: [setField(Register.outputPort, ofport)], goto: Table.output };
}

/**
 * Frames for an endpoint behind a tunnel; dropped while its node's tunnel address is unknown. What came by tunnel does not leave by
 * tunnel: Open vSwitch sends nothing out of the port it came in.
 */
export function tunnelSwitchFlow(place: Place, tunnel: Tunnel | undefined): FlowDraft {
  if (tunnel === undefined) return towards(place);
  const actions = [
    setField("tunId", place.network.tag),
    setTunnelDestination(tunnel.vtepIp),
    setField(Register.outputPort, tunnel.ofport),
  ];
  return { ...towards(place), actions, goto: Table.output };
}

function towards({ endpoint, network }: Omit<Place, "ofport">): FlowDraft {
  return {
    table: Table.switch,
    priority: Priority.switch.endpoint,
    match: { [Register.networkId]: network.networkId, ethDst: endpoint.mac },
  };
}
