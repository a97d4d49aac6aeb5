import { mismatchOf, type SidePacket } from "./matching.ts";
import { prefixesOf, prefixKey } from "./prefix.ts";
import { compareRules, type ResolvedRule } from "./rule-match.ts";

/** A rule and its place in the order of precedence: the lowest rank that matches decides. */
interface Ranked {
  readonly rule: ResolvedRule;
  readonly rank: number;
}

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
  /** Per length of prefix in use: prefix → rules. */
  readonly byPrefix: ReadonlyMap<number, ReadonlyMap<string | number, PortIndex>>;
  readonly anyPeer: PortIndex;
}

/** Lists of more ports than this are not looked up one by one. */
const SINGLE_PORTS_MAX = 16;

/** How many rules are arranged between two chances to do something else. */
const RULES_PER_STEP = 200;

/** Arranges rules; those that match nothing are left out. Yields now and then. */
export function* indexRules(rules: readonly ResolvedRule[]): Generator<void, RuleIndex> {
  const byGroup = new Map<number, PortIndex>();
  const byPrefix = new Map<number, Map<string | number, PortIndex>>();
  const anyPeer = emptyPortIndex();
  const inForce = rules.filter((rule) => rule.unresolved === undefined).sort(compareRules);
  for (const [rank, rule] of inForce.entries()) {
    for (const ports of placesOf(rule, { byGroup, byPrefix, anyPeer })) addToPorts(ports, { rule, rank });
    if (rank % RULES_PER_STEP === RULES_PER_STEP - 1) yield;
  }
  return { ruleCount: rules.length, byGroup, byPrefix, anyPeer };
}

interface Places {
  readonly byGroup: Map<number, PortIndex>;
  readonly byPrefix: Map<number, Map<string | number, PortIndex>>;
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
      const ofLength = entryOf(
        byPrefix,
        lengthKey(range.family, prefixLength),
        () => new Map<string | number, PortIndex>(),
      );
      return entryOf(ofLength, prefixKey(range.family, first, prefixLength), emptyPortIndex);
    }),
  );
}

/** Families are told apart by adding 1000 to the lengths of IPv6. */
const IPV6_LENGTHS = 1_000;

function lengthKey(family: 4 | 6, prefixLength: number): number {
  return family === 4 ? prefixLength : IPV6_LENGTHS + prefixLength;
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
  for (const [key, prefixes] of index.byPrefix) {
    const prefixLength = key >= IPV6_LENGTHS ? key - IPV6_LENGTHS : key;
    if (key >= IPV6_LENGTHS !== (packet.family === 6)) continue;
    const ports = prefixes.get(prefixKey(packet.family, packet.peer, prefixLength));
    if (ports !== undefined) best = bestOf(ports, packet, best);
  }
  return best?.rule;
}

function bestOf({ single, others }: PortIndex, packet: SidePacket, best: Ranked | undefined): Ranked | undefined {
  const { port, protocol } = packet;
  const ofPort = port === undefined ? undefined : single.get(portKey(protocol, port));
  const found = ofPort === undefined ? best : firstMatch(ofPort, packet, best);
  return firstMatch(others, packet, found);
}

function firstMatch(list: readonly Ranked[], packet: SidePacket, best: Ranked | undefined): Ranked | undefined {
  for (const ranked of list) {
    if (best !== undefined && ranked.rank >= best.rank) return best;
    if (mismatchOf(ranked.rule, packet) === undefined) return ranked;
  }
  return best;
}
