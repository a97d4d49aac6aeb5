import { shownState } from "../../state/kinds/node.ts";
import { readinessText } from "../http/door.ts";
import { type Answer, type Call, json, type Route } from "./call.ts";
import { ABOUT_OPERATIONS } from "./openapi/about-operations.ts";
import { runInSlices } from "./slices.ts";

/** Endpoints of contract §8 and the probes, that tell of this netmaster itself. */
export const ABOUT_ROUTES: readonly Route[] = [
  { method: "GET", path: "/version", handle: version, operation: ABOUT_OPERATIONS.version, needsView: false },
  { method: "GET", path: "/info", handle: info, operation: ABOUT_OPERATIONS.info, needsView: false },
  { method: "GET", path: "/services", handle: () => json([]), operation: ABOUT_OPERATIONS.services },
  { method: "GET", path: "/service/:key", handle: () => json(null), operation: ABOUT_OPERATIONS.service },
  { method: "GET", path: "/debug/ofnet", handle: ofnet, operation: ABOUT_OPERATIONS.ofnet },
  {
    method: "GET",
    path: "/healthz",
    handle: () => text("ok\n"),
    operation: ABOUT_OPERATIONS.healthz,
    needsView: false,
  },
  { method: "GET", path: "/readyz", handle: readyz, operation: ABOUT_OPERATIONS.readyz, needsView: false },
  { method: "GET", path: "/metrics", handle: metrics, operation: ABOUT_OPERATIONS.metrics, needsView: false },
];

function text(body: string, status = 200, contentType = "text/plain; charset=utf-8"): Answer {
  return { is: "text", text: body, contentType, status };
}

function version({ services }: Call): Answer {
  const { gitCommit, version: release, buildTime } = services.build;
  return json({ GitCommit: gitCommit, Version: release, BuildTime: buildTime });
}

function info({ services }: Call): Answer {
  const { isLeader, self, leaderUrl, netmasters } = services.leader();
  const conditions = services.conditions();
  return json({
    "local-ip": self,
    "leader-ip": leaderUrl === undefined ? "" : hostOf(leaderUrl),
    "current-state": isLeader ? "Leader" : "Follower",
    "netplugin-nodes": Array.from(services.view().records("node").entries(), ([name]) => name),
    "netmaster-nodes": netmasters,
    ...(conditions.length === 0 ? {} : { conditions: conditions.map((condition) => ({ ...condition })) }),
  });
}

function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : url;
}

/** Diagnostic; this release has no ofnet, so it shows what there is of the same purpose. */
async function ofnet({ services }: Call): Promise<Answer> {
  const { self } = services.leader();
  const view = services.view();
  const [, host = self, port = "0"] = /^(.*):([0-9]+)$/.exec(self) ?? [];
  const agents: Record<string, object> = {};
  for (const [name, node] of view.records("node").entries()) {
    agents[name] = { HostAddr: node.registration.vtepIp ?? "", State: shownState(node).state };
  }
  const endpointCounts = await runInSlices(countEndpoints(services));
  return json({
    MyAddr: host,
    MyPort: Number(port),
    AgentDb: agents,
    EndpointDb: endpointCounts,
    PolicyDb: { policies: view.records("policy").size, rules: view.records("rule").size },
    AgentStats: {},
  });
}

/** Endpoints by node. */
function* countEndpoints(services: Call["services"]): Generator<void, Record<string, number>> {
  const view = services.view();
  const counts: Record<string, number> = {};
  for (const [name] of view.records("node").entries()) {
    counts[name] = view.endpointsOfNode(name).size;
    yield;
  }
  return counts;
}

/** The state, then a line for each reason. */
function readyz({ services }: Call): Answer {
  const readiness = services.readiness();
  const isServing = readiness.state === "ready" || readiness.state === "degraded";
  return text(readinessText(readiness), isServing ? 200 : 503);
}

async function metrics({ services }: Call): Promise<Answer> {
  return text(await services.metrics.metrics(), 200, services.metrics.contentType);
}
