import { randomUUID } from "node:crypto";
import { NetError } from "../../state/errors.ts";
import type { Epoch } from "../../state/ids.ts";
import { pause } from "../../state/waiting/pause.ts";
import { invalid } from "../intents/errors.ts";
import { guarded, type Precondition } from "../intents/guard.ts";
import type { Changed, Removed } from "../intents/plan.ts";
import { misspelledMembers } from "../intents/request.ts";
import { readRevision, type StoreRevision } from "../view/store-revision.ts";
import type { ClusterView, Intent, IntentContext } from "../view/types.ts";
import { audit } from "./audit.ts";
import { type Answer, type Call, type Handler, json } from "./call.ts";
import type { Collection, Upsert } from "./collection.ts";
import { etagOf, isAsked, revisionHeaders } from "./read.ts";
import type { Submitted } from "./services.ts";

/** How long a write waits until this netmaster's own view shows it. */
const VISIBLE_TIMEOUT_MS = 5_000;
/** Most steps of one deletion that does not fit into one transaction. */
const MAX_STEPS = 10_000;

/** Nodes gather ends of leases for 100 ms; the rest is for their way. */
const RELEASED_MS = 250;

/** What all writes of one object have in common as routes. */
export const WRITE = { isWrite: true, parameters: ["dryRun"] } as const;

export function upsertHandler(collection: Collection): Handler {
  return (call) => write(call, collection, false);
}

export function patchHandler(collection: Collection): Handler {
  return (call) => write(call, collection, true);
}

async function write(call: Call, collection: Collection, isPatch: boolean): Promise<Answer> {
  const { upsert } = collection.writes ?? refuse(collection);
  const key = call.params.key ?? "";
  const intent = guarded(upsert, { kind: collection.kind, key }, preconditionOf(call));
  const request: Upsert = { key, body: call.body(), isPatch };
  if (isAsked(call, "dryRun")) return dryRun(call, collection, intent, request);
  const { revision } = await audited(call, collection, key, () => call.services.submit(intent, request, call));
  const view = await untilShown(call, revision);
  const warning = isPatch ? {} : ignoredHeader(collection, request.body);
  const object = collection.render(view, key);
  if (object === undefined)
    throw new NetError("CONFLICT", `${key} was stored and deleted by someone else at once`, { reason: "conflict" });
  const etag = etagOf(view, view.modRevision(collection.kind, key) ?? revision);
  return json(object, { etag, ...warning, ...revisionHeaders(view, revision) });
}

/** v1 ignores members that it does not know; of one that is almost a member the client is told. */
function ignoredHeader(collection: Collection, body: unknown): Record<string, string> {
  const names = Object.keys(collection.writes?.schema.shape ?? {});
  const misspelled = misspelledMembers(names, body).filter(({ near }) => !Object.hasOwn(Object(body), near));
  if (misspelled.length === 0) return {};
  const texts = misspelled.map(
    ({ name, near }) => `member ${name} of ${collection.noun} is ignored; did you mean ${near}?`,
  );
  return { warning: texts.map((text) => `299 netmaster ${JSON.stringify(asciiOf(text))}`).join(", ") };
}

function asciiOf(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, "?");
}

/** The first view that shows a write: who wrote it reads it. */
export function untilShown({ services, signal }: Call, revision: bigint): Promise<ClusterView> {
  return services.waitForRevision(revision, { timeoutMs: VISIBLE_TIMEOUT_MS, signal });
}

function refuse(collection: Collection): never {
  throw new NetError("UNSUPPORTED", `${collection.name} cannot be written`, { reason: "unsupported" });
}

/** All checks, no write: answers with what the object would be. Links are shown when it exists already. */
function dryRun(call: Call, collection: Collection, intent: Intent<Upsert, Changed>, request: Upsert): Answer {
  const view = call.services.view();
  const planned = intent(view, request, dryContext());
  const value = collection.preview(view, planned.reply.record);
  const warning = request.isPatch ? {} : ignoredHeader(collection, request.body);
  return json(value, { ...warning, ...revisionHeaders(view) });
}

function dryContext(): IntentContext {
  return { now: new Date().toISOString(), newEpoch: () => randomUUID() as Epoch };
}

export function deleteHandler(collection: Collection): Handler {
  return async (call) => {
    const remove = collection.remove ?? refuse(collection);
    const key = call.params.key ?? "";
    const intent = guarded(remove, { kind: collection.kind, key }, preconditionOf(call));
    if (isAsked(call, "dryRun")) {
      intent(call.services.view(), key, dryContext());
      return json(key);
    }
    const { revision } = await audited(call, collection, key, () =>
      whenReleased(call, () => removeInSteps(call, intent, remove, key)),
    );
    return json(key, revisionHeaders(await untilShown(call, revision), revision));
  };
}

/**
 * A node tells of a pod's end up to 100 ms after the runtime has been answered (netplugin/reconcile/leases): what is refused because of
 * endpoints is tried once more when they may have gone.
 */
async function whenReleased<Reply>(call: Call, remove: () => Promise<Reply>): Promise<Reply> {
  return await remove().catch(async (error: unknown) => {
    if (!isHeldByEndpoints(call, error)) throw error;
    await pause(RELEASED_MS, call.signal);
    return await remove();
  });
}

function isHeldByEndpoints({ services }: Call, error: unknown): boolean {
  if (!(error instanceof NetError) || error.code !== "IN_USE") return false;
  const endpoints = services.view().records("endpoint");
  return error.blockers?.some((key) => endpoints.has(key)) ?? false;
}

/** The first step checks the precondition; an object whose parts fill several transactions goes last. */
async function removeInSteps(
  call: Call,
  first: Intent<string, Removed>,
  next: Intent<string, Removed>,
  key: string,
): Promise<Submitted<Removed>> {
  let step = await call.services.submit(first, key, call);
  for (let count = 1; step.reply.remaining > 0; count += 1) {
    if (count === MAX_STEPS)
      throw new NetError(
        "TIMEOUT",
        `Deleting ${key} took more than ${MAX_STEPS} steps; a part of it has been done, repeat it to delete the rest`,
      );
    step = await call.services.submit(next, key, call);
  }
  return step;
}

async function audited<Reply>(
  call: Call,
  collection: Collection,
  key: string,
  work: () => Promise<Submitted<Reply>>,
): Promise<Submitted<Reply>> {
  return audit(call, `${collection.name}/${key}`, work);
}

function preconditionOf(call: Call): Precondition {
  const ifMatch = call.header("if-match");
  const ifNoneMatch = call.header("if-none-match");
  if (ifNoneMatch !== undefined && ifNoneMatch.trim() !== "*") throw invalid("If-None-Match", "must be *");
  const guard: Precondition = ifNoneMatch === undefined ? {} : { mustBeNew: true };
  return ifMatch === undefined ? guard : { ...guard, ifMatch: ifMatch.trim() === "*" ? "any" : revisionsOf(ifMatch) };
}

function revisionsOf(header: string): readonly StoreRevision[] {
  return header.split(",").map((tag) => {
    const revision = readRevision(/^"(.*)"$/.exec(tag.trim())?.[1] ?? "");
    if (revision === undefined) {
      throw invalid("If-Match", `must be the ETag of a reply, like "42@1-3f9c2a7d" with its quotes`);
    }
    return revision;
  });
}
