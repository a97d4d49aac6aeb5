import { type AddressFamily, contains } from "../address.ts";
import { protocolNumber } from "./protocol.ts";
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
}

/** The first thing that keeps a rule from matching. */
export type Mismatch = "unresolved" | "protocol" | "port" | "peer-group" | "peer-address" | "own-address";

/** Why the rule does not match the packet; undefined = it matches. */
export function mismatchOf(rule: ResolvedRule, packet: SidePacket): Mismatch | undefined {
  if (rule.unresolved !== undefined) return "unresolved";
  if (!matchesProtocol(rule, packet)) return "protocol";
  if (!matchesPort(rule, packet.port)) return "port";
  if (rule.peerGroupKey !== undefined && !isGroup(rule.peerGroupId, packet.peerGroupId)) return "peer-group";
  if (rule.peerRanges !== undefined && !isWithin(rule.peerRanges, packet.family, packet.peer)) return "peer-address";
  const { ownAddresses } = rule;
  if (ownAddresses !== undefined && !isWithin([ownAddresses], packet.family, packet.own)) return "own-address";
  return undefined;
}

export function matchesProtocol(
  { protocol }: Pick<ResolvedRule, "protocol">,
  packet: Pick<SidePacket, "family" | "protocol">,
): boolean {
  const wanted = protocolNumber(protocol, packet.family);
  return wanted === undefined || wanted === packet.protocol;
}

export function matchesPort({ ports }: Pick<ResolvedRule, "ports">, port: number | undefined): boolean {
  if (ports.length === 0) return true;
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
