import type { TrackedConnection } from "../../drivers/ovs/conntrack.ts";
import type { CtFilter } from "../../drivers/ovs/openflow/ct-flush.ts";
import { addressOf, contains } from "../../state/address.ts";
import type { EndpointRecord } from "../../state/kinds/endpoint.ts";
import type { NetworkRecord } from "../../state/kinds/network.ts";
import { networkRanges } from "../../state/network-ranges.ts";
import { IpProtocol } from "../../state/policy/protocol.ts";
import { verdict } from "../../state/policy/verdict.ts";
import type { PolicyPacket } from "../../state/policy/world.ts";
import type { NodeView } from "../view/node-view.ts";
import { policyWorldOf } from "../view/policy-world.ts";
import { networkOf, recordsOf } from "../view/query.ts";
import { canonicalIpv6 } from "./actions.ts";
import type { FlowContext } from "./context.ts";
import { policyScope } from "./policy-scope.ts";
import { zoneOf } from "./policy-zone.ts";

/**
 * Tracked connections that this node's rules deny by now: to be forgotten, so that their replies end even when their sender is silent.
 * TCP is left out: its sender acknowledges what it gets, and the first such packet marks the connection blocked (policy-base.ts),
 * which ends it better, for a forgotten TCP connection could be taken for an older one.
 */
export function deniedConnections(
  { view, machine }: Pick<FlowContext, "view" | "machine">,
  connections: Iterable<TrackedConnection>,
): CtFilter[] {
  const networks = networksByZone(view);
  const denied: CtFilter[] = [];
  for (const connection of connections) {
    const { zone, ipProto, orig } = connection;
    if (ipProto === IpProtocol.tcp) continue;
    const packet = packetOf(networks.get(zone) ?? [], connection);
    if (packet !== undefined && isDenied(view, machine.nodeName, packet)) denied.push({ zone, ipProto, orig });
  }
  return denied;
}

/** Networks that have policies on this node may share a zone: those of a tenant, in routing mode. */
function networksByZone(view: NodeView): ReadonlyMap<number, readonly NetworkRecord[]> {
  const networks = new Map<number, NetworkRecord[]>();
  for (const network of recordsOf(view, "network")) {
    const zone = zoneOf(view, network);
    networks.set(zone, [...(networks.get(zone) ?? []), network]);
  }
  return networks;
}

function packetOf(networks: readonly NetworkRecord[], { ipProto, orig }: TrackedConnection): PolicyPacket | undefined {
  const family = orig.src.includes(":") ? 6 : 4;
  const [source, destination] =
    family === 6 ? [canonicalIpv6(orig.src), canonicalIpv6(orig.dst)] : [orig.src, orig.dst];
  const network =
    networks.find((each) => holds(each, family, source) || holds(each, family, destination)) ?? networks[0];
  if (network === undefined) return undefined;
  return {
    ...{ networkKey: network.key, family, source, destination, protocol: ipProto },
    ...(orig.dstPort === undefined ? {} : { port: orig.dstPort }),
    ...(orig.icmpType === undefined ? {} : { icmpType: orig.icmpType }),
  };
}

function holds({ config }: NetworkRecord, family: 4 | 6, address: string): boolean {
  const subnet = networkRanges(config)[family === 4 ? "ipv4" : "ipv6"]?.subnet;
  return subnet !== undefined && contains(subnet, addressOf(family, address));
}

/** Each end is judged on its own node. */
function isDenied(view: NodeView, nodeName: string, packet: PolicyPacket): boolean {
  const { source, destination } = verdict(policyWorldOf(view), packet);
  return [source, destination].some(({ allowed, endpoint }) => !allowed && endpoint?.nodeName === nodeName);
}

/**
 * All connections of endpoints that this node had rules for: to be forgotten when they go, before another one gets their
 * addresses. Empty for endpoints whose packets were never tracked here.
 */
export function connectionsOf(context: Pick<FlowContext, "view" | "machine">, endpoint: EndpointRecord): CtFilter[] {
  const network = networkOf(context.view, endpoint.networkId);
  if (network === undefined || policyScope(context).groups.size === 0) return [];
  const zone = zoneOf(context.view, network);
  const addresses = [endpoint.ipv4, endpoint.ipv6].filter((address) => address !== undefined);
  return addresses.flatMap((address) => [
    { zone, orig: { src: address } },
    { zone, orig: { dst: address } },
  ]);
}
