import { EndpointBandwidth, fromPodLimits, toPodLimits } from "../../state/bandwidth/endpoint-config.ts";
import type { EndpointRecord } from "../../state/kinds/endpoint.ts";
import type { ClusterView, Plan } from "../view/types.ts";
import { notFound } from "./errors.ts";
import { type Changed, changed } from "./plan.ts";
import { parseRequest, refuseUnknownMembers } from "./request.ts";

/** What a client says of one endpoint's bandwidth: a JSON merge patch (RFC 7396) of what has been said so far. */
export interface EndpointLimiting {
  readonly key: string;
  readonly body: unknown;
}

/** Sets, changes or takes away the limits that an admin states for one endpoint. They go with the endpoint. */
export function limitEndpoint(view: ClusterView, { key, body }: EndpointLimiting): Plan<Changed> {
  const endpoint = view.records("endpoint").get(key);
  if (endpoint === undefined) throw notFound("endpoint", key);
  refuseUnknownMembers("endpoint that can be changed", Object.keys(EndpointBandwidth.shape), body);
  const isObject = typeof body === "object" && body !== null && !Array.isArray(body);
  const merged = isObject ? { ...fromPodLimits(endpoint.limits?.rest), ...body } : body;
  const record = limited(endpoint, parseRequest(EndpointBandwidth, merged));
  return changed({ kind: "endpoint", key, record });
}

function limited({ limits: before, ...endpoint }: EndpointRecord, config: EndpointBandwidth): EndpointRecord {
  const { rest: _, ...others } = before ?? {};
  const rest = toPodLimits(config);
  const limits = rest === undefined ? others : { ...others, rest };
  return Object.keys(limits).length === 0 ? endpoint : { ...endpoint, limits };
}
