import type { EndpointRecord } from "../../state/kinds/endpoint.ts";
import type { Explanation } from "../../state/policy/explain.ts";
import { type SideVerdict, verdict } from "../../state/policy/verdict.ts";
import type { ClusterView } from "../view/types.ts";
import { endpointsWith } from "./examples.ts";
import type { End, Situation } from "./situation.ts";
import type { ViewWorld } from "./world.ts";

/** How the endpoints of a group fare that were not the example. */
export interface Others {
  /** Pairs of endpoints that were judged, the example included. */
  readonly pairCount: number;
  /** False: the groups have more endpoints than were judged. */
  readonly isComplete: boolean;
  readonly allowedCount: number;
  /** The first pairs that are not judged like the example. */
  readonly different: readonly {
    readonly from: string;
    readonly to: string;
    readonly allowed: boolean;
    readonly decidedBy: readonly string[];
  }[];
}

interface Compared {
  readonly view: ClusterView;
  readonly world: ViewWorld;
  readonly situation: Situation;
  readonly explanation: Explanation;
}

/** Most endpoints of a group that are judged, and most differences that are shown. */
const ENDPOINTS_MAX = 32;
const DIFFERENT_MAX = 3;
const PAIRS_PER_STEP = 64;

/** Judges pairs of endpoints of the groups: rules can name single addresses. Undefined when neither end is a group. */
export function* compareOthers(compared: Compared): Generator<void, Others | undefined> {
  const { view, world, situation, explanation } = compared;
  const { from, to, packet } = situation;
  if (from.place.is !== "group" && to.place.is !== "group") return undefined;
  const senders = yield* candidates(view, world, from, packet.family);
  const receivers = yield* candidates(view, world, to, packet.family);
  const counts = { pairCount: 0, allowedCount: 0 };
  const different: Others["different"][number][] = [];
  for (const [sender, receiver] of pairsOf(senders.found, receivers.found)) {
    const judged = verdict(situation.world, { ...packet, source: sender.address, destination: receiver.address });
    const decidedBy = [judged.source, judged.destination].flatMap(decidingRules);
    counts.pairCount += 1;
    if (judged.allowed) counts.allowedCount += 1;
    if (judged.allowed !== explanation.allowed && different.length < DIFFERENT_MAX) {
      different.push({ from: sender.name, to: receiver.name, allowed: judged.allowed, decidedBy });
    }
    if (counts.pairCount % PAIRS_PER_STEP === 0) yield;
  }
  return { ...counts, isComplete: senders.isComplete && receivers.isComplete, different };
}

interface Candidate {
  readonly name: string;
  readonly address: string;
}

interface Candidates {
  readonly found: readonly Candidate[];
  readonly isComplete: boolean;
}

function* candidates(view: ClusterView, world: ViewWorld, end: End, family: 4 | 6): Generator<void, Candidates> {
  const { place, address, endpoint, isAssumed } = end;
  const alone = { found: [{ name: endpoint?.key ?? address, address }], isComplete: true };
  if (place.is !== "group" || isAssumed) return alone;
  const found: Candidate[] = [];
  for (const member of endpointsWith(view, { group: place.group, family })) {
    if (member === undefined) yield;
    else if (found.length === ENDPOINTS_MAX) return { found, isComplete: false };
    else found.push(candidateOf(world, member, family));
  }
  return { found, isComplete: true };
}

function candidateOf(world: ViewWorld, endpoint: EndpointRecord, family: 4 | 6): Candidate {
  world.know(endpoint);
  return { name: endpoint.key, address: (family === 4 ? endpoint.ipv4 : endpoint.ipv6) ?? "" };
}

/** Every sender with every receiver but itself. */
function* pairsOf(senders: readonly Candidate[], receivers: readonly Candidate[]): Generator<[Candidate, Candidate]> {
  for (const sender of senders) {
    for (const receiver of receivers) if (sender.name !== receiver.name) yield [sender, receiver];
  }
}

function decidingRules({ ground }: SideVerdict): string[] {
  return ground.kind === "rule" ? [ground.rule.key] : [];
}
