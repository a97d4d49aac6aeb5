import { createServer, type Server, type ServerResponse } from "node:http";
import { NetError } from "../../../state/errors.ts";
import { KINDS } from "../../../state/records.ts";
import type { OpenNodeRuntime } from "../../node.ts";
import { countOf } from "../../view/query.ts";
import { conditionsOf, failuresOf } from "../conditions.ts";
import type { Metrics } from "../metrics/metrics.ts";
import { inspectBandwidth } from "./bandwidth.ts";

export interface InspectOptions {
  readonly host: string;
  readonly port: number;
  readonly metrics: Metrics;
  /** Undefined until the node's parts are up. */
  readonly runtime: () => OpenNodeRuntime | undefined;
}

const REQUEST_TIMEOUT_MS = 10_000;

/** Health, metrics and read-only inspection of this node; on the loopback unless told otherwise. */
export async function startInspectServer(options: InspectOptions): Promise<Server> {
  const server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS }, (request, response) => {
    if (request.method !== "GET" && request.method !== "HEAD") {
      return send(response, 405, { error: "this server is read-only: use GET" });
    }
    answer(options, request.url?.split("?", 1)[0] ?? "/", response).catch((error: unknown) =>
      send(response, 500, { error: error instanceof Error ? error.message : String(error) }),
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

async function answer(options: InspectOptions, path: string, response: ServerResponse): Promise<void> {
  const runtime = options.runtime();
  switch (path) {
    case "/healthz":
      return send(response, 200, { status: "ok" });
    case "/readyz": {
      const reason = runtime === undefined ? "netplugin is starting" : runtime.notReady();
      if (reason !== undefined || runtime === undefined) return send(response, 503, { reason });
      const reasons = failuresOf(conditionsOf(runtime));
      return send(response, 200, reasons.length === 0 ? { status: "ready" } : { status: "degraded", reasons });
    }
    case "/metrics": {
      const { registry } = options.metrics;
      response.setHeader("content-type", registry.contentType);
      response.end(await registry.metrics());
      return;
    }
    case "/inspect/driver":
      return sendInspection(response, runtime, inspectDriver);
    case "/inspect/endpoints":
      return sendInspection(response, runtime, (node) => [...node.attachments().values()]);
    case "/inspect/bandwidth":
      return sendInspection(response, runtime, inspectBandwidth);
    case "/inspect/connections":
      return sendInspection(response, runtime, ({ connections }) => connections.recent());
    case "/inspect/view":
      return sendInspection(response, runtime, inspectView);
    default:
      return send(response, 404, {
        error: `there is no ${path}; there are: /healthz /readyz /metrics /inspect/driver /inspect/endpoints /inspect/bandwidth /inspect/connections /inspect/view`,
      });
  }
}

function sendInspection(
  response: ServerResponse,
  runtime: OpenNodeRuntime | undefined,
  inspect: (runtime: OpenNodeRuntime) => unknown,
): void {
  if (runtime === undefined) send(response, 503, { reason: "netplugin is starting" });
  else send(response, 200, inspect(runtime));
}

function inspectDriver(runtime: OpenNodeRuntime) {
  const { driver, pool } = runtime;
  const { reconciler } = runtime.flows;
  return {
    connected: driver.connected,
    ovsVersion: driver.ovsVersion,
    datapathType: driver.datapathType,
    vtepIp: runtime.vtepIp(),
    uplinks: [...driver.uplinks().values()],
    conditions: conditionsOf(runtime),
    ports: Object.fromEntries(driver.ports.read()),
    readyPorts: pool.size,
    flowCount: reconciler.flowCount,
    enforcedRevision: String(reconciler.enforcedRevision),
    failures: Object.fromEntries(reconciler.failures()),
  };
}

function inspectView(runtime: OpenNodeRuntime) {
  const view = runtime.view();
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
