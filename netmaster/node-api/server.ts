import type { IncomingMessage } from "node:http";
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import type { Logger } from "pino";
import type { z } from "zod";
import { asNetError, NetError } from "../../state/errors.ts";
import { soundHeartbeat } from "../../state/heartbeat-parts.ts";
import { NodeRegistration } from "../../state/kinds/node.ts";
import { NodeName } from "../../state/names.ts";
import {
  EndpointOffer,
  EndpointReleases,
  EndpointRequest,
  Heartbeat,
  NODE_API_VERSION,
  NODE_API_VERSION_HEADER,
  type NodeApiError,
  STORE_EPOCH_HEADER,
} from "../../state/node-api.ts";
import { REVISION_HEADER } from "../http/headers.ts";
import { errorReply } from "../http/problem.ts";
import type { LeaderAnswer } from "../peers/forward.ts";
import type { ViewCache } from "../view/cache.ts";
import { revisionText } from "../view/store-revision.ts";
import type { NodeCalls } from "./calls.ts";
import { authorize } from "./identity.ts";
import { responseSink } from "./line-sink.ts";
import type { ScopeHub } from "./scope-hub.ts";

export interface NodeApiOptions {
  readonly cache: ViewCache;
  readonly calls: NodeCalls;
  readonly hub: ScopeHub;
  /** Has the leader do the call. */
  readonly forward: (request: IncomingMessage) => Promise<LeaderAnswer>;
  readonly isLeading: () => boolean;
  readonly version: string;
  readonly log: Logger;
  /** Told of every call but the streams. */
  readonly onCall?: (call: { readonly name: string; readonly status: number; readonly durationMs: number }) => void;
  /** Ends the streams. */
  readonly signal: AbortSignal;
}

/** Longest body of a call, in bytes. */
export const BODY_LIMIT_BYTES = 262_144;

/** The node API's HTTP application; it does not listen by itself. */
export function createNodeApi(options: NodeApiOptions): FastifyInstance {
  const { calls } = options;
  const app: FastifyInstance = Fastify({
    logger: false,
    bodyLimit: BODY_LIMIT_BYTES,
    routerOptions: { maxParamLength: 300 },
  });
  app.setErrorHandler((error, request, reply) => sendError(options, error, request, reply));
  app.setNotFoundHandler((request) => {
    throw new NetError("NOT_FOUND", `The node API has no ${request.method} ${request.url}`, {
      reason: "unknown-route",
    });
  });
  app.addHook("onRequest", (request, reply) => admit(options, request, reply));
  app.addHook("onSend", async (_request, reply) => {
    // A revision that shows what was done, for the replica that forwarded the call.
    const view = options.cache.view();
    if (!reply.hasHeader(REVISION_HEADER)) reply.header(REVISION_HEADER, revisionText(view, view.revision));
  });
  app.addHook("onResponse", async (request, reply) => {
    const name = request.routeOptions.url?.split("/").slice(5).join("/") ?? "unknown";
    if (name !== "watch") options.onCall?.({ name, status: reply.statusCode, durationMs: reply.elapsedTime });
  });
  const base = "/node/v1/nodes/:node";
  app.get(`${base}/watch`, (request, reply) => serveWatch(options, request, reply));
  const post = <S extends z.ZodType>(
    path: string,
    schema: S,
    call: (nodeName: NodeName, body: z.infer<S>) => Promise<unknown>,
  ) => app.post(`${base}${path}`, async (request) => call(nodeNameOf(request), parseBody(schema, request.body)));
  post("/register", NodeRegistration, calls.register);
  app.post(`${base}/heartbeat`, async (request) => calls.heartbeat(nodeNameOf(request), heartbeatOf(request.body)));
  post("/endpoints", EndpointRequest, calls.createEndpoint);
  post("/endpoints/offer", EndpointOffer, calls.takeBackEndpoint);
  post("/endpoints/release", EndpointReleases, calls.releaseEndpoints);
  return app;
}

