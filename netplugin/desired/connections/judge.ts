import type { TrackedConnection } from "../../../drivers/ovs/conntrack.ts";
import type { CtFilter } from "../../../drivers/ovs/openflow/ct-flush.ts";
import { addressOf, contains } from "../../../state/address.ts";
import type { EndpointRecord } from "../../../state/kinds/endpoint.ts";
import type { NetworkRecord } from "../../../state/kinds/network.ts";
import { networkRanges } from "../../../state/network-ranges.ts";
import { groupRulesInSteps } from "../../../state/policy/group-rules.ts";
import { matchesPort, matchesProtocol, mismatchOf, type SidePacket } from "../../../state/policy/matching.ts";
import { IpProtocol } from "../../../state/policy/protocol.ts";
import type { ResolvedRule } from "../../../state/policy/rule-match.ts";
import { endsOf, verdict } from "../../../state/policy/verdict.ts";
import type { PolicyPacket, PolicyWorld } from "../../../state/policy/world.ts";
import type { NodeView } from "../../view/node-view.ts";
import { policyWorldOf } from "../../view/policy-world.ts";
import { networkOf, recordsOf } from "../../view/query.ts";
import { canonicalIpv6 } from "../pipeline/actions.ts";
import { policyScope } from "../policy/scope.ts";
import { zoneOf } from "../policy/zone.ts";
import { type ConnectionSelector, placeIn, type Snapshot } from "./selector.ts";

/** A tracked connection that is to be forgotten, and why: the rules deny it by now, or the endpoint that it was of has left. */
export interface StaleConnection {
  readonly reason: "denied" | "departed";
  readonly filter: CtFilter;
}

/** Judges tracked connections by what holds in one snapshot. */
export interface ConnectionJudge {
  /** Yields now and then, for there may be many connections and many rules. */
  judge(connections: Iterable<TrackedConnection>): Generator<void, readonly StaleConnection[]>;
}

const CONNECTIONS_PER_STEP = 32;
const NOBODY = { sender: undefined, addressee: undefined };

/**
 * Finds connections that are to be forgotten. Of those that the rules deny by now, so that their replies end even when their sender is
 * silent, TCP is left out: its sender acknowledges what it gets, and the first such packet marks the connection blocked (policy-base.ts),
 * which ends it better, for a forgotten TCP connection could be taken for an older one.
 */
export function connectionJudge({ view, machine }: Snapshot, selector: ConnectionSelector): ConnectionJudge {
  const networks = networksByZone(view);
  const world = policyWorldOf(view);
  const isHere = (endpoint: EndpointRecord | undefined) => endpoint?.nodeName === machine.nodeName;

  const isByRules = !selector.all && selector.moved.size + selector.departed.size === 0;

  function* reasonFor(connection: TrackedConnection): Generator<void, StaleConnection["reason"] | undefined> {
    if (isByRules && !mayBeMeant(selector.rules, connection)) return undefined;
    const [source, destination] = endPlaces(connection);
    const packet = packetOf(networks.get(connection.zone) ?? [], connection);
    const { sender, addressee } = packet === undefined ? NOBODY : endsOf(world, packet);
    // An address that somebody has again tells nothing.
    if (sender === undefined && selector.departed.has(source)) return "departed";
    if (addressee === undefined && selector.departed.has(destination)) return "departed";
    if (packet === undefined) return undefined;
    // Only what an endpoint of this node sends or gets is tracked.
    if (!isHere(sender) && !isHere(addressee)) return selector.all ? "departed" : undefined;
    if (packet.protocol === IpProtocol.tcp) return undefined;
    const isAsked =
      selector.all ||
      selector.moved.has(source) ||
      selector.moved.has(destination) ||
      matchesAny(selector.rules, packet, { sender, addressee });
    if (!isAsked) return undefined;
    for (const end of [sender, addressee]) if (end !== undefined) yield* groupRulesInSteps(world, end);
    return isDenied(world, packet, machine.nodeName) ? "denied" : undefined;
  }

  return {
    judge: function* (connections) {
      const stale: StaleConnection[] = [];
      let count = 0;
      for (const connection of connections) {
        const reason = yield* reasonFor(connection);
        const { zone, ipProto, orig } = connection;
        if (reason !== undefined && !isIcmp(ipProto)) stale.push({ reason, filter: { zone, ipProto, orig } });
        if (++count % CONNECTIONS_PER_STEP === 0) yield;
      }
      return stale;
    },
  };
}

