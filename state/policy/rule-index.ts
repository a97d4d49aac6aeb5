import type { AddressFamily } from "../address.ts";
import { mismatchOf, type SidePacket } from "./matching.ts";
import { prefixesOf, prefixKey, prefixKeyOf } from "./prefix.ts";
import { compareRules, type ResolvedRule } from "./rule-match.ts";

/** A rule and its place in the order of precedence: the lowest rank that matches decides. */
interface Ranked {
  readonly rule: ResolvedRule;
  readonly rank: number;
  /** Says nothing more than peer, protocol and port: where it has been found by all three it matches. */
  readonly isPlain: boolean;
  /** Undefined = any, or one that depends on the family. */
  readonly protocol: number | undefined;
  /** From the lowest to the highest of its ports; every port when it names none. */
  readonly firstPort: number;
  readonly lastPort: number;
}

const PORT_MAX = 0xffff;

/** Rules of one peer by what they say of protocol and port; each list in ascending rank. */
interface PortIndex {
  /** One port of one protocol, as `protocol << 16 | port`. */
  readonly single: Map<number, Ranked[]>;
  /** Everything else. */
  readonly others: Ranked[];
}

/**
 * The rules of one group and direction, arranged so that a packet meets only those that may match: by the peer's group, by prefixes
 * of the peer's address, and by port.
 */
export interface RuleIndex {
  readonly ruleCount: number;
  readonly byGroup: ReadonlyMap<number, PortIndex>;
  readonly byPrefix: Readonly<Record<AddressFamily, readonly PrefixIndex[]>>;
  readonly anyPeer: PortIndex;
}

/** The rules of one length of prefix. */
interface PrefixIndex {
  readonly prefixLength: number;
  /** By `prefixKey`. */
  readonly rules: Map<string | number, PortIndex>;
}

/** Lists of more ports than this are not looked up one by one. */
const SINGLE_PORTS_MAX = 16;

/** How many rules are arranged between two chances to do something else. */
const RULES_PER_STEP = 200;

/** Arranges rules; those that match nothing are left out. Yields now and then. */
export function* indexRules(rules: readonly ResolvedRule[]): Generator<void, RuleIndex> {
  const places: Places = { byGroup: new Map(), byPrefix: { 4: [], 6: [] }, anyPeer: emptyPortIndex() };
  const inForce = rules.filter((rule) => rule.unresolved === undefined).sort(compareRules);
  for (const [rank, rule] of inForce.entries()) {
    const ranked = rankedRule(rule, rank);
    for (const ports of placesOf(rule, places)) addToPorts(ports, ranked);
    if (rank % RULES_PER_STEP === RULES_PER_STEP - 1) yield;
  }
  return { ruleCount: rules.length, ...places };
}

function rankedRule(rule: ResolvedRule, rank: number): Ranked {
  const protocol = typeof rule.protocol === "number" ? rule.protocol : undefined;
  const firstPort = rule.ports[0]?.first ?? 0;
  const lastPort = rule.ports.at(-1)?.last ?? PORT_MAX;
  return { rule, rank, isPlain: isPlain(rule), protocol, firstPort, lastPort };
}

function isPlain({ ownAddresses, peerGroupId, peerRanges }: ResolvedRule): boolean {
  return ownAddresses === undefined && (peerGroupId === undefined || peerRanges === undefined);
}

interface Places {
  readonly byGroup: Map<number, PortIndex>;
  readonly byPrefix: Readonly<Record<AddressFamily, PrefixIndex[]>>;
  readonly anyPeer: PortIndex;
}

function emptyPortIndex(): PortIndex {
  return { single: new Map(), others: [] };
}

function placesOf({ peerGroupId, peerRanges }: ResolvedRule, { byGroup, byPrefix, anyPeer }: Places): PortIndex[] {
  if (peerGroupId !== undefined) return [entryOf(byGroup, peerGroupId, emptyPortIndex)];
  if (peerRanges === undefined) return [anyPeer];
  return peerRanges.flatMap((range) =>
    prefixesOf(range).map(({ first, prefixLength }) => {
      const { rules } = indexOfLength(byPrefix[range.family], prefixLength);
      return entryOf(rules, prefixKeyOf(range.family, first, prefixLength), emptyPortIndex);
    }),
  );
}