/** Who may ask what, and where it is done. */
async function admit(options: NodeApiOptions, request: FastifyRequest, reply: FastifyReply): Promise<void> {
  const { cache, forward, isLeading, version } = options;
  reply.header(NODE_API_VERSION_HEADER, `${NODE_API_VERSION} ${version}`);
  if (request.is404) return;
  authorize(request.raw, nodeNameOf(request));
  if (!cache.isSynced()) {
    throw new NetError(
      "UNAVAILABLE",
      "This netmaster has not read the store yet; nothing was changed, try again shortly",
    );
  }
  if (request.method !== "POST" || isLeading()) return;
  const { status, headers, body } = await forward(request.raw);
  await reply.code(status).headers(headers).send(body);
}

function nodeNameOf(request: FastifyRequest): NodeName {
  const result = NodeName.safeParse((request.params as { node?: unknown }).node);
  if (!result.success)
    throw new NetError("INVALID", "The node's name in the path is not a valid name", { field: "node" });
  return result.data;
}

function parseBody<S extends z.ZodType>(schema: S, body: unknown): z.infer<S> {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const field = issue?.path.map(String).join(".") ?? "";
  throw new NetError("INVALID", `${field === "" ? "The body" : field}: ${issue?.message}`, { field });
}

/** One faulty part costs only itself: a node's news of a fault must not be lost with it. */
function heartbeatOf(body: unknown): Heartbeat {
  return soundHeartbeat(body) ?? parseBody(Heartbeat, body);
}

async function serveWatch(options: NodeApiOptions, request: FastifyRequest, reply: FastifyReply): Promise<void> {
  const { hub, log, version } = options;
  const nodeName = nodeNameOf(request);
  reply.hijack();
  const response = reply.raw;
  const closed = new AbortController();
  response.once("close", () => closed.abort());
  response.writeHead(200, {
    "content-type": "application/x-ndjson",
    "cache-control": "no-store",
    [NODE_API_VERSION_HEADER]: `${NODE_API_VERSION} ${version}`,
    [STORE_EPOCH_HEADER]: options.cache.view().epoch,
  });
  request.raw.socket.setNoDelay(true);
  const signal = AbortSignal.any([closed.signal, options.signal]);
  try {
    await hub.serve(nodeName, responseSink(response, signal), signal);
  } catch (error) {
    if (!signal.aborted)
      log.warn(
        { node: nodeName, err: asNetError(error, "serve a watch stream") },
        "A watch stream to a node has ended with an error",
      );
  } finally {
    response.destroy();
  }
}

function sendError({ log }: NodeApiOptions, thrown: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const error = fromFastify(thrown);
  const { status, headers } = errorReply(error, { hasAccept: true, path: request.url, requestId: request.id });
  if (status === 500)
    log.error({ err: error, requestId: request.id, url: request.url }, "A call of the node API failed");
  const { code, message, reason, field } = error;
  const body: NodeApiError = {
    code,
    message,
    ...(reason === undefined ? {} : { reason }),
    ...(field === undefined ? {} : { field }),
  };
  const retryAfter = headers["retry-after"];
  if (retryAfter !== undefined) reply.header("retry-after", retryAfter);
  reply.code(status).send(body);
}

/** Errors of the HTTP layer (malformed JSON, body too large) are the caller's. */
function fromFastify(thrown: unknown): NetError {
  if (thrown instanceof NetError) return thrown;
  const { code, statusCode = 500 } = (thrown ?? {}) as { readonly code?: unknown; readonly statusCode?: number };
  if (code === "FST_ERR_CTP_BODY_TOO_LARGE") {
    const message = `The body is longer than ${BODY_LIMIT_BYTES} bytes`;
    return new NetError("INVALID", message, { reason: "body-too-large", cause: thrown });
  }
  return asNetError(thrown, "read the request", statusCode >= 400 && statusCode < 500 ? "INVALID" : "INTERNAL");
}
