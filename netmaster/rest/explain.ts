import { NetError } from "../../state/errors.ts";
import { answer, renderAnswer } from "../explain/answer.ts";
import {
  type ParameterName,
  parseQuestion,
  QUESTION_PARAMETERS,
  type Question,
  refuseUnknown,
} from "../explain/question.ts";
import { viewWorld } from "../explain/world.ts";
import { StreamedObject } from "../inspect/streamed.ts";
import { invalid } from "../intents/errors.ts";
import type { FrozenView } from "../view/cluster-view.ts";
import { API_PREFIX } from "./api-prefix.ts";
import { type Answer, type Call, json, type Route } from "./call.ts";
import { EXPLAIN_OPERATIONS } from "./openapi/explain-operations.ts";
import { PROPOSAL_MEMBERS, parseProposal, proposedView } from "./proposal.ts";
import { revisionHeaders } from "./read.ts";
import { runInSlices } from "./slices.ts";

const PARAMETERS = Object.keys(QUESTION_PARAMETERS) as ParameterName[];

/** Would a packet pass, and why? Of the cluster as it is, or as it would be. Nothing is written, so any netmaster answers. */
export const EXPLAIN_ROUTES: readonly Route[] = [
  {
    method: "GET",
    path: `${API_PREFIX}/explain`,
    handle: explainStored,
    operation: EXPLAIN_OPERATIONS.stored,
    parameters: PARAMETERS,
    isOurs: true,
  },
  {
    method: "POST",
    path: `${API_PREFIX}/explain`,
    handle: explainProposed,
    operation: EXPLAIN_OPERATIONS.proposed,
    parameters: PARAMETERS,
    isOurs: true,
  },
];

async function explainStored(call: Call): Promise<Answer> {
  const view = call.services.view();
  const answered = await ask(call, view, parseQuestion(call.query));
  return json(renderAnswer(answered), revisionHeaders(view));
}

async function explainProposed(call: Call): Promise<Answer> {
  const body = objectBody(call.body());
  refuseUnknown(body, [...PARAMETERS, ...PROPOSAL_MEMBERS]);
  const twice = PARAMETERS.find((name) => Object.hasOwn(body, name) && Object.hasOwn(call.query, name));
  if (twice !== undefined) throw invalid(twice, "is given in the query and in the body");
  const question = parseQuestion({ ...call.query, ...body });
  const view = call.services.view();
  const proposed = await runInSlices(proposedView(view, parseProposal(body)));
  const answered = renderAnswer(await ask(call, proposed, question));
  const stored = await storedVerdict(call, view, question);
  return json(new StreamedObject({ ...answered.members, stored }), revisionHeaders(view));
}

function ask({ services }: Call, view: FrozenView, question: Question) {
  const world = viewWorld({ view, unreadable: services.unreadable() });
  return runInSlices(answer(view, world, question));
}

/** What is so without the proposal; undefined when what is asked for does not exist without it. */
async function storedVerdict(call: Call, view: FrozenView, question: Question) {
  try {
    const { allowed, summary } = await ask(call, view, question);
    return { allowed, summary };
  } catch (error) {
    if (error instanceof NetError && ["INVALID", "NOT_FOUND", "CONFLICT"].includes(error.code)) return undefined;
    throw error;
  }
}

function objectBody(body: unknown): Readonly<Record<string, unknown>> {
  if (typeof body === "object" && body !== null && !Array.isArray(body)) return { ...body };
  throw new NetError("INVALID", "The body must be a JSON object", { reason: "malformed-body" });
}
