import { randomUUID } from "node:crypto";
import { METHODS } from "node:http";
import type { ServerOptions } from "node:https";
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { NetError, STORE_FULL, storeFull } from "../../state/errors.ts";
import { deadline } from "../../state/waiting/deadline.ts";
import { REVISION_HEADER } from "../http/headers.ts";
import { errorReply, methodNotAllowed, unknownRoute } from "../http/problem.ts";
import {
  FORWARDED_HEADER,
  type Forwarded,
  type ForwardTls,
  forwardToLeader,
  type LeaderAnswer,
} from "../peers/forward.ts";
import { readRevision } from "../view/store-revision.ts";
import { BODY_LIMIT_BYTES, parseBody } from "./body.ts";
import type { Call, Route } from "./call.ts";
import { auditedClient, clientName } from "./client.ts";
import { restMetrics } from "./metrics.ts";
import { readQuery } from "./query.ts";
import { isAsked } from "./read.ts";
import { ROUTES } from "./routes.ts";
import { Sender } from "./send.ts";
import type { RestServices } from "./services.ts";

export interface RestOptions {
  /** Serve HTTPS; with `requestCert` clients can show who they are. */
  readonly tls?: ServerOptions;
  /** How to reach the leader when netmasters talk TLS. */
  readonly forwardTls?: ForwardTls;
}

/** Longest key in a URL, in characters. */
const MAX_PARAM_LENGTH = 1_024;
/** Deadline of receiving a request, and of answering it, in milliseconds. */
const REQUEST_TIMEOUT_MS = 30_000;
/** A revision that the leader told is waited for here, so that a client reads its own writes. */
const OWN_WRITE_TIMEOUT_MS = 2_000;

/** A read is not held up for longer than this by a leader that does not answer. */
const ASK_LEADER_TIMEOUT_MS = 2_000;

const OPAQUE_TYPE = "application/octet-stream";

/** What Node can receive. HEAD comes with GET; a server sees CONNECT as an event of its own. */
const OTHER_METHODS = METHODS.filter((method) => method !== "HEAD" && method !== "CONNECT");

/** Methods with time series of their own. */
const COUNTED_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

interface App {
  readonly services: RestServices;
  readonly options: RestOptions;
  readonly sender: Sender;
}

/** The REST API of one netmaster: contract §§1–8 and what docs/rest-api.md adds. The caller listens and closes. */
export function createRestApp(services: RestServices, options: RestOptions = {}): FastifyInstance {
  const server = makeServer(options);
  const metrics = restMetrics(services.metrics);
  const app: App = { services, options, sender: new Sender(services, metrics) };
  acceptAnyContentType(server);
  for (const route of ROUTES) {
    server.route({
      method: route.method,
      url: route.path,
      handler: (request, reply) => answer(app, route, request, reply),
    });
  }
  refuseOtherMethods(server);
  server.setNotFoundHandler((request) => {
    throw unknownRoute(pathOf(request));
  });
  server.setErrorHandler((error, request, reply) => sendError(app, error, request, reply));
  server.addHook("onResponse", async (request, reply) => {
    const route = request.routeOptions.url ?? "unknown";
    if (request.query === null || Reflect.get(Object(request.query), "watch") !== undefined) return;
    const method = COUNTED_METHODS.includes(request.method) ? request.method : "other";
    metrics.observe({ method, route, status: reply.statusCode, seconds: reply.elapsedTime / 1_000 });
  });
  server.addHook("preClose", async () => app.sender.close());
  return server;
}

function makeServer({ tls }: RestOptions): FastifyInstance {
  const server = Fastify({
    logger: false,
    bodyLimit: BODY_LIMIT_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    forceCloseConnections: true,
    genReqId: () => randomUUID(),
    routerOptions: { ignoreTrailingSlash: true, ignoreDuplicateSlashes: true, maxParamLength: MAX_PARAM_LENGTH },
    frameworkErrors: (error, request, reply) => {
      writeError(reply, error, request);
    },
    ...(tls === undefined ? {} : { https: tls }),
  });
  // Fastify's type differs with HTTPS in the type of the raw socket only, which nothing here uses.
  return server as unknown as FastifyInstance;
}

/** Model routes do not look at the content type (contract §1): bodies come as bytes. */
function acceptAnyContentType(server: FastifyInstance): void {
  server.removeAllContentTypeParsers();
  server.addHook("onRequest", async ({ headers }) => {
    // Fastify answers 415 to a content type that is malformed.
    if (headers["content-type"] !== undefined && !isJson(headers["content-type"]))
      headers["content-type"] = OPAQUE_TYPE;
  });
  server.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => done(null, body));
}

function refuseOtherMethods(server: FastifyInstance): void {
  for (const method of OTHER_METHODS) if (!server.supportedMethods.includes(method)) server.addHttpMethod(method);
  for (const url of new Set(ROUTES.map(({ path }) => path))) {
    const offered = ROUTES.filter(({ path }) => path === url).map(({ method }) => method);
    const method = OTHER_METHODS.filter((name) => !offered.some((one) => one === name));
    server.route({
      method,
      url,
      handler: (request, reply) => {
        void reply.header("allow", offered.join(", "));
        throw methodNotAllowed(request.method, offered);
      },
    });
  }
}

