import type { AppProfile } from "../../state/kinds/app-profile.ts";
import type { ClusterView, Plan } from "../view/types.ts";
import { notFound } from "./errors.ts";
import { type Changed, changed, type Removed, removed } from "./plan.ts";
import { requireGroup, requireTenant, scopedKey } from "./references.ts";

/** Creates or replaces an application profile (contract §6.10). */
export function upsertAppProfile(view: ClusterView, config: AppProfile): Plan<Changed> {
  const key = scopedKey(config.tenantName, config.appProfileName);
  requireTenant(view, config.tenantName);
  for (const name of config.endpointGroups) requireGroup(view, scopedKey(config.tenantName, name), "endpointGroups");
  const endpointGroups = [...new Set(config.endpointGroups)];
  return changed({ kind: "appProfile", key, record: { key, config: { ...config, endpointGroups } } });
}

/** Always allowed: the groups are free again. */
export function deleteAppProfile(view: ClusterView, key: string): Plan<Removed> {
  if (!view.records("appProfile").has(key)) throw notFound("app profile", key);
  return removed("appProfile", key);
}