function indexOfLength(indexes: PrefixIndex[], prefixLength: number): PrefixIndex {
  const present = indexes.find((index) => index.prefixLength === prefixLength);
  if (present !== undefined) return present;
  const made: PrefixIndex = { prefixLength, rules: new Map() };
  indexes.push(made);
  return made;
}

function entryOf<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const present = map.get(key);
  if (present !== undefined) return present;
  const made = make();
  map.set(key, made);
  return made;
}

function addToPorts({ single, others }: PortIndex, ranked: Ranked): void {
  const { protocol, ports } = ranked.rule;
  const count = ports.reduce((sum, { first, last }) => sum + last - first + 1, 0);
  if (typeof protocol !== "number" || count === 0 || count > SINGLE_PORTS_MAX) {
    others.push(ranked);
    return;
  }
  for (const { first, last } of ports) {
    for (let port = first; port <= last; port += 1) entryOf(single, portKey(protocol, port), () => []).push(ranked);
  }
}

function portKey(protocol: number, port: number): number {
  return (protocol << 16) | port;
}

/** The rule that decides over the packet; undefined when none matches. */
export function decidingRule(index: RuleIndex, packet: SidePacket): ResolvedRule | undefined {
  let best = bestOf(index.anyPeer, packet, undefined);
  const ofGroup = packet.peerGroupId === 0 ? undefined : index.byGroup.get(packet.peerGroupId);
  if (ofGroup !== undefined) best = bestOf(ofGroup, packet, best);
  const indexes = index.byPrefix[packet.family];
  if (indexes.length === 0) return best?.rule;
  const peer = packet.family === 4 ? Number(packet.peer) : packet.peer;
  for (const { prefixLength, rules } of indexes) {
    const ports = rules.get(prefixKey(peer, prefixLength));
    if (ports !== undefined) best = bestOf(ports, packet, best);
  }
  return best?.rule;
}

function bestOf({ single, others }: PortIndex, packet: SidePacket, best: Ranked | undefined): Ranked | undefined {
  const { port, protocol, isLaterFragment } = packet;
  if (isLaterFragment) return bestOfFragment({ single, others }, packet, best);
  const ofPort = port === undefined || single.size === 0 ? undefined : single.get(portKey(protocol, port));
  const found = ofPort === undefined ? best : firstOfPort(ofPort, packet, best);
  return firstMatch(others, packet, found);
}

/** A later fragment shows no port: every rule that names one has to be asked. */
function bestOfFragment(
  { single, others }: PortIndex,
  packet: SidePacket,
  best: Ranked | undefined,
): Ranked | undefined {
  let found = best;
  for (const list of single.values()) found = firstMatch(list, packet, found);
  return firstMatch(others, packet, found);
}

/** The rules have been found by peer, protocol and port. */
function firstOfPort(list: readonly Ranked[], packet: SidePacket, best: Ranked | undefined): Ranked | undefined {
  for (const ranked of list) {
    if (best !== undefined && ranked.rank >= best.rank) return best;
    if (ranked.isPlain || mismatchOf(ranked.rule, packet) === undefined) return ranked;
  }
  return best;
}

/** Told by its numbers alone, most rules of a list cannot match: what they say in full stays untouched. */
function isElsewhere({ protocol, firstPort, lastPort }: Ranked, packet: SidePacket): boolean {
  if (packet.isLaterFragment) return false;
  if (protocol !== undefined && protocol !== packet.protocol) return true;
  return packet.port !== undefined && (packet.port < firstPort || packet.port > lastPort);
}

function firstMatch(list: readonly Ranked[], packet: SidePacket, best: Ranked | undefined): Ranked | undefined {
  for (const ranked of list) {
    if (best !== undefined && ranked.rank >= best.rank) return best;
    if (isElsewhere(ranked, packet)) continue;
    if (mismatchOf(ranked.rule, packet) === undefined) return ranked;
  }
  return best;
}