async function answer(app: App, route: Route, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  if (route.needsJson === true && !isJson(request.headers["content-type"])) throw unknownRoute(pathOf(request));
  if (route.needsView !== false) refuseBeforeFirstView(app.services);
  const call = callOf(app, route, request);
  const isLocal = route.isWrite !== true || app.services.leader().isLeader || isAsked(call, "dryRun");
  if (!isLocal) return forward(app, request, reply);
  const informed = route.prefersLeader === true ? await askLeader(app, request) : undefined;
  if (informed !== undefined) return reply.code(informed.status).headers(informed.headers).send(informed.body);
  return app.sender.send(await route.handle(call), request, reply);
}

/** Before the first view is complete nothing is known, which must not look like nothing being there. */
function refuseBeforeFirstView(services: RestServices): void {
  if (services.view().revision > 0n) return;
  const message = "This netmaster has not read the store yet; nothing was changed, try again shortly";
  throw new NetError("UNAVAILABLE", message, { reason: "starting" });
}

function isJson(contentType: string | undefined): boolean {
  return contentType !== undefined && /^application\/json *(; *charset=utf-8 *)?$/i.test(contentType);
}

function callOf({ services }: App, route: Route, request: FastifyRequest): Call {
  return {
    services,
    method: request.method as Call["method"],
    path: pathOf(request),
    params: request.params as Readonly<Record<string, string>>,
    query: readQuery(request.query, route),
    header: (name) => [request.headers[name]].flat().join(", ") || undefined,
    body: () => parseBody(bytesOf(request)),
    signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    who: auditedClient(request.raw, services.leader().proofKey),
  };
}

function bytesOf({ body }: FastifyRequest): Buffer | undefined {
  return Buffer.isBuffer(body) ? body : undefined;
}

function pathOf({ url }: FastifyRequest): string {
  return url.split("?", 1)[0] ?? "";
}

async function forward(app: App, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const { services, options } = app;
  const { leaderUrl } = services.leader();
  if (leaderUrl === undefined || request.headers[FORWARDED_HEADER] !== undefined) {
    if (services.conditions().some(({ name }) => name === STORE_FULL))
      throw storeFull("make the change without a leader");
    throw new NetError("UNAVAILABLE", "No netmaster leads now; nothing was changed, try again shortly", {
      reason: "no-leader",
    });
  }
  const answered = await forwardToLeader(leaderUrl, forwardedOf(app, request), options.forwardTls);
  await showOwnWrite(services, answered.headers[REVISION_HEADER]);
  return reply.code(answered.status).headers(answered.headers).send(answered.body);
}

/** A read of what the leader knows better; undefined when this netmaster must answer itself. */
async function askLeader(app: App, request: FastifyRequest): Promise<LeaderAnswer | undefined> {
  const { isLeader, leaderUrl } = app.services.leader();
  if (isLeader || leaderUrl === undefined || request.headers[FORWARDED_HEADER] !== undefined) return undefined;
  // The leader may be on its way out, or its answer too long to carry: what this netmaster knows is still right.
  const forwarded = forwardedOf(app, request);
  using limit = deadline(ASK_LEADER_TIMEOUT_MS, forwarded.signal);
  const asked = forwardToLeader(leaderUrl, { ...forwarded, signal: limit.signal }, app.options.forwardTls);
  const answered = await asked.catch(() => undefined);
  return answered === undefined || answered.status >= 500 ? undefined : answered;
}

function forwardedOf({ services }: App, request: FastifyRequest): Forwarded {
  const { self, term, proofKey } = services.leader();
  const { method, url, headers } = request.raw;
  return {
    method: method ?? "",
    url: url ?? "",
    headers,
    body: bytesOf(request),
    self,
    client: clientName(request.raw),
    proofKey,
    ...(term === undefined ? {} : { signal: term }),
  };
}

/** Waits a moment until this netmaster shows what its client wrote; if it does not, the answer is still right. */
async function showOwnWrite(services: RestServices, text: string | string[] | undefined): Promise<void> {
  const told = typeof text === "string" ? readRevision(text) : undefined;
  if (told === undefined) return;
  const shown = services.waitForRevision(told.revision, { timeoutMs: OWN_WRITE_TIMEOUT_MS, epoch: told.epoch });
  await shown.catch(() => undefined);
}

function sendError({ services }: App, thrown: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const error = translated(thrown);
  const sent = writeError(reply, error, request);
  const isDefect = !(error instanceof NetError) || ["INTERNAL", "PROTOCOL", "REJECTED"].includes(error.code);
  if (isDefect)
    services.log.error({ err: thrown, id: request.id, method: request.method, url: request.url }, "request failed");
  return sent;
}

function writeError(reply: FastifyReply, thrown: unknown, request: FastifyRequest): FastifyReply {
  const hasAccept = request.headers.accept !== undefined;
  const { status, headers, body } = errorReply(translated(thrown), {
    hasAccept,
    path: pathOf(request),
    requestId: request.id,
  });
  return reply.code(status).headers(headers).send(Buffer.from(body));
}

/** What Fastify itself refuses, in our words. */
function translated(thrown: unknown): unknown {
  if (thrown instanceof NetError || !(thrown instanceof Error)) return thrown;
  const { code, statusCode } = thrown as Error & { readonly code?: string; readonly statusCode?: number };
  if (code === "FST_ERR_CTP_BODY_TOO_LARGE") {
    const message = `The body is larger than ${BODY_LIMIT_BYTES} bytes`;
    return new NetError("INVALID", message, { reason: "body-too-large", cause: thrown });
  }
  const isClients = statusCode !== undefined && statusCode >= 400 && statusCode < 500;
  return isClients ? new NetError("INVALID", thrown.message, { reason: "malformed-request", cause: thrown }) : thrown;
}
