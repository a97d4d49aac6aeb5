import { createServer, type Server, type ServerResponse } from "node:http";
import { NetError } from "../../../state/errors.ts";
import type { Readiness } from "../../../state/readiness.ts";
import { KINDS } from "../../../state/records.ts";
import { countOf } from "../../view/query.ts";
import { conditionsOf } from "../conditions.ts";
import type { Metrics } from "../metrics/metrics.ts";
import type { ToldNode } from "../told-node.ts";
import { inspectBandwidth } from "./bandwidth.ts";
import { inspectEndpoints } from "./endpoints.ts";
import { ownersOfCookie } from "./owner.ts";

export interface InspectOptions {
  readonly host: string;
  readonly port: number;
  readonly metrics: Metrics;
  readonly readiness: () => Readiness;
  /** Undefined until the node's parts are up. */
  readonly node: () => ToldNode | undefined;
}

const REQUEST_TIMEOUT_MS = 10_000;

/** Health, metrics and read-only inspection of this node; on the loopback unless told otherwise. */
export async function startInspectServer(options: InspectOptions): Promise<Server> {
  const server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS }, (request, response) => {
    if (request.method !== "GET" && request.method !== "HEAD") {
      return send(response, 405, { error: "this server is read-only: use GET" });
    }
    const [path = "/", query = ""] = request.url?.split("?", 2) ?? [];
    answer(options, { path, query: new URLSearchParams(query) }, response).catch((error: unknown) =>
      send(response, statusOf(error), { error: error instanceof Error ? error.message : String(error) }),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) =>
      reject(new NetError("CONFLICT", `Cannot listen on ${options.host}:${options.port}: ${cause.message}`, { cause })),
    );
    server.listen(options.port, options.host, resolve);
  });
  server.unref();
  return server;
}

function statusOf(error: unknown): number {
  if (!(error instanceof NetError)) return 500;
  return error.code === "INVALID" ? 400 : error.code === "NOT_FOUND" ? 404 : 500;
}

interface Asked {
  readonly path: string;
  readonly query: URLSearchParams;
}

async function answer(options: InspectOptions, { path, query }: Asked, response: ServerResponse): Promise<void> {
  switch (path) {
    case "/healthz":
      return send(response, 200, { status: "ok" });
    case "/readyz": {
      const { state, reasons, since } = options.readiness();
      const isUsable = state === "ready" || state === "degraded";
      const why = reasons.length === 0 ? {} : { reasons };
      return send(response, isUsable ? 200 : 503, { status: state, ...why, since });
    }
    case "/metrics": {
      const { registry } = options.metrics;
      response.setHeader("content-type", registry.contentType);
      response.end(await registry.metrics());
      return;
    }
    case "/inspect/driver":
      return sendInspection({ ...options, response }, inspectDriver);
    case "/inspect/endpoints":
      return sendInspection({ ...options, response }, (node) => inspectEndpoints(node, query.get("pod")));
    case "/inspect/owner":
      return sendInspection({ ...options, response }, (node) => ownersOfCookie(query.get("cookie"), node.view()));
    case "/inspect/bandwidth":
      return sendInspection({ ...options, response }, inspectBandwidth);
    case "/inspect/connections":
      return sendInspection({ ...options, response }, ({ connections }) => connections.recent());
    case "/inspect/view":
      return sendInspection({ ...options, response }, inspectView);
    default:
      return send(response, 404, {
        error: `there is no ${path}; there are: /healthz /readyz /metrics /inspect/driver /inspect/endpoints /inspect/owner /inspect/bandwidth /inspect/connections /inspect/view`,
      });
  }
}

type Inspection = Pick<InspectOptions, "node" | "readiness"> & { readonly response: ServerResponse };

function sendInspection({ node, readiness, response }: Inspection, inspect: (node: ToldNode) => unknown): void {
  const current = node();
  if (current === undefined) send(response, 503, { reasons: readiness().reasons });
  else send(response, 200, inspect(current));
}

function inspectDriver(node: ToldNode) {
  const { ovs } = node;
  const { reconciler, connections } = node.flows;
  return {
    connected: ovs.connected,
    ovsVersion: ovs.ovsVersion,
    datapathType: ovs.datapathType,
    vtepIp: node.vtep.current(),
    uplinks: [...ovs.uplinks().values()],
    conditions: conditionsOf(node),
    ports: Object.fromEntries(ovs.ports.read()),
    readyPorts: node.readyPorts(),
    networks: Object.fromEntries(
      [...node.drivers].map(([name, each]) => [name, { ...each.capabilities(), fault: each.fault() }]),
    ),
    flowCount: reconciler.flowCount,
    enforcedRevision: String(connections.inForce.revision),
    failures: Object.fromEntries([...connections.failures(), ...reconciler.failures()]),
  };
}

function inspectView(node: ToldNode) {
  const view = node.view();
  return {
    revision: String(view.revision),
    complete: view.complete,
    counts: Object.fromEntries(KINDS.map((kind) => [kind, countOf(view, kind)])),
    quarantined: Object.fromEntries(view.quarantined.entries()),
    waitingForRelease: [...view.released.keys()],
  };
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(`${JSON.stringify(body)}\n`);
}
