import type { Socket } from "node:net";
import { isGone, readCall, sendAnswer, watchClient } from "./connection.ts";
import { type Dispatch, dispatch } from "./dispatch.ts";
import { type CniCommand, commandIn } from "./environment.ts";
import { cniErrorOf, cniFault } from "./errors.ts";
import type { CallFacts } from "./handler.ts";
import { type CniFrame, FRAME_LIMITS, type FrameLimits, parseFrame } from "./protocol.ts";
import {
  type AddRequest,
  type CheckRequest,
  type CniRequest,
  type DelRequest,
  parseRequest,
  versionText,
} from "./request.ts";
import { settledOrAborted } from "./turns.ts";
import { DEFAULT_CNI_VERSION } from "./versions.ts";

export interface CniLimits extends FrameLimits {
  /** Calls that the handler works on at once. */
  readonly activeMax: number;
  /** Open connections, those that wait included; more are told to try again. */
  readonly connectionsMax: number;
  /** A client must have sent its call by then. */
  readonly readTimeoutMs: number;
  /** A call is answered by then; less than the shim's 120 s. */
  readonly requestTimeoutMs: number;
  /** A client must have taken its answer by then. */
  readonly writeTimeoutMs: number;
  /** On shutdown, calls may finish for this long; what is left is aborted and gets as long again to be undone. */
  readonly drainTimeoutMs: number;
}

export const CNI_LIMITS: CniLimits = {
  ...FRAME_LIMITS,
  activeMax: 256,
  connectionsMax: 1_024,
  readTimeoutMs: 10_000,
  requestTimeoutMs: 110_000,
  writeTimeoutMs: 5_000,
  drainTimeoutMs: 5_000,
};

/** As much of a pino logger as the server needs. */
export interface CniLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

/** One answered call, for metrics. `command` is "unknown" when it could not be read. */
export interface AnsweredCall {
  readonly command: CniCommand | "unknown";
  /** 0, or the code of the CNI error. */
  readonly cniCode: number;
  readonly durationMs: number;
}

/** What all connections of one server share. */
export interface ServeContext extends Dispatch {
  readonly limits: CniLimits;
  readonly log: CniLog;
  readonly observe: (call: AnsweredCall) => void;
  /** Every open connection. */
  readonly sockets: Set<Socket>;
  /** Those whose call has not come whole; cutting them does no harm. */
  readonly reading: Set<Socket>;
  /** One controller per call in hand. */
  readonly calls: Set<AbortController>;
  /** What a shutdown waits for: connections, and work that goes on after its answer. */
  readonly works: Set<Promise<unknown>>;
}

/** One connection from its first byte to its close; never throws. */
export async function serve(context: ServeContext, socket: Socket): Promise<void> {
  const startMs = performance.now();
  const call: Call = { frame: undefined, request: undefined, facts: {} };
  try {
    const body = await answerTo(context, socket, call);
    if (body === undefined) return cut(socket);
    report(context, call, { cniCode: 0, durationMs: performance.now() - startMs });
    await sendAnswer(socket, { exitStatus: 0, body }, context.limits.writeTimeoutMs);
  } catch (thrown) {
    const error = cniErrorOf(thrown, { cniVersion: versionOf(call), command: commandOf(call) });
    const told = { error: error.msg, ...(error.details === undefined ? {} : { details: error.details }) };
    report(context, call, { cniCode: error.code, durationMs: performance.now() - startMs, ...told });
    await sendAnswer(socket, { exitStatus: 1, body: `${JSON.stringify(error)}\n` }, context.limits.writeTimeoutMs);
  }
}

/** What became known of a call while it was read. */
interface Call {
  frame: CniFrame | undefined;
  request: CniRequest | undefined;
  /** For the log: what was attached or detached. */
  facts: CallFacts;
}

/** The document for stdout, or undefined when the client called for nothing. */
async function answerTo(context: ServeContext, socket: Socket, call: Call): Promise<string | undefined> {
  const { limits } = context;
  if (context.sockets.size > limits.connectionsMax) {
    throw cniFault("try-again", `netplugin has ${limits.connectionsMax} CNI calls in hand; the runtime may try again`);
  }
  context.reading.add(socket);
  const bytes = await readCall(socket, limits, limits.readTimeoutMs).finally(() => context.reading.delete(socket));
  if (bytes === undefined) return undefined;
  call.frame = parseFrame(bytes, limits);
  call.request = parseRequest(call.frame);
  return await work(context, socket, { request: call.request, note: (facts) => Object.assign(call.facts, facts) });
}

