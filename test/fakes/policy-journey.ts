import type { Match } from "../../drivers/ovs/openflow/match.ts";
import { linkLocalOf } from "../../netplugin/desired/pipeline/actions.ts";
import { GATEWAY_MAC } from "../../netplugin/desired/pipeline/pipeline.ts";
import type { EndpointRecord } from "../../state/kinds/endpoint.ts";
import type { NetworkRecord } from "../../state/kinds/network.ts";
import { verdict } from "../../state/policy/verdict.ts";
import type { PolicyPacket, PolicyWorld } from "../../state/policy/world.ts";
import type { Journey } from "./policy-arbitrary.ts";
import { endpointRecords, networkRecords, type PolicyObjects, policyWorld } from "./policy-world.ts";

/** A journey with everything looked up. */
export interface Trip {
  readonly packet: PolicyPacket;
  readonly source: EndpointRecord | undefined;
  readonly destination: EndpointRecord | undefined;
  /** The network in which the packet arrives. */
  readonly network: NetworkRecord;
  readonly isRouted: boolean;
  /** The frame as its sender sends it, without the port it comes in. */
  readonly frame: Match;
}

const TCP = 6;
const UDP = 17;
const IPV6_FRAGMENT = 44;
const TCP_SYN = 2;
const CLIENT_PORT = 45_000;
const OUTSIDE = { 4: "10.1.77.7", 6: "2001:db8:77::7" } as const;
const UNKNOWN = { 4: "10.1.88.8", 6: "2001:db8:88::8" } as const;
const MULTICAST = { 4: "224.0.0.251", 6: "ff02::fb" } as const;
const OUTSIDE_MAC = "02:aa:00:00:00:01";
const UNKNOWN_MAC = "02:aa:00:00:00:02";
const MULTICAST_MAC = { 4: "01:00:5e:00:00:fb", 6: "33:33:00:00:00:fb" } as const;

/** The world of random policies, with what trips need. */
export interface TripWorld {
  readonly world: PolicyWorld;
  readonly endpoints: ReadonlyMap<string, EndpointRecord>;
  readonly networks: ReadonlyMap<number, NetworkRecord>;
}

export function tripWorld(objects: PolicyObjects): TripWorld {
  return {
    world: policyWorld(objects),
    endpoints: new Map(endpointRecords(objects).map((endpoint) => [endpoint.key, endpoint])),
    networks: new Map(networkRecords(objects).map((network) => [network.networkId, network])),
  };
}

/** Undefined when no such packet can travel: an end without that family, from outside to outside, networks that are not joined. */
export function tripOf({ world, endpoints, networks }: TripWorld, journey: Journey): Trip | undefined {
  const source = endpoints.get(journey.from ?? "");
  const destination = typeof journey.to === "string" ? endpoints.get(journey.to) : undefined;
  const [from, to] = [source, destination].map((end) => (end === undefined ? undefined : networks.get(end.networkId)));
  const network = to ?? from;
  if (network === undefined || source === destination) return undefined;
  const isRouted = from !== undefined && to !== undefined && from !== to;
  if (isRouted && !(world.isRouting && from.tenantId === to.tenantId)) return undefined;
  const addresses = addressesOf(journey, { source, destination, isRouted });
  if (addresses === undefined) return undefined;
  const { family, protocol, port, icmpType, isLaterFragment } = journey;
  const packet: PolicyPacket = {
    ...{ networkKey: network.key, family, protocol, ...addresses },
    ...(port === undefined ? {} : { port }),
    ...(icmpType === undefined ? {} : { icmpType }),
    ...(isLaterFragment === true ? { isLaterFragment } : {}),
  };
  const ethDst = isRouted
    ? GATEWAY_MAC
    : (destination?.mac ?? (isMulticast(journey) ? MULTICAST_MAC[family] : UNKNOWN_MAC));
  const frame = { ethSrc: source?.mac ?? OUTSIDE_MAC, ethDst, ...headersOf(packet) };
  return { packet, source, destination, network, isRouted, frame };
}

function isMulticast({ to }: Journey): boolean {
  return typeof to !== "string" && to.kind === "multicast";
}

interface Ends {
  readonly source: EndpointRecord | undefined;
  readonly destination: EndpointRecord | undefined;
  readonly isRouted: boolean;
}

function addressesOf(journey: Journey, { source, destination, isRouted }: Ends) {
  const { family } = journey;
  if (isRouted && journey.isLinkLocal) return undefined;
  const addressOf = (end: EndpointRecord) => {
    if (family === 4) return end.ipv4;
    return end.ipv6 !== undefined && journey.isLinkLocal ? linkLocalOf(end.mac) : end.ipv6;
  };
  const elsewhere = isMulticast(journey) ? MULTICAST[family] : UNKNOWN[family];
  const from = source === undefined ? OUTSIDE[family] : addressOf(source);
  const to = destination === undefined ? elsewhere : addressOf(destination);
  return from === undefined || to === undefined ? undefined : { source: from, destination: to };
}

function headersOf(packet: PolicyPacket): Match {
  const { family, source, destination, protocol, port, icmpType, isLaterFragment } = packet;
  const ip =
    family === 4
      ? { ethType: 0x0800, ipv4Src: source, ipv4Dst: destination }
      : { ethType: 0x86dd, ipv6Src: source, ipv6Dst: destination };
  const common = { ...ip, ipProto: protocol, ipTtl: 64 };
  // Open vSwitch shows no transport header in a later fragment, and of an IPv6 one the fragment header's own number.
  if (isLaterFragment === true) return { ...common, ipProto: family === 6 ? IPV6_FRAGMENT : protocol, ipFrag: "later" };
  if (protocol === TCP) return { ...common, tcpSrc: CLIENT_PORT, tcpDst: port ?? 0, tcpFlags: TCP_SYN };
  if (protocol === UDP) return { ...common, udpSrc: CLIENT_PORT, udpDst: port ?? 0 };
  if (icmpType === undefined) return common;
  return family === 4 ? { ...common, icmpType, icmpCode: 0 } : { ...common, icmpv6Type: icmpType, icmpv6Code: 0 };
}

/** Keys of the endpoints that the packet should reach, ascending. */
export function expectedReceivers({ world, endpoints }: TripWorld, trip: Trip): string[] {
  if (trip.destination !== undefined) return verdict(world, trip.packet).allowed ? [trip.destination.key] : [];
  const neighbours = [...endpoints.values()].filter(
    (end) => end.networkId === trip.network.networkId && end !== trip.source,
  );
  const hearers = neighbours.filter((end) => verdict(world, { ...trip.packet, receiver: end.ipv4 }).allowed);
  return hearers.map(({ key }) => key).sort();
}
