import { type Explanation, explainInSteps, type SideExplanation } from "../../state/policy/explain.ts";
import { protocolName } from "../../state/policy/protocol.ts";
import type { Rendered } from "../inspect/streamed.ts";
import { StreamedList, StreamedObject } from "../inspect/streamed.ts";
import type { ClusterView } from "../view/types.ts";
import { compareOthers, type Others } from "./others.ts";
import type { Question } from "./question.ts";
import { type End, findSituation, type Situation } from "./situation.ts";
import type { ViewWorld } from "./world.ts";

/** What became of a question. */
export interface Answered {
  readonly situation: Situation;
  readonly allowed: boolean;
  readonly summary: string;
  /** Undefined when the ends are not connected at all. */
  readonly explanation: Explanation | undefined;
  /** Where an end is a group: whether its other endpoints are treated alike. */
  readonly others: Others | undefined;
}

/** Answers a question on a view. Yields now and then. */
export function* answer(view: ClusterView, world: ViewWorld, question: Question): Generator<void, Answered> {
  const situation = yield* findSituation(view, world, question);
  const { packet, obstacle } = situation;
  if (obstacle !== undefined) {
    const summary = `${packet.source} cannot reach ${packet.destination}: ${obstacle}`;
    return { situation, allowed: false, summary, explanation: undefined, others: undefined };
  }
  const explanation = yield* explainInSteps(situation.world, packet);
  const others = yield* compareOthers({ view, world, situation, explanation });
  return { situation, allowed: explanation.allowed, summary: explanation.summary, explanation, others };
}

/** An answer as the API shows it. */
export function renderAnswer({ situation, allowed, summary, explanation, others }: Answered): StreamedObject {
  const { networkKey, family, source, destination, protocol, port, icmpType } = situation.packet;
  const packet = { network: networkKey, family, source, destination, protocol: protocolName(protocol), port, icmpType };
  return new StreamedObject({
    allowed,
    summary,
    packet,
    from: renderEnd(situation.from),
    to: renderEnd(situation.to),
    source: explanation && renderSide(explanation.source),
    destination: explanation && renderSide(explanation.destination),
    others,
  });
}

function renderEnd({ place, address, network, endpoint, isAssumed }: End): Rendered {
  const group = place.is === "group" ? place.group.key : undefined;
  const named = { is: place.is, group, network: network.key, address };
  return isAssumed ? { ...named, isAssumed } : { ...named, endpoint: endpoint?.key };
}

/** A group can have ten thousand rules. */
function renderSide({ rules, ...side }: SideExplanation): StreamedObject {
  const { allowed, summary, endpoint, group, decidedBy, loggedBy } = side;
  return new StreamedObject({ allowed, summary, endpoint, group, decidedBy, loggedBy, rules: new StreamedList(rules) });
}
