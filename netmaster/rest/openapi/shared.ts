import { LIMIT_SOURCES } from "../../../state/bandwidth/limits.ts";
import { CeilingTraffic, DirectionTraffic } from "../../../state/bandwidth/report.ts";
import { Receipt } from "../../../state/node-api.ts";
import {
  byKey,
  choice,
  count,
  flag,
  list,
  members,
  named,
  replyMembers,
  replySchema,
  type Schema,
  text,
} from "./schema.ts";

const LINK = members({}, { type: text("Kind of the object."), key: text("Its key.") }, "Another object; empty: none.");

const HITS = { packets: count("Packets."), bytes: count("Bytes.") };
const LAST_HIT = { lastHit: text("When the last one was seen, RFC 3339.") };

const LIMIT = {
  rateBitPerSecond: count("Rate in bit/s."),
  burstBits: count("Burst in bits; absent: chosen by the node."),
};
const DIRECTIONS = {
  podIngress: named("Limit", "Of what the pod receives; absent: no limit."),
  podEgress: named("Limit", "Of what the pod sends; absent: no limit."),
};

const ENDPOINT_LIMITS = members(
  {},
  {
    ...DIRECTIONS,
    ceilings: list(named("SharedCeiling"), "Ceilings that the endpoint shares with others."),
    dscp: count("DSCP of what the pod sends; absent: packets stay as they are."),
    egressMode: choice(["police", "shape"], "How sending is limited; absent: the node's choice."),
    netprofileKey: text("Key of the netprofile of its group."),
    strict: flag("Nodes that cannot keep the limits refuse the pod."),
  },
  "What limits an endpoint, and who said so.",
);

const CEILINGS = members(
  {
    nodes: list(
      members(
        { node: text("Name of the node.") },
        {
          notMeasured: text("Why there are no numbers."),
          overSeconds: { type: "number", description: "Seconds over which rates are means." },
          podIngress: named("CeilingTraffic", "What its pods on the node receive."),
          podEgress: named("CeilingTraffic", "What they send."),
          complaint: text("What is not in force as asked for."),
        },
      ),
      "What the nodes with pods of it tell.",
    ),
  },
  DIRECTIONS,
  "What all its pods on one node may receive and send together.",
);

const NODE_STATES = ["enforced", "behind", "failed", "unreachable", "unknown"] as const;

const ENFORCEMENT = members(
  {
    desiredRevision: text("Store revision of the last change of what the object is made of."),
    ...Object.fromEntries(NODE_STATES.map((state) => [state, count(`Nodes in state ${state}.`)])),
    nodes: list(
      members(
        { node: text("Name of the node."), state: choice(NODE_STATES, "How the node stands to the object.") },
        {
          enforcedRevision: text("Store revision that its switch has confirmed."),
          enforcedAt: text("When, RFC 3339."),
          lagRevisions: count("Store revisions that it is behind."),
          lagMs: { type: "integer", description: "For how long it is behind, in milliseconds." },
          failures: byKey({ type: "string" }, "What it cannot enforce: the reason, by object (kind/key)."),
        },
      ),
      "Every node that the object concerns.",
    ),
  },
  {},
  "Which nodes have put the object into their switches.",
);

/** Schemas that several replies are made of. */
export const SHARED_SCHEMAS: Schema = {
  Link: LINK,
  LinkSet: byKey(named("Link"), "Links by key."),
  Hits: members({ ...HITS, ...LAST_HIT }, {}, "What a rule has matched."),
  PolicyHits: members(
    { rules: byKey(named("Hits"), "Each rule that has met packets, by key.") },
    { ...HITS, ...LAST_HIT },
    "The sum of a policy's rules that decide.",
  ),
  Traffic: members(
    { sent: members(HITS, {}, "What was sent."), received: members(HITS, {}, "What was received."), ...LAST_HIT },
    {},
    "What endpoints have sent and received.",
  ),
  Limit: members(
    {},
    { ...LIMIT, source: choice(LIMIT_SOURCES, "Who said so; absent with ceilings.") },
    "Limit of one direction.",
  ),
  SharedCeiling: members(
    { kind: choice(["endpointGroup", "tenant"], "With whom it is shared."), key: text("Key of the group or tenant.") },
    DIRECTIONS,
    "A ceiling over an endpoint.",
  ),
  EndpointLimits: ENDPOINT_LIMITS,
  Ceilings: CEILINGS,
  CeilingTraffic: members({}, replyMembers(CeilingTraffic), "One direction of a ceiling."),
  DirectionTraffic: {
    ...replySchema(DirectionTraffic),
    description: "One direction of an endpoint, as its node has measured it.",
  },
  Enforcement: ENFORCEMENT,
  Receipt: { ...replySchema(Receipt), description: "What a node has put into its switch, and what it could not." },
};