interface Work {
  readonly request: CniRequest;
  readonly note: (facts: CallFacts) => void;
}

/** Ends with the work, or at once when the call is aborted; the work then keeps its turn until it has come to rest. */
async function work(context: ServeContext, socket: Socket, { request, note }: Work): Promise<string> {
  const { requestTimeoutMs } = context.limits;
  const controller = new AbortController();
  const { signal } = controller;
  const abort = (message: string): void => controller.abort(cniFault("try-again", `${request.command} ${message}`));
  const timer = setTimeout(
    () => abort(`was not done within ${requestTimeoutMs} ms; the runtime may try again`),
    requestTimeoutMs,
  );
  const watch = endsWithClient(request) ? watchClient(socket, () => abort("was given up by its caller")) : undefined;
  context.calls.add(controller);
  const done = dispatch(request, context, { signal, note, isClientGone: () => isGone(socket) });
  awaitOnShutdown(context, done);
  try {
    return await settledOrAborted(done, signal);
  } finally {
    if (signal.aborted) logWhenSettled(context, request, done);
    clearTimeout(timer);
    watch?.[Symbol.dispose]();
    context.calls.delete(controller);
  }
}

/** What removes something goes on without its caller. */
function endsWithClient(request: CniRequest): boolean {
  return request.command !== "DEL" && request.command !== "GC";
}

function logWhenSettled(context: ServeContext, request: CniRequest, done: Promise<string>): void {
  const log = (outcome: string): void =>
    context.log.warn(fieldsOf(request), `The work of an aborted CNI call has ended: ${outcome}`);
  void done.then(
    () => log("done"),
    (thrown: unknown) => log(thrown instanceof Error ? thrown.message : String(thrown)),
  );
}

function cut(socket: Socket): void {
  socket.destroy();
}

/** A call whose configuration is refused has a command all the same. */
function commandOf({ frame }: Call): AnsweredCall["command"] {
  return (frame && commandIn(frame.env)) ?? "unknown";
}

function versionOf(call: Call): string {
  return call.frame === undefined ? DEFAULT_CNI_VERSION : versionText(call.frame.stdin);
}

/** Quiet for STATUS and VERSION, which runtimes ask every few seconds. */
function report(
  context: ServeContext,
  call: Call,
  outcome: { cniCode: number; durationMs: number; error?: string; details?: string },
): void {
  const { cniCode, durationMs } = outcome;
  const { request, facts } = call;
  const command = commandOf(call);
  context.observe({ command, cniCode, durationMs });
  const rounded = { ...outcome, durationMs: Math.round(durationMs) };
  const fields = { ...(request === undefined ? { command } : fieldsOf(request)), ...facts, ...rounded };
  if (cniCode !== 0) context.log.warn(fields, "CNI call failed");
  else if (request?.command !== "STATUS" && request?.command !== "VERSION") context.log.info(fields, "CNI call done");
}

function fieldsOf(request: CniRequest): object {
  const { command } = request;
  switch (command) {
    case "VERSION":
      return { command };
    case "GC":
    case "STATUS":
      return { command, configName: request.configName };
    case "DEL":
      return { command, ...podFields(request) };
    case "ADD":
    case "CHECK": {
      const { tenantName, networkName, groupName } = request.placement;
      const group = groupName === undefined ? {} : { group: `${tenantName}:${groupName}` };
      return { command, ...podFields(request), network: `${tenantName}:${networkName}`, ...group };
    }
  }
}

function podFields({ pod, configName, containerId, ifName }: AddRequest | CheckRequest | DelRequest): object {
  const { namespace, name } = pod;
  return { ...(name === undefined ? {} : { pod: `${namespace ?? ""}/${name}` }), containerId, ifName, configName };
}

/** Makes a shutdown wait for the work. */
export function awaitOnShutdown(context: ServeContext, work: Promise<unknown>): void {
  context.works.add(work);
  const forget = (): boolean => context.works.delete(work);
  void work.then(forget, forget);
}
