import type { Operation } from "./operation.ts";
import { jsonAnswer, jsonBody } from "./operation.ts";
import { QUESTION_REQUIRED, QUESTION_SCHEMAS } from "./parameters.ts";
import { choice, count, flag, list, members, named, type Schema, text } from "./schema.ts";

const PACKET = members(
  {
    network: text("Key of the network that it is sent in."),
    family: choice([4, 6], "Version of IP."),
    source: text("Source address."),
    destination: text("Destination address."),
    protocol: text("Protocol by name."),
  },
  { port: count("Destination port."), icmpType: count("Message type.") },
  "The packet that was judged.",
);

const END = members(
  {
    is: choice(["address", "endpoint", "group"], "What the question named."),
    network: text("Key of its network."),
    address: text("Its address."),
  },
  {
    group: text("Key of the group that was named."),
    endpoint: text("Key of the endpoint that has the address."),
    isAssumed: flag("The group has no endpoint: one that it might get was judged."),
  },
  "One end of the packet.",
);

const NOTE = members(
  {
    rule: text("Key of the rule."),
    says: text("The rule in words."),
    outcome: choice(["decides", "logs", "outranked", "no-match"], "What became of it."),
    why: text("Why."),
  },
  {},
);

const SIDE = members(
  {
    allowed: flag("This side lets the packet pass."),
    summary: text("Why, in words."),
    rules: list(NOTE, "Every rule of the group in that direction, in order of precedence."),
  },
  {
    endpoint: text("Key of the endpoint."),
    group: text("Key of its group."),
    decidedBy: text("Key of the deciding rule."),
    loggedBy: text("Key of the log rule that matches."),
  },
  "What the rules of one end say; absent when nothing connects the ends.",
);

const OTHERS = members(
  {
    pairCount: count("Pairs of endpoints that were judged."),
    allowedCount: count("Pairs of them that may talk."),
    isComplete: flag("false: the groups have more endpoints than were judged."),
    different: list(
      members(
        {
          from: text("Sender."),
          to: text("Receiver."),
          allowed: flag("They may talk."),
          decidedBy: list({ type: "string" }, "Keys of the deciding rules."),
        },
        {},
      ),
      "The first pairs that are not judged like the example.",
    ),
  },
  {},
  "How other endpoints of the groups fare.",
);

const VERDICT = { allowed: flag("The packet passes."), summary: text("Why, in words.") };

/** What explain answers with. */
export const EXPLANATION_SCHEMAS: Schema = {
  ExplainedPacket: PACKET,
  ExplainedEnd: END,
  ExplainedSide: SIDE,
  ExplainedOthers: OTHERS,
  Explanation: members(
    { ...VERDICT, packet: named("ExplainedPacket"), from: named("ExplainedEnd"), to: named("ExplainedEnd") },
    {
      source: named("ExplainedSide"),
      destination: named("ExplainedSide"),
      others: named("ExplainedOthers"),
      stored: members(VERDICT, {}, "The verdict without the proposed objects."),
    },
    "Would the packet pass, and why.",
  ),
};

/** By the name of a member: the kind of its objects. */
const PROPOSED = {
  tenants: "tenant",
  networks: "network",
  netprofiles: "netprofile",
  policys: "policy",
  policies: "policy",
  endpointGroups: "endpointGroup",
  groups: "endpointGroup",
  rules: "rule",
} as const;

function questionBody(): Schema {
  const puts = Object.entries(PROPOSED).map(([name, kind]) => [
    name,
    list(named(kind), "Objects to think of as stored."),
  ]);
  const keys = Object.keys(PROPOSED).map((name) => [name, list({ type: "string" }, "Keys.")]);
  const deletes = members({}, Object.fromEntries(keys), "Keys of objects to think of as deleted.");
  const required = QUESTION_REQUIRED;
  return { type: "object", required, properties: { ...QUESTION_SCHEMAS, ...Object.fromEntries(puts), deletes } };
}

const EXPLAIN = {
  tag: "explain",
  answer: jsonAnswer(named("Explanation")),
  headers: ["contiv-revision"],
} as const;

export const EXPLAIN_OPERATIONS = {
  stored: {
    ...EXPLAIN,
    id: "explain",
    summary: "Would a packet pass, and why",
    description: "Judges the first packet of a connection by the rules as they are stored; replies pass with it.",
    errors: [404, 409],
  },
  proposed: {
    ...EXPLAIN,
    id: "explainProposal",
    summary: "The same, as if the objects of the body were stored",
    description: "At most 1,000 objects. Nothing is stored.",
    query: [],
    body: jsonBody(questionBody()),
    errors: [404, 409, 501],
  },
} satisfies Readonly<Record<string, Operation>>;
