import { formatAddress, formatRange } from "../address.ts";
import { groupRulesInSteps } from "./group-rules.ts";
import { type Mismatch, mismatchOf, type SidePacket } from "./matching.ts";
import { protocolName } from "./protocol.ts";
import { compareRules, type ResolvedRule } from "./rule-match.ts";
import { atOnce } from "./steps.ts";
import { endsOf, type Side, type SideVerdict, sidesOf, verdict } from "./verdict.ts";
import { packetInWords, portsInWords, protocolInWords, ruleInWords } from "./words.ts";
import type { PolicyPacket, PolicyWorld } from "./world.ts";

/** What became of one rule. */
export interface RuleNote {
  /** Key of the rule. */
  readonly rule: string;
  /** The rule in words. */
  readonly says: string;
  readonly outcome: "decides" | "logs" | "outranked" | "no-match";
  /** Why, as a sentence without its full stop. */
  readonly why: string;
}

export interface SideExplanation {
  readonly allowed: boolean;
  /** Keys of the endpoint and its group, where there are such. */
  readonly endpoint: string | undefined;
  readonly group: string | undefined;
  readonly summary: string;
  /** Key of the deciding rule. */
  readonly decidedBy: string | undefined;
  /** Key of the log rule that matches. */
  readonly loggedBy: string | undefined;
  /** Every rule of the group in that direction, in the order of precedence. */
  readonly rules: readonly RuleNote[];
}

export interface Explanation {
  readonly allowed: boolean;
  readonly summary: string;
  readonly source: SideExplanation;
  readonly destination: SideExplanation;
}

/** The verdict, and why: names instead of numbers. */
export function explain(world: PolicyWorld, packet: PolicyPacket): Explanation {
  return atOnce(explainInSteps(world, packet));
}

/** How many rules are spoken of between two chances to do something else. */
const RULES_PER_STEP = 200;

/** The same; yields now and then, for a group can have ten thousand rules. */
export function* explainInSteps(world: PolicyWorld, packet: PolicyPacket): Generator<void, Explanation> {
  const { sender, hearer } = endsOf(world, packet);
  for (const endpoint of [sender, hearer]) if (endpoint !== undefined) yield* groupRulesInSteps(world, endpoint);
  const judged = verdict(world, packet);
  const sides = sidesOf(world, packet);
  const source = yield* explainSide(world, sides.source, { judged: judged.source, direction: "out" });
  const destination = yield* explainSide(world, sides.destination, { judged: judged.destination, direction: "in" });
  const deniers = [source, destination].filter(({ allowed }) => !allowed).map(({ summary }) => summary);
  const summary = judged.allowed
    ? `${packetInWords(packet)} is allowed`
    : `${packetInWords(packet)} is denied: ${deniers.join("; ")}`;
  return { allowed: judged.allowed, summary, source, destination };
}

interface Judged {
  readonly judged: SideVerdict;
  readonly direction: "in" | "out";
}

function* explainSide(world: PolicyWorld, side: Side, { judged, direction }: Judged): Generator<void, SideExplanation> {
  const { ground, endpoint, group } = judged;
  const decidedBy = ground.kind === "rule" ? ground.rule.key : undefined;
  const loggedBy = judged.loggedBy?.key;
  const rules = (side.rules?.rules.all ?? []).filter((rule) => rule.direction === direction).sort(compareRules);
  const notes: RuleNote[] = [];
  for (const rule of rules) {
    notes.push(noteOf(world, rule, { packet: side.packet, decidedBy, loggedBy, ground: ground.kind }));
    if (notes.length % RULES_PER_STEP === 0) yield;
  }
  return {
    allowed: judged.allowed,
    endpoint: endpoint?.key,
    group: group?.key,
    summary: sideSummary(judged, direction),
    decidedBy,
    loggedBy,
    rules: notes,
  };
}

function sideSummary({ ground, endpoint, group, allowed }: SideVerdict, direction: "in" | "out"): string {
  const side = direction === "out" ? "source" : "destination";
  switch (ground.kind) {
    case "rule":
      return `rule ${ground.rule.key} ${allowed ? "allows" : "denies"} it for group ${group?.key} of the ${side}`;
    case "no-rule-matches":
      return `no ${direction}-rule of group ${group?.key} of the ${side} matches, so it is allowed`;
    case "no-policy":
      return `group ${group?.key} of the ${side} has no policy, so it is allowed`;
    case "no-group":
      return `endpoint ${endpoint?.key} of the ${side} has no group, so it is allowed`;
    case "no-endpoint":
      return `the ${side} address belongs to no endpoint of the cluster, so no rule applies there`;
    case "unresolved":
      return `the ${side} is closed, because ${ground.reason}`;
    case "neighbour-discovery":
      return "neighbour discovery always passes";
    default:
      return ground satisfies never;
  }
}

interface Circumstances {
  readonly packet: SidePacket;
  readonly decidedBy: string | undefined;
  readonly loggedBy: string | undefined;
  readonly ground: string;
}

function noteOf(world: PolicyWorld, rule: ResolvedRule, circumstances: Circumstances): RuleNote {
  const { packet, decidedBy, loggedBy, ground } = circumstances;
  const { key } = rule.record;
  const note = { rule: key, says: ruleInWords(rule) };
  if (decidedBy === key) return { ...note, outcome: "decides", why: "it is the first that matches" };
  if (loggedBy === key) return { ...note, outcome: "logs", why: "it is the first log rule that matches" };
  const mismatch = mismatchOf(rule, packet);
  if (mismatch !== undefined)
    return { ...note, outcome: "no-match", why: mismatchInWords(world, rule, { mismatch, packet }) };
  const first = rule.action === "log" ? loggedBy : decidedBy;
  const why = first === undefined ? `rules are not asked (${ground})` : `it matches, but rule ${first} goes before it`;
  return { ...note, outcome: "outranked", why };
}

interface Difference {
  readonly mismatch: Mismatch;
  readonly packet: SidePacket;
}

function mismatchInWords(world: PolicyWorld, rule: ResolvedRule, { mismatch, packet }: Difference): string {
  const peer = formatAddress(packet.family, packet.peer);
  switch (mismatch) {
    case "unresolved":
      return `it matches nothing, because ${rule.unresolved}`;
    case "protocol":
      return `it is for ${protocolInWords(rule)}, and the packet is ${protocolName(packet.protocol)}`;
    case "port":
      return packet.port === undefined
        ? `it is for packets${portsInWords(rule)}, and the packet names no port`
        : `it is for packets${portsInWords(rule)}, and the packet goes to port ${packet.port}`;
    case "peer-group":
      return `${peer} is not in group ${rule.peerGroupKey}`;
    case "peer-address":
      return `${peer} is not ${peerAddressInWords(world, rule)}`;
    case "own-address":
      return `${formatAddress(packet.family, packet.own)} is not ${ownAddressInWords(rule)}`;
    default:
      return mismatch satisfies never;
  }
}

function peerAddressInWords(world: PolicyWorld, { peerNetworkKey, peerRanges = [] }: ResolvedRule): string {
  const ranges = peerRanges.map((range) => formatRange(range.family, range)).join(" or ");
  if (peerNetworkKey === undefined || world.network(peerNetworkKey) === undefined) return `in ${ranges}`;
  return `in network ${peerNetworkKey} (${ranges})`;
}

function ownAddressInWords({ ownAddresses }: ResolvedRule): string {
  return ownAddresses === undefined ? "" : `in ${formatRange(ownAddresses.family, ownAddresses)}`;
}
