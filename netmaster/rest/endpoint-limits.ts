import { EndpointBandwidth } from "../../state/bandwidth/endpoint-config.ts";
import { NetError } from "../../state/errors.ts";
import { limitEndpoint } from "../intents/endpoint-limits.ts";
import { API_PREFIX } from "./api-prefix.ts";
import type { Route } from "./call.ts";
import type { Collection } from "./collection.ts";
import { COLLECTIONS } from "./collections.ts";
import { patchHandler } from "./write.ts";

/** Endpoints belong to their nodes; only their limits are an admin's to change. */
function limitedEndpoints(): Collection {
  const endpoints = COLLECTIONS.find(({ name }) => name === "endpoints");
  if (endpoints === undefined) throw new NetError("INTERNAL", "There is no collection of endpoints");
  return { ...endpoints, writes: { schema: EndpointBandwidth, keyOf: refuse, upsert: limitEndpoint, remove: refuse } };
}

/** Their keys are not made from what an admin says, and they are not his to delete. */
function refuse(): never {
  throw new NetError("UNSUPPORTED", "endpoints belong to their nodes", { reason: "unsupported" });
}

export const ENDPOINT_LIMIT_ROUTES: readonly Route[] = [
  { method: "PATCH", path: `${API_PREFIX}/endpoints/:key`, handle: patchHandler(limitedEndpoints()), isWrite: true },
];
