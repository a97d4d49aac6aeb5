import type { EndpointRecord } from "../../../state/kinds/endpoint.ts";
import type { NetworkRecord } from "../../../state/kinds/network.ts";
import { objectId } from "../../view/messages.ts";
import { networkOf, nodeOf } from "../../view/query.ts";
import { deliveryFlows } from "../engine/ceiling.ts";
import {
  type FlowContext,
  type FlowDraft,
  isLive,
  isProxying,
  isReachable,
  isRouting,
  isTenantLive,
  NO_FLOWS,
  networkFault,
  type OwnedFlows,
  own,
  type Tunnel,
} from "../engine/context.ts";
import { neighbourLimitFlows } from "../engine/neighbour-limit.ts";
import { type Place, placeOf } from "../engine/place.ts";
import { limitsOf } from "../limits/endpoint-limits.ts";
import { canonicalIpv6 } from "../pipeline/actions.ts";
import { localSwitchFlow, routeFlows, tunnelSwitchFlow } from "./forward.ts";
import { endpointAnswers, knownSourceFlows, ownAddressFlow } from "./neighbour.ts";
import { podFlows } from "./pod.ts";

/** Everything that one endpoint needs in the tables of this node: its own port here, or the way to it. */
export function endpointFlows(context: FlowContext, endpoint: EndpointRecord): OwnedFlows {
  const network = networkOf(context.view, endpoint.networkId);
  return endpoint.nodeName === context.machine.nodeName
    ? localFlows(context, endpoint, network)
    : remoteFlows(context, endpoint, network);
}

/** Why an endpoint has no flows between its lease and its port: a moment of every ADD. */
export const NO_PORT = "It has no port on this node (yet)";

function localFlows(context: FlowContext, endpoint: EndpointRecord, network: NetworkRecord | undefined): OwnedFlows {
  if (network === undefined) {
    return fails(
      `Network "${endpoint.tenantName}:${endpoint.networkName}" (number ${endpoint.networkId}) is not known here`,
    );
  }
  const fault = networkFault(context, network);
  if (fault !== undefined) return fails(`Network "${network.key}" does not work on this node: ${fault}`);
  const ofport = context.machine.ports.get(endpoint.key);
  if (ofport === undefined) return fails(NO_PORT);
  const limits = limitsOf(context.view, endpoint, context.machine.limitMeans).plan;
  const place = { ...placeOf(endpoint, network), ofport, limits };
  const drafts = [
    ...podFlows(place),
    ...neighbourLimitFlows(context, place),
    ...routes(context, place),
    localSwitchFlow(place),
    ...deliveryFlows(place),
  ];
  if (isProxying(context)) drafts.push(ownAddressFlow(place), ...endpointAnswers(context, place, true));
  return { flows: own(context, objectId("endpoint", endpoint.key), drafts), failure: undefined };
}

function fails(failure: string): OwnedFlows {
  return { flows: [], failure };
}

function routes(context: FlowContext, place: Place): FlowDraft[] {
  return isRouting(context) && isTenantLive(context, place.network.tenantId) ? routeFlows(place) : [];
}

/** Of networks that no packet of this node can reach, nothing is written. */
function remoteFlows(context: FlowContext, endpoint: EndpointRecord, network: NetworkRecord | undefined): OwnedFlows {
  if (network === undefined || !isReachable(context, network)) return NO_FLOWS;
  const place = placeOf(endpoint, network);
  const isVxlan = network.config.encap === "vxlan";
  const tunnel = isVxlan ? tunnelTo(context, endpoint.nodeName) : undefined;
  const isCutOff = isVxlan && tunnel === undefined;
  const drafts = [
    ...(isCutOff ? [] : routes(context, place)),
    ...(isVxlan ? [tunnelSwitchFlow(place, tunnel)] : []),
    ...(isProxying(context) && isLive(context, network) ? remoteNeighbour(context, place) : []),
  ];
  const failure = isCutOff
    ? `No tunnel leads to node "${endpoint.nodeName}": its tunnel address is not known here`
    : undefined;
  return { flows: own(context, objectId("endpoint", endpoint.key), drafts), failure };
}

function remoteNeighbour(context: FlowContext, place: Place): FlowDraft[] {
  const { endpoint, network, ipv6Addresses } = place;
  const answers = endpointAnswers(context, place, false);
  if (network.config.encap === "vxlan") return answers;
  return [...answers, ...knownSourceFlows(network.networkId, [endpoint.ipv4], ipv6Addresses)];
}

/** The tunnel to another node, or undefined while its address is unknown (or is ours, by mistake). */
export function tunnelTo(context: FlowContext, nodeName: string): Tunnel | undefined {
  const known = context.tunnels.get(nodeName);
  if (known !== undefined) return known ?? undefined;
  const tunnel = findTunnel(context, nodeName);
  context.tunnels.set(nodeName, tunnel ?? null);
  return tunnel;
}

function findTunnel({ view, machine }: FlowContext, nodeName: string): Tunnel | undefined {
  const vtepIp = nodeOf(view, nodeName)?.registration.vtepIp;
  if (vtepIp === undefined || vtepIp === machine.vtepIp || machine.tunnelOfport === undefined) return undefined;
  return { ofport: machine.tunnelOfport, vtepIp: canonicalIpv6(vtepIp) };
}
