import type { CallFacts, CniHandler } from "./handler.ts";
import type { NetnsCheck } from "./netns.ts";
import type { AddRequest, CniRequest, DelRequest } from "./request.ts";
import { isNoDns, mergeResults, renderResult } from "./result.ts";
import type { Slots, Turns } from "./turns.ts";
import { CNI_VERSIONS } from "./versions.ts";

/** How long an ADD whose answer nobody receives may take to be undone. */
const UNDO_TIMEOUT_MS = 30_000;

export interface Dispatch {
  readonly handler: CniHandler;
  readonly checkNetns: NetnsCheck;
  readonly turns: Turns;
  readonly slots: Slots;
}

export interface CallContext {
  readonly signal: AbortSignal;
  readonly note: (facts: CallFacts) => void;
  /** True when nobody would receive an answer. */
  isClientGone(): Promise<boolean>;
}

/** Waits for its turn and a slot, lets the handler work, and returns what goes to stdout. */
export function dispatch(
  request: CniRequest,
  { turns, slots, ...deps }: Dispatch,
  context: CallContext,
): Promise<string> {
  const { signal } = context;
  return turns.run(turnOf(request), signal, () => slots.run(signal, () => perform(request, deps, context)));
}

/** GC and the rest wait only for their like: the runtime never runs GC beside its own ADD or DEL. */
function turnOf(request: CniRequest): string {
  switch (request.command) {
    case "ADD":
    case "DEL":
    case "CHECK":
      return `attachment ${request.containerId} ${request.ifName}`;
    case "GC":
      return `gc ${request.configName}`;
    case "STATUS":
    case "VERSION":
      return request.command;
  }
}

type Performer = Pick<Dispatch, "handler" | "checkNetns">;

async function perform(request: CniRequest, { handler, checkNetns }: Performer, context: CallContext): Promise<string> {
  const { signal } = context;
  switch (request.command) {
    case "ADD":
      await checkNetns(request.netns, request.mayBeOwnNetns);
      return await add(request, handler, context);
    case "CHECK":
      await checkNetns(request.netns, request.mayBeOwnNetns);
      await handler.check(request, signal);
      return "";
    case "DEL":
      await handler.del(request, signal, context.note);
      return "";
    case "GC":
      await handler.gc(request, signal);
      return "";
    case "STATUS":
      await handler.status(request, signal);
      return "";
    case "VERSION":
      return document({ cniVersion: request.cniVersion, supportedVersions: CNI_VERSIONS });
  }
}

/** An attachment whose result nobody receives would never be deleted by who asked for it: it is undone here. */
async function add(request: AddRequest, handler: CniHandler, context: CallContext): Promise<string> {
  const { signal, note, isClientGone } = context;
  const own = await handler.add(request, signal);
  note({ addresses: own.ips.map(({ address }) => address) });
  if (signal.aborted || (await isClientGone())) {
    await handler.del(undoOf(request), AbortSignal.timeout(UNDO_TIMEOUT_MS));
    signal.throwIfAborted();
  }
  const dns = isNoDns(own.dns) ? (request.dns ?? own.dns) : own.dns;
  return document(renderResult(mergeResults(request.prevResult, { ...own, dns }), request.cniVersion));
}

function undoOf(request: AddRequest): DelRequest {
  const { cniVersion, configName, containerId, ifName, netns, pod } = request;
  return { command: "DEL", cniVersion, configName, containerId, ifName, netns, pod };
}

function document(value: object): string {
  return `${JSON.stringify(value)}\n`;
}
