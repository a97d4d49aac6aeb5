import { ABOUT_ROUTES } from "./about.ts";
import { API_PREFIX } from "./api-prefix.ts";
import { type Call, json, type Route } from "./call.ts";
import type { Collection } from "./collection.ts";
import { COLLECTIONS, LATER_COLLECTIONS } from "./collections.ts";
import { ENDPOINT_LIMIT_ROUTES } from "./endpoint-limits.ts";
import { EXPLAIN_ROUTES } from "./explain.ts";
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
const LIST_PARAMETERS: readonly QueryParameter[] = ["limit", "continue", ...WATCH_PARAMETERS];

function collectionRoutes(collection: Collection): readonly Route[] {
  const { name, writes, remove } = collection;
  const path = `${API_PREFIX}/${name}/:key`;
  const inspect = name === "endpoints" ? inspectEndpoint : inspectHandler(collection);
  const routes: Route[] = [
    { method: "GET", path: `${API_PREFIX}/${name}`, handle: listHandler(collection), parameters: LIST_PARAMETERS },
    { method: "GET", path, handle: getHandler(collection), parameters: WATCH_PARAMETERS },
    { method: "GET", path: `${API_PREFIX}/inspect/${name}/:key`, handle: inspect, prefersLeader: true },
  ];
  if (writes !== undefined) {
    const upsert = upsertHandler(collection);
    routes.push(
      { method: "POST", path, handle: upsert, ...WRITE },
      { method: "PUT", path, handle: upsert, ...WRITE },
      { method: "PATCH", path, handle: patchHandler(collection), ...WRITE },
    );
  }
  if (remove !== undefined) routes.push({ method: "DELETE", path, handle: deleteHandler(collection), ...WRITE });
  return routes;
}

function laterRoutes(name: string): readonly Route[] {
  const path = `${API_PREFIX}/${name}/:key`;
  const handle = refuseLater(name);
  return [
    { method: "GET", path: `${API_PREFIX}/${name}`, handle: emptyList, parameters: LIST_PARAMETERS },
    { method: "GET", path, handle: missingLater(name) },
    { method: "GET", path: `${API_PREFIX}/inspect/${name}/:key`, handle: missingLater(name) },
    { method: "POST", path, handle },
    { method: "PUT", path, handle },
    { method: "PATCH", path, handle },
    { method: "DELETE", path, handle: missingLater(name) },
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
  { method: "GET", path: `${API_PREFIX}/openapi.json`, handle: openApi, needsView: false },
];

function openApi({ services }: Call) {
  return json(openApiDocument(services.build.version));
}
