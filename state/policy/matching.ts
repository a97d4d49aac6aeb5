import { type AddressFamily, contains } from "../address.ts";
import { IpProtocol, protocolNumber } from "./protocol.ts";
import type { FamilyRange, ResolvedRule } from "./rule-match.ts";

/** A packet as the rules of one side see it: the peer is at the other end. */
export interface SidePacket {
  readonly family: AddressFamily;
  readonly peer: bigint;
  readonly own: bigint;
  /** 0 = the peer has no group. */
  readonly peerGroupId: number;
  readonly protocol: number;
  /** Undefined = the protocol has none. */
  readonly port: number | undefined;
  /** A fragment that is not the first. */
  readonly isLaterFragment: boolean;
}

/** The first thing that keeps a rule from matching. */
export type Mismatch = "unresolved" | "protocol" | "port" | "peer-group" | "peer-address" | "own-address";

/** Why the rule does not match the packet; undefined = it matches. */
export function mismatchOf(rule: ResolvedRule, packet: SidePacket): Mismatch | undefined {
  if (rule.unresolved !== undefined) return "unresolved";
  if (!matchesProtocol(rule, packet)) return "protocol";
  if (!matchesPort(rule, packet)) return "port";
  if (rule.peerGroupKey !== undefined && !isGroup(rule.peerGroupId, packet.peerGroupId)) return "peer-group";
  if (rule.peerRanges !== undefined && !isWithin(rule.peerRanges, packet.family, packet.peer)) return "peer-address";
  const { ownAddresses } = rule;
  if (ownAddresses !== undefined && !isWithin([ownAddresses], packet.family, packet.own)) return "own-address";
  return undefined;
}

type Transport = Pick<SidePacket, "family" | "protocol" | "port" | "isLaterFragment">;

/** A later IPv6 fragment may be of any protocol: it matches whatever denies one, and nothing that allows one. */
export function matchesProtocol(
  { protocol, action }: Pick<ResolvedRule, "protocol" | "action">,
  packet: Omit<Transport, "port">,
): boolean {
  const wanted = protocolNumber(protocol, packet.family);
  if (wanted === undefined) return true;
  if (packet.isLaterFragment && packet.family === 6 && action === "deny") return true;
  return wanted === shownProtocol(packet);
}

/** What the header of a later IPv6 fragment is known by is the fragment header itself. */
function shownProtocol({ family, protocol, isLaterFragment }: Omit<Transport, "port">): number {
  return isLaterFragment && family === 6 ? IpProtocol.fragment : protocol;
}

/** A later fragment may be of any port. */
export function matchesPort(
  { ports, action }: Pick<ResolvedRule, "ports" | "action">,
  { port, isLaterFragment }: Pick<Transport, "port" | "isLaterFragment">,
): boolean {
  if (ports.length === 0) return true;
  if (isLaterFragment) return action === "deny";
  if (port === undefined) return false;
  for (const { first, last } of ports) if (first <= port && port <= last) return true;
  return false;
}

/** Nobody is in a group that does not exist, and group 0 is no group. */
function isGroup(wanted: number | undefined, actual: number): boolean {
  return wanted !== undefined && wanted !== 0 && wanted === actual;
}

function isWithin(ranges: readonly FamilyRange[], family: AddressFamily, address: bigint): boolean {
  for (const range of ranges) if (range.family === family && contains(range, address)) return true;
  return false;
}
