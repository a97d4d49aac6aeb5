import type { ClusterView, KeySet, Plan } from "../view/types.ts";
import { type Reclaimed, reclaimEndpoints } from "./endpoint.ts";
import { invalid, notFound } from "./errors.ts";
import { isPod, namespacedPod } from "./pod-name.ts";
import { scopedKey } from "./references.ts";

/** `DELETE /debug/epcleanup/tenant/{T}/{net|group|ep}/{id}` (contract §8). */
export interface Cleanup {
  readonly tenantName: string;
  readonly what: string;
  readonly id: string;
}

/** Ends leases by force, as many as one transaction takes: the admin says by this that the containers are gone. */
export function cleanUpEndpoints(view: ClusterView, cleanup: Cleanup): Plan<Reclaimed> {
  return reclaimEndpoints(view, endpointsMeant(view, cleanup));
}

function endpointsMeant(view: ClusterView, { tenantName, what, id }: Cleanup): KeySet {
  const key = scopedKey(tenantName, id);
  switch (what) {
    case "net":
      if (!view.records("network").has(key)) throw notFound("network", key);
      return view.endpointsOfNetwork(key);
    case "group":
      if (!view.records("endpointGroup").has(key)) throw notFound("endpoint group", key);
      return view.endpointsOfGroup(key);
    case "ep":
      return endpointsWithId(view, tenantName, id);
    default:
      throw invalid("kind", `must be net, group or ep, not "${what}"`);
  }
}

function endpointsWithId(view: ClusterView, tenantName: string, id: string): KeySet {
  const keys = new Set<string>();
  const pod = namespacedPod(id);
  for (const networkKey of view.networksOfTenant(tenantName)) {
    for (const key of view.endpointsOfNetwork(networkKey)) {
      const endpoint = view.records("endpoint").get(key);
      if (endpoint !== undefined && (endpoint.endpointId === id || isPod(endpoint, pod))) keys.add(key);
    }
  }
  if (keys.size === 0) throw notFound("endpoint", id);
  return keys;
}
