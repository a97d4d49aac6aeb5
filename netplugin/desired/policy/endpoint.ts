import type { Action } from "../../../drivers/ovs/openflow/action.ts";
import type { Match } from "../../../drivers/ovs/openflow/match.ts";
import type { EndpointRecord } from "../../../state/kinds/endpoint.ts";
import type { NetworkRecord } from "../../../state/kinds/network.ts";
import { networkOf, recordOf } from "../../view/query.ts";
import { ceilingMeters } from "../engine/ceiling.ts";
import { type FlowContext, type FlowDraft, isRouting, type LocalPort, localPorts } from "../engine/context.ts";
import { type Place, placeOf } from "../engine/place.ts";
import { limitsOf } from "../limits/endpoint-limits.ts";
import { EtherType, output, setField } from "../pipeline/actions.ts";
import { newConnectionsMeterId } from "../pipeline/connection-limit.ts";
import { Flag, GATEWAY_MAC, hasFlags, Priority, Register, raiseFlags, Table } from "../pipeline/pipeline.ts";
import { remember } from "./base.ts";
import { directionsNaming, domainOf, hasPolicies, localGroupOf, policyScope } from "./scope.ts";
import { zoneOf } from "./zone.ts";

const IP = [EtherType.ipv4, EtherType.ipv6] as const;

/** What one endpoint needs in the policy tables of this node. */
export interface EndpointPolicy {
  readonly drafts: readonly FlowDraft[];
  /** Why the endpoint is closed. */
  readonly failure: string | undefined;
}

const NO_POLICY: EndpointPolicy = { drafts: [], failure: undefined };

export function endpointPolicy(context: FlowContext, endpoint: EndpointRecord): EndpointPolicy {
  if (!hasPolicies(policyScope(context))) return NO_POLICY;
  const network = networkOf(context.view, endpoint.networkId);
  if (network === undefined) return NO_POLICY;
  const place = placeOf(endpoint, network);
  const isLocal = endpoint.nodeName === context.machine.nodeName;
  const members = memberFlows(context, place, isLocal);
  const group = isLocal ? localGroupOf(policyScope(context), endpoint) : undefined;
  if (group === undefined) return { drafts: [...members, ...connectionLimit(context, endpoint)], failure: undefined };
  if (group.fault !== undefined) {
    const failure = `It is closed, because its policies cannot be enforced: ${group.fault}`;
    return { drafts: [...members, ...closedFlows(context, place)], failure };
  }
  const judged = [...judgedFlows(context, place, group.ruleset), ...connectionLimit(context, endpoint)];
  return { drafts: [...members, ...judged], failure: undefined };
}

/** One pod must not fill the table of connections: what it begins too fast is dropped. What has begun is not slowed down. */
function connectionLimit({ machine }: FlowContext, endpoint: EndpointRecord): FlowDraft[] {
  const inPort = endpoint.nodeName === machine.nodeName ? machine.ports.get(endpoint.key) : undefined;
  if (inPort === undefined || machine.newConnectionsPerSecond === undefined) return [];
  return remember({ inPort, meter: newConnectionsMeterId(inPort) });
}

/** Group of a sender from outside, and of a receiver, by address: only where a rule on this node asks for that group. */
function memberFlows({ view, machine }: FlowContext, place: Place, isLocal: boolean): FlowDraft[] {
  const { groupId, tenantName, groupName } = place.endpoint;
  if (groupId === undefined) return [];
  const named = directionsNaming(view, policyScope({ view, machine }), place.endpoint);
  if (!named.in && !named.out) return [];
  if (recordOf(view, "endpointGroup", `${tenantName}:${groupName}`)?.groupId !== groupId) return [];
  return [
    ...(named.in && !isLocal ? membership({ view, place, side: "Src", groupId }) : []),
    ...(named.out ? membership({ view, place, side: "Dst", groupId }) : []),
  ];
}

interface Membership {
  readonly view: FlowContext["view"];
  readonly place: Place;
  readonly side: "Src" | "Dst";
  readonly groupId: number;
}

/** Link-local addresses are looked up within the network, others within the domain. */
function membership({ view, place, side, groupId }: Membership): FlowDraft[] {
  const domain = domainMatch(view, place.network);
  const own = { [Register.networkId]: place.network.networkId };
  const matches: Match[] = [{ ...domain, ethType: EtherType.ipv4, [`ipv4${side}`]: place.endpoint.ipv4 }];
  for (const address of place.ipv6Addresses) {
    const where = address === place.ipv6 ? domain : own;
    matches.push({ ...where, ethType: EtherType.ipv6, [`ipv6${side}`]: address });
  }
  const isSource = side === "Src";
  return matches.map((match) => ({
    table: isSource ? Table.sourceGroup : Table.destinationGroup,
    priority: isSource ? Priority.sourceGroup.member : Priority.destinationGroup.member,
    match,
    actions: [setField(isSource ? Register.sourceGroupId : Register.destinationGroupId, groupId)],
    goto: isSource ? Table.neighbour : Table.outLog,
  }));
}

