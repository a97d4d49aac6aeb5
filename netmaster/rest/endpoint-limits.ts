import { NetError } from "../../state/errors.ts";
import { endpointBandwidth } from "../inspect/bandwidth.ts";
import { findEndpoint } from "../inspect/endpoint.ts";
import { limitEndpoint } from "../intents/endpoint-limits.ts";
import { API_PREFIX } from "./api-prefix.ts";
import { byPod } from "./by-pod.ts";
import { type Answer, type Call, json, type Route } from "./call.ts";
import type { Collection } from "./collection.ts";
import { COLLECTIONS } from "./collections.ts";
import { collectionOperations } from "./openapi/collection-operations.ts";
import { BANDWIDTH_OPERATION } from "./openapi/endpoint-operations.ts";
import { ENDPOINT_WRITES } from "./openapi/objects.ts";
import { revisionHeaders } from "./read.ts";
import { runInSlices } from "./slices.ts";
import { patchHandler, WRITE } from "./write.ts";

function endpoints(): Collection {
  const found = COLLECTIONS.find(({ name }) => name === "endpoints");
  if (found === undefined) throw new NetError("INTERNAL", "There is no collection of endpoints");
  return found;
}

/** Endpoints belong to their nodes; only their limits are an admin's to change. */
function limitedEndpoints(): Collection {
  return {
    ...endpoints(),
    writes: { ...ENDPOINT_WRITES, keyOf: refuse, upsert: limitEndpoint, remove: refuse },
  };
}

/** Their keys are not made from what an admin says, and they are not his to delete. */
function refuse(): never {
  throw new NetError("UNSUPPORTED", "endpoints belong to their nodes", { reason: "unsupported" });
}

/** Limits beside what the endpoint's node measured over the last 10 s. */
async function showBandwidth({ services, params }: Call): Promise<Answer> {
  const view = services.view();
  const endpoint = await runInSlices(findEndpoint(view, params.key ?? ""));
  const { key, nodeName } = endpoint;
  const report = services.bandwidthReport(nodeName, key);
  const answer = { key, homingHost: nodeName, limits: endpointBandwidth(view, endpoint) ?? {} };
  if (report === undefined) {
    return json(
      { ...answer, notMeasured: `node ${nodeName} has told nothing of this endpoint lately` },
      revisionHeaders(view),
    );
  }
  const { overMs, podIngress, podEgress, droppedNewConnections, droppedNeighbourMessages, complaint } = report;
  const measured = {
    ...{ overSeconds: overMs / 1_000, podIngress, podEgress },
    ...(droppedNewConnections === undefined ? {} : { droppedNewConnections }),
    ...(droppedNeighbourMessages === undefined ? {} : { droppedNeighbourMessages }),
  };
  return json({ ...answer, measured, ...(complaint === undefined ? {} : { complaint }) }, revisionHeaders(view));
}

/** The leader hears the nodes' heartbeats. */
export const ENDPOINT_LIMIT_ROUTES: readonly Route[] = [
  {
    method: "PATCH",
    path: `${API_PREFIX}/endpoints/:key`,
    handle: byPod(patchHandler(limitedEndpoints())),
    operation: collectionOperations(endpoints()).patch,
    isOurs: true,
    ...WRITE,
  },
  {
    method: "GET",
    path: `${API_PREFIX}/endpoints/:key/bandwidth`,
    handle: showBandwidth,
    operation: BANDWIDTH_OPERATION,
    isOurs: true,
    prefersLeader: true,
  },
];
