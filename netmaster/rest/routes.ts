import { ABOUT_ROUTES } from "./about.ts";
import { API_PREFIX } from "./api-prefix.ts";
import { byPod } from "./by-pod.ts";
import { type Call, json, type Route } from "./call.ts";
import type { Collection } from "./collection.ts";
import { COLLECTIONS, LATER_COLLECTIONS } from "./collections.ts";
import { ENDPOINT_LIMIT_ROUTES } from "./endpoint-limits.ts";
import { EXPLAIN_ROUTES } from "./explain.ts";
import { ABOUT_OPERATIONS } from "./openapi/about-operations.ts";
import { collectionOperations, laterOperations } from "./openapi/collection-operations.ts";
import { openApiDocument } from "./openapi.ts";
import { PLUGIN_ROUTES } from "./plugin.ts";
import type { QueryParameter } from "./query.ts";
import {
  emptyList,
  getHandler,
  inspectEndpoint,
  inspectHandler,
  listHandler,
  missingLater,
  refuseLater,
} from "./read.ts";
import { deleteHandler, patchHandler, upsertHandler, WRITE } from "./write.ts";

const WATCH_PARAMETERS: readonly QueryParameter[] = ["watch", "revision"];
/** v1 showed endpoints only by inspect, and nodes nowhere. */
const OUR_COLLECTIONS: readonly string[] = ["endpoints", "nodes"];
const LIST_PARAMETERS: readonly QueryParameter[] = ["limit", "continue", ...WATCH_PARAMETERS];

function collectionRoutes(collection: Collection): readonly Route[] {
  const { name, writes, remove } = collection;
  const path = `${API_PREFIX}/${name}`;
  const one = `${path}/:key`;
  const inspect = name === "endpoints" ? inspectEndpoint : inspectHandler(collection);
  const says = collectionOperations(collection);
  const list = listHandler(collection);
  const get = name === "endpoints" ? byPod(getHandler(collection)) : getHandler(collection);
  const isOurs = OUR_COLLECTIONS.includes(name);
  const inspection = { handle: inspect, operation: says.inspect, prefersLeader: true, isOurs: name === "nodes" };
  const routes: Route[] = [
    { method: "GET", path, handle: list, operation: says.list, parameters: LIST_PARAMETERS, isOurs },
    { method: "GET", path: one, handle: get, operation: says.get, parameters: WATCH_PARAMETERS, isOurs },
    { method: "GET", path: inspectPath(name), ...inspection },
  ];
  if (writes !== undefined) {
    const upsert = upsertHandler(collection);
    routes.push(
      { method: "POST", path: one, handle: upsert, operation: says.post, ...WRITE },
      { method: "PUT", path: one, handle: upsert, operation: says.put, ...WRITE },
      { method: "PATCH", path: one, handle: patchHandler(collection), operation: says.patch, isOurs: true, ...WRITE },
    );
  }
  if (remove !== undefined)
    routes.push({
      ...{ method: "DELETE", path: one, handle: deleteHandler(collection), operation: says.delete, isOurs },
      ...WRITE,
    });
  return routes;
}

function inspectPath(name: string): string {
  return `${API_PREFIX}/inspect/${name}/:key`;
}

function laterRoutes(name: string): readonly Route[] {
  const path = `${API_PREFIX}/${name}`;
  const one = `${path}/:key`;
  const says = laterOperations(name);
  const [missing, refused] = [missingLater(name), refuseLater(name)];
  return [
    { method: "GET", path, handle: emptyList, operation: says.list, parameters: LIST_PARAMETERS },
    { method: "GET", path: one, handle: missing, operation: says.get },
    { method: "GET", path: inspectPath(name), handle: missing, operation: says.inspect },
    { method: "POST", path: one, handle: refused, operation: says.post },
    { method: "PUT", path: one, handle: refused, operation: says.put },
    { method: "PATCH", path: one, handle: refused, operation: says.patch },
    { method: "DELETE", path: one, handle: missing, operation: says.delete },
  ];
}

/** Every route of the API, as data. */
export const ROUTES: readonly Route[] = [
  ...COLLECTIONS.flatMap(collectionRoutes),
  ...LATER_COLLECTIONS.flatMap(laterRoutes),
  ...EXPLAIN_ROUTES,
  ...ENDPOINT_LIMIT_ROUTES,
  ...PLUGIN_ROUTES,
  ...ABOUT_ROUTES,
  {
    method: "GET",
    path: `${API_PREFIX}/openapi.json`,
    handle: openApi,
    operation: ABOUT_OPERATIONS.openApi,
    isOurs: true,
    needsView: false,
  },
];

function openApi({ services }: Call) {
  return json(openApiDocument(ROUTES, services.build.version));
}
