import { NetError } from "../../state/errors.ts";
import { CONTINUE_HEADER, REVISION_HEADER } from "../http/headers.ts";
import { findEndpoint } from "../inspect/endpoint.ts";
import { inspectedEndpoint } from "../inspect/inspected.ts";
import { type Rendered, StreamedList, StreamedObject } from "../inspect/streamed.ts";
import { invalid, notFound, printable } from "../intents/errors.ts";
import { revisionText } from "../view/store-revision.ts";
import type { ClusterView } from "../view/types.ts";
import { type Answer, type Call, type Handler, json } from "./call.ts";
import type { Collection } from "./collection.ts";
import { refuseContradiction } from "./query.ts";
import { runInSlices } from "./slices.ts";
import { watchCollection } from "./watch.ts";

/** Most objects of one page. */
const MAX_LIMIT = 10_000;

export function listHandler(collection: Collection): Handler {
  return (call) => {
    if (isWatch(call)) return watchCollection(call, collection);
    const view = call.services.view();
    const limit = limitOf(call.query);
    const after = call.query.continue === undefined ? undefined : keyOfToken(call.query.continue);
    if (limit !== undefined) return pageOf(view, collection, { limit, after });
    return json(new StreamedList(rendered(view, collection, after)), revisionHeaders(view));
  };
}

function pageOf(
  view: ClusterView,
  collection: Collection,
  { limit, after }: { readonly limit: number; readonly after: string | undefined },
): Answer {
  const keys: string[] = [];
  for (const key of keysAfter(view, collection, after)) {
    if (keys.length === limit)
      return json(page(view, collection, keys), { ...revisionHeaders(view), ...nextHeader(keys) });
    keys.push(key);
  }
  return json(page(view, collection, keys), revisionHeaders(view));
}

function page(view: ClusterView, collection: Collection, keys: readonly string[]): StreamedList {
  return new StreamedList(keys.map((key) => collection.render(view, key)));
}

function* rendered(view: ClusterView, collection: Collection, after: string | undefined): IterableIterator<Rendered> {
  for (const key of keysAfter(view, collection, after)) yield collection.render(view, key);
}

function* keysAfter(view: ClusterView, { kind }: Collection, after: string | undefined): IterableIterator<string> {
  for (const [key] of view.records(kind).entries(after)) if (key !== after) yield key;
}

function nextHeader(keys: readonly string[]): Record<string, string> {
  return { [CONTINUE_HEADER]: Buffer.from(keys.at(-1) ?? "").toString("base64url") };
}

function keyOfToken(token: string): string {
  const key = Buffer.from(token, "base64url").toString();
  if (key === "" || Buffer.from(key).toString("base64url") !== token) {
    throw invalid("continue", `must be the ${CONTINUE_HEADER} header of the page before`);
  }
  return key;
}

function limitOf(query: Call["query"]): number | undefined {
  if (query.limit === undefined) return undefined;
  const limit = /^[0-9]{1,6}$/.test(query.limit) ? Number(query.limit) : 0;
  if (limit < 1 || limit > MAX_LIMIT)
    throw invalid("limit", `must be 1-${MAX_LIMIT}, not "${query.limit.slice(0, 20)}"`);
  return limit;
}

/** A query flag; anything but true and false is refused, so that a slip never does the real thing. */
export function isAsked(call: Call, name: "watch" | "dryRun"): boolean {
  const value = call.query[name];
  if (value === undefined || value === "false") return false;
  if (value === "true" || value === "") return true;
  throw invalid(name, `must be true or false, not "${value.slice(0, 20)}"`);
}

function isWatch(call: Call): boolean {
  const isAskedFor = isAsked(call, "watch");
  refuseContradiction(call.query, isAskedFor);
  return isAskedFor;
}

export function getHandler(collection: Collection): Handler {
  return (call) => {
    const key = call.params.key ?? "";
    if (isWatch(call)) return watchCollection(call, collection, key);
    const view = call.services.view();
    const object = collection.render(view, key);
    if (object === undefined) throw notFound(collection.noun, key);
    return json(object, { ...revisionHeaders(view), ...etagHeader(view, collection, key) });
  };
}

export function revisionHeaders(view: ClusterView, revision = view.revision): Record<string, string> {
  return { [REVISION_HEADER]: revisionText(view, revision) };
}

/** The revision of the object's own fields; its links and `Oper` are other objects' business. */
function etagHeader(view: ClusterView, { kind }: Collection, key: string): Record<string, string> {
  const revision = view.modRevision(kind, key);
  return revision === undefined ? {} : { etag: etagOf(view, revision) };
}

export function etagOf(view: ClusterView, modRevision: bigint): string {
  return `"${revisionText(view, modRevision)}"`;
}

export function inspectHandler(collection: Collection): Handler {
  return ({ services, params }) => {
    const view = services.view();
    const key = params.key ?? "";
    const env = { clusterMode: services.clusterMode, ...services.reports };
    const object = collection.inspect(view, key, env);
    if (object === undefined) throw notFound(collection.noun, key);
    return json(object, revisionHeaders(view));
  };
}

/** Finds endpoints by id, container or name (contract §7). */
export async function inspectEndpoint({ services, params }: Call): Promise<Answer> {
  const view = services.view();
  const text = params.key ?? "";
  const endpoint = await runInSlices(findEndpoint(view, text));
  const Oper = inspectedEndpoint(view, endpoint, { text, reports: services.reports });
  return json(new StreamedObject({ Oper }), revisionHeaders(view));
}

export function emptyList({ services }: Call): Answer {
  return json([], revisionHeaders(services.view()));
}

/** An object of a collection that this release does not have. */
export function missingLater(collectionName: string): Handler {
  return ({ params }) => {
    throw new NetError("NOT_FOUND", `${printable(params.key ?? "")} does not exist: ${notSupported(collectionName)}`, {
      reason: "not-found",
    });
  };
}

export function refuseLater(collectionName: string): Handler {
  return () => {
    throw new NetError("UNSUPPORTED", notSupported(collectionName), { reason: "unsupported" });
  };
}

function notSupported(collectionName: string): string {
  return `${collectionName} are not supported by this release`;
}