/** `domainOf` as a match. */
function domainMatch(view: FlowContext["view"], { networkId, tenantId }: NetworkRecord): Match {
  return domainOf(view, { networkId }).startsWith("tenant")
    ? { [Register.tenantId]: tenantId }
    : { [Register.networkId]: networkId };
}

/** What leaves the endpoint, and what is delivered to it: within its network by MAC address, routed by IP address. */
function outgoing({ endpoint }: Place, { machine }: FlowContext): Match[] {
  const inPort = machine.ports.get(endpoint.key);
  return inPort === undefined ? [] : IP.map((ethType) => ({ inPort, ethType }));
}

function switched({ endpoint, network }: Place): Match {
  return { [Register.networkId]: network.networkId, ethDst: endpoint.mac };
}

function routed(context: FlowContext, { endpoint, network, ipv6 }: Place): Match[] {
  if (!isRouting(context)) return [];
  const toGateway = {
    [Register.tenantId]: network.tenantId,
    [Register.flags]: hasFlags(Flag.fromPod),
    ethDst: GATEWAY_MAC,
  };
  const ipv4 = { ...toGateway, ethType: EtherType.ipv4, ipv4Dst: endpoint.ipv4 };
  return ipv6 === undefined ? [ipv4] : [ipv4, { ...toGateway, ethType: EtherType.ipv6, ipv6Dst: ipv6 }];
}

function incoming(context: FlowContext, place: Place): Match[] {
  return [...IP.map((ethType) => ({ ...switched(place), ethType })), ...routed(context, place)];
}

function closedFlows(context: FlowContext, place: Place): FlowDraft[] {
  const matches = [...outgoing(place, context), ...incoming(context, place)];
  return matches.map((match) => ({ table: Table.conntrack, priority: Priority.conntrack.closed, match }));
}

/** Everything that the endpoint sends and gets is tracked, then judged by its rules. */
function judgedFlows(context: FlowContext, place: Place, ruleset: number): FlowDraft[] {
  const zone = zoneOf(context.view, place.network);
  const goto = Table.track;
  const [table, priority] = [Table.conntrack, Priority.conntrack];
  const receivers = [switched(place), ...routed(context, place)];
  return [
    ...outgoing(place, context).map((match) => ({
      ...{ table, priority: priority.sender, match },
      ...{ actions: [setField(Register.ruleset, ruleset), setField(Register.zone, zone)], goto },
    })),
    ...incoming(context, place).map((match) => ({
      ...{ table, priority: priority.receiver, match },
      ...{ actions: [setField(Register.zone, zone)], goto },
    })),
    ...receivers.map((match) => ({
      ...{ table: Table.receiver, priority: Priority.receiver.endpoint, match },
      actions: [setField(Register.ruleset, ruleset)],
      goto: Table.inLog,
    })),
  ];
}

/**
 * Copies of a flooded packet for the network's pods on this node. A pod with rules gets its copy through them; a closed one gets none.
 */
export function floodToPods(context: FlowContext, networkId: number): Action[] {
  const scope = policyScope(context);
  const plain: Action[] = [];
  const judged: Action[] = [];
  for (const { endpoint, ofport } of localPorts(context, networkId)) {
    const group = localGroupOf(scope, endpoint);
    if (group === undefined) plain.push(...copyTo(context, { endpoint, ofport }));
    else if (group.fault === undefined) judged.push(...deliver(ofport, group.ruleset));
  }
  return judged.length === 0 ? plain : [...plain, raiseFlags(Flag.delivering), ...judged];
}

/** What is under a ceiling passes its meters at the output. */
function copyTo({ view, machine }: FlowContext, { endpoint, ofport }: LocalPort): Action[] {
  const { plan } = limitsOf(view, endpoint, machine.limitMeans);
  if (ceilingMeters(plan, "podIngress").length === 0) return [output(ofport)];
  return [setField(Register.outputPort, ofport), { kind: "resubmit", table: Table.output }];
}

function deliver(ofport: number, ruleset: number): Action[] {
  return [
    setField(Register.outputPort, ofport),
    setField(Register.ruleset, ruleset),
    { kind: "resubmit", table: Table.inLog },
  ];
}
