import { JSON_TYPE, jsonAnswer, type Operation, TEXT_TYPE } from "./operation.ts";
import { byKey, choice, count, list, members, type Schema, text } from "./schema.ts";

const PLAIN: Operation["answer"] = { [TEXT_TYPE]: { type: "string" } };

const INFO = members(
  {
    "local-ip": text("Address of this netmaster."),
    "leader-ip": text("Address of the leader; empty: there is none."),
    "current-state": choice(["Leader", "Follower"], "Whether this netmaster leads."),
    "netplugin-nodes": list({ type: "string" }, "Names of the nodes."),
    "netmaster-nodes": list({ type: "string" }, "Addresses of all netmasters."),
  },
  {
    conditions: list(
      members(
        { name: text("What it is about."), message: text("Cause and next step.") },
        { key: text("Store key that it is about.") },
      ),
      "What is wrong although this netmaster serves.",
    ),
  },
);

const OFNET = members(
  {
    MyAddr: text("Host of this netmaster."),
    MyPort: count("Its port."),
    AgentDb: byKey(members({ HostAddr: text("Tunnel address."), State: text("State.") }, {}), "Nodes by name."),
    EndpointDb: byKey(count("Endpoints."), "Endpoints by node."),
    PolicyDb: members({ policies: count("Policies."), rules: count("Rules.") }, {}, "Counts of objects."),
    AgentStats: { type: "object", description: "Always empty.", maxProperties: 0 },
  },
  {},
);

const VERSION: Schema = members(
  { GitCommit: text("Commit."), Version: text("Release."), BuildTime: text("When it was built.") },
  {},
);

const NETMASTER = "netmaster" as const;

export const ABOUT_OPERATIONS = {
  version: {
    ...{ id: "getVersion", tag: NETMASTER, summary: "Show the release" },
    description: "Of the netmaster that answers.",
    answer: jsonAnswer(VERSION),
  },
  info: {
    ...{ id: "getInfo", tag: NETMASTER, summary: "Show who leads, and which nodes there are" },
    description: "As the netmaster that answers knows it, with what is wrong although it serves.",
    answer: jsonAnswer(INFO),
  },
  services: {
    ...{ id: "listServices", tag: NETMASTER, summary: "List version 1's services: always empty" },
    description: "This release has no services; the route is there for clients of version 1.",
    answer: jsonAnswer({ ...list({}, "Always empty."), maxItems: 0 }),
  },
  service: {
    ...{ id: "getService", tag: NETMASTER, summary: "Show one of version 1's services: always null" },
    description: "This release has no services; the route is there for clients of version 1.",
    answer: jsonAnswer({ type: "null" }),
  },
  ofnet: {
    ...{ id: "getOfnet", tag: "debug", summary: "Show nodes and counts of objects" },
    description: "In the form of version 1.",
    answer: jsonAnswer(OFNET),
  },
  healthz: {
    ...{ id: "getHealth", tag: NETMASTER, summary: "Answer ok while the process lives" },
    description: "Says nothing of the store or the leader; readyz does.",
    answer: PLAIN,
  },
  readyz: {
    ...{ id: "getReadiness", tag: NETMASTER, summary: "Show whether this netmaster is ready, and why not" },
    description:
      "The first line is the state: ready or degraded with status 200, starting or not-ready with 503. A line for each reason follows.",
    answer: PLAIN,
    others: { 503: { description: "starting or not-ready; the lines that follow say why.", mediaType: TEXT_TYPE } },
  },
  metrics: {
    ...{ id: "getMetrics", tag: NETMASTER, summary: "Show metrics in Prometheus' format" },
    description: "Those of the netmaster that answers; docs/reference/metrics.md lists them.",
    answer: PLAIN,
  },
  openApi: {
    ...{ id: "getOpenApi", tag: NETMASTER, summary: "Show this document" },
    description: "OpenAPI 3.1, made from the schemas that read the requests.",
    answer: { [JSON_TYPE]: { type: "object", additionalProperties: {} } },
  },
} satisfies Readonly<Record<string, Operation>>;
