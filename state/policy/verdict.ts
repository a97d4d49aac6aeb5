import { addressOf } from "../address.ts";
import { NetError } from "../errors.ts";
import type { EndpointRecord } from "../kinds/endpoint.ts";
import type { EndpointGroupRecord } from "../kinds/endpoint-group.ts";
import type { RuleRecord } from "../kinds/rule.ts";
import { endpointOf } from "./endpoint-lookup.ts";
import { type GroupRules, groupRules } from "./group-rules.ts";
import type { SidePacket } from "./matching.ts";
import { IpProtocol, NEIGHBOUR_DISCOVERY_TYPES } from "./protocol.ts";
import { decidingRule, type RuleIndex } from "./rule-index.ts";
import type { PolicyPacket, PolicyWorld } from "./world.ts";

/** On what a side's verdict rests. */
export type Ground =
  /** The rule that decided. */
  | { readonly kind: "rule"; readonly rule: RuleRecord }
  /** The group has policies, and none of their rules of this direction matches: allowed. */
  | { readonly kind: "no-rule-matches" }
  | { readonly kind: "no-policy" }
  | { readonly kind: "no-group" }
  /** The address belongs to no endpoint: there is nobody whose rules could apply. */
  | { readonly kind: "no-endpoint" }
  /** Denied, because what should be enforced is not known. */
  | { readonly kind: "unresolved"; readonly reason: string }
  | { readonly kind: "neighbour-discovery" };

/** What one end says of the packet. */
export interface SideVerdict {
  readonly allowed: boolean;
  readonly ground: Ground;
  readonly endpoint: EndpointRecord | undefined;
  readonly group: EndpointGroupRecord | undefined;
  /** The log rule that matches; that of the destination sees only what the source lets pass. */
  readonly loggedBy: RuleRecord | undefined;
}

/** Both ends must allow: the out-rules of the source's group, the in-rules of the destination's. */
export interface Verdict {
  readonly allowed: boolean;
  readonly source: SideVerdict;
  readonly destination: SideVerdict;
}

/** One end of a packet: who it is, what rules it has, and the packet as these see it. */
export interface Side {
  readonly endpoint: EndpointRecord | undefined;
  readonly rules: GroupRules | undefined;
  readonly packet: SidePacket;
}

export interface Sides {
  readonly source: Side;
  readonly destination: Side;
}

/**
 * What the policies say of a connection whose first packet this is. The one definition of their meaning: the flows of every node
 * are tested against it.
 */
export function verdict(world: PolicyWorld, packet: PolicyPacket): Verdict {
  const { source, destination } = sidesOf(world, packet);
  const judge = isNeighbourDiscovery(packet) ? passDiscovery : judgeSide;
  const [ofSource, ofDestination] = [judge(source, "out"), judge(destination, "in")];
  return { allowed: ofSource.allowed && ofDestination.allowed, source: ofSource, destination: ofDestination };
}

/** The endpoints of a packet: whose address it comes from, to whose address it goes, and who hears it. */
interface Ends {
  readonly sender: EndpointRecord | undefined;
  readonly addressee: EndpointRecord | undefined;
  readonly hearer: EndpointRecord | undefined;
}

/** Looks up whose rules a packet meets. */
export function endsOf(world: PolicyWorld, packet: PolicyPacket): Ends {
  const { networkKey, family, receiver } = packet;
  const network = world.network(networkKey);
  if (network === undefined) throw new NetError("NOT_FOUND", `There is no network ${networkKey}`);
  const sender = endpointOf(world, network, { family, address: packet.source });
  const addressee = endpointOf(world, network, { family, address: packet.destination });
  const hearer = receiver === undefined ? addressee : endpointOf(world, network, { family, address: receiver });
  return { sender, addressee, hearer };
}

/** Looks both ends up. */
export function sidesOf(world: PolicyWorld, packet: PolicyPacket): Sides {
  const { family, protocol } = packet;
  const { sender, addressee, hearer } = endsOf(world, packet);
  const from = addressOf(family, packet.source);
  const to = addressOf(family, packet.destination);
  const isLaterFragment = packet.isLaterFragment === true;
  const port = isLaterFragment ? undefined : portOf(protocol, packet.port);
  const [senderGroupId, addresseeGroupId] = [sender?.groupId ?? 0, addressee?.groupId ?? 0];
  return {
    source: {
      endpoint: sender,
      rules: rulesOf(world, sender),
      packet: { family, protocol, port, isLaterFragment, own: from, peer: to, peerGroupId: addresseeGroupId },
    },
    destination: {
      endpoint: hearer,
      rules: rulesOf(world, hearer),
      packet: { family, protocol, port, isLaterFragment, own: to, peer: from, peerGroupId: senderGroupId },
    },
  };
}

function rulesOf(world: PolicyWorld, endpoint: EndpointRecord | undefined): GroupRules | undefined {
  return endpoint === undefined ? undefined : groupRules(world, endpoint);
}

function portOf(protocol: number, port: number | undefined): number | undefined {
  return protocol === IpProtocol.tcp || protocol === IpProtocol.udp ? port : undefined;
}

export function isNeighbourDiscovery({ family, protocol, icmpType, isLaterFragment }: PolicyPacket): boolean {
  if (isLaterFragment === true) return false;
  if (family !== 6 || protocol !== IpProtocol.icmpv6 || icmpType === undefined) return false;
  return NEIGHBOUR_DISCOVERY_TYPES.first <= icmpType && icmpType <= NEIGHBOUR_DISCOVERY_TYPES.last;
}

function passDiscovery({ endpoint, rules }: Side): SideVerdict {
  return { allowed: true, ground: { kind: "neighbour-discovery" }, endpoint, group: rules?.group, loggedBy: undefined };
}

const NO_ENDPOINT: Ground = { kind: "no-endpoint" };
const NO_GROUP: Ground = { kind: "no-group" };
const NO_POLICY: Ground = { kind: "no-policy" };
const NO_RULE_MATCHES: Ground = { kind: "no-rule-matches" };

function judgeSide({ endpoint, rules, packet }: Side, direction: "in" | "out"): SideVerdict {
  const unlogged = { endpoint, group: rules?.group, loggedBy: undefined };
  if (endpoint === undefined) return { allowed: true, ground: NO_ENDPOINT, ...unlogged };
  if (rules === undefined) return { allowed: true, ground: NO_GROUP, ...unlogged };
  const { fault } = rules;
  if (fault !== undefined) return { allowed: false, ground: { kind: "unresolved", reason: fault }, ...unlogged };
  if (rules.rules.policyCount === 0) return { allowed: true, ground: NO_POLICY, ...unlogged };
  const judged = { ...unlogged, loggedBy: loggingRule(rules.rules.logs[direction], packet) };
  const rule = decidingRule(rules.rules[direction], packet);
  if (rule === undefined) return { allowed: true, ground: NO_RULE_MATCHES, ...judged };
  return { allowed: rule.action === "allow", ground: { kind: "rule", rule: rule.record }, ...judged };
}

/** There are few of them, mostly none. */
function loggingRule(logs: RuleIndex, packet: SidePacket): RuleRecord | undefined {
  return logs.ruleCount === 0 ? undefined : decidingRule(logs, packet)?.record;
}