/**
 * Connections of pings stay until they time out: rules judge each request, and those who send none get no answers. ovs-vswitchd 3.1
 * ends, without a word, when it is told to forget one.
 */
function isIcmp(ipProto: number): boolean {
  return ipProto === IpProtocol.icmp || ipProto === IpProtocol.icmpv6;
}

/** Zones in which connections of this node are tracked, or were of those who have left. */
export function zonesToLookAt(
  snapshot: Snapshot,
  { departed }: Pick<ConnectionSelector, "departed">,
): ReadonlySet<number> {
  const zones = new Set([...departed].map((place) => Number.parseInt(place, 10)));
  for (const { endpoints } of policyScope(snapshot).groups.values()) {
    for (const { networkId } of endpoints) {
      const network = networkOf(snapshot.view, networkId);
      if (network !== undefined) zones.add(zoneOf(snapshot.view, network));
    }
  }
  return zones;
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

function endPlaces({ zone, orig }: TrackedConnection): readonly [string, string] {
  return [placeIn(zone, canonical(orig.src)), placeIn(zone, canonical(orig.dst))];
}

function canonical(address: string): string {
  return address.includes(":") ? canonicalIpv6(address) : address;
}

function packetOf(networks: readonly NetworkRecord[], { ipProto, orig }: TrackedConnection): PolicyPacket | undefined {
  const family = orig.src.includes(":") ? 6 : 4;
  const [source, destination] = [canonical(orig.src), canonical(orig.dst)];
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

/** What can be said without looking up the ends, for most connections are not meant. */
function mayBeMeant(rules: readonly ResolvedRule[], { ipProto, orig }: TrackedConnection): boolean {
  if (ipProto === IpProtocol.tcp) return false;
  const family = orig.src.includes(":") ? 6 : 4;
  const port = ipProto === IpProtocol.udp ? orig.dstPort : undefined;
  const packet = { family, protocol: ipProto, port, isLaterFragment: false } as const;
  return rules.some((rule) => matchesProtocol(rule, packet) && matchesPort(rule, packet));
}

interface Ends {
  readonly sender: EndpointRecord | undefined;
  readonly addressee: EndpointRecord | undefined;
}

/** Does one of the rules speak of such packets, on whichever side? Costs far less than a verdict. */
function matchesAny(rules: readonly ResolvedRule[], packet: PolicyPacket, { sender, addressee }: Ends): boolean {
  if (rules.length === 0) return false;
  const { family, protocol } = packet;
  const [from, to] = [addressOf(family, packet.source), addressOf(family, packet.destination)];
  const port = protocol === IpProtocol.udp ? packet.port : undefined;
  const common = { family, protocol, port, isLaterFragment: false };
  const sides: Readonly<Record<"in" | "out", SidePacket>> = {
    out: { ...common, own: from, peer: to, peerGroupId: addressee?.groupId ?? 0 },
    in: { ...common, own: to, peer: from, peerGroupId: sender?.groupId ?? 0 },
  };
  return rules.some((rule) => mismatchOf(rule, sides[rule.direction]) === undefined);
}

/** Each end is judged on its own node. */
function isDenied(world: PolicyWorld, packet: PolicyPacket, nodeName: string): boolean {
  const { source, destination } = verdict(world, packet);
  return [source, destination].some(({ allowed, endpoint }) => !allowed && endpoint?.nodeName === nodeName);
}
