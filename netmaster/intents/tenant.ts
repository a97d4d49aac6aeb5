import type { TenantId } from "../../state/ids.ts";
import { numberClaimKey } from "../../state/keys.ts";
import type { Tenant } from "../../state/kinds/tenant.ts";
import type { ClusterView, Plan } from "../view/types.ts";
import { immutable, notFound, refuseInUse } from "./errors.ts";
import { nextId } from "./ids.ts";
import { type Changed, changed, claimOf, type Removed, removed } from "./plan.ts";

/** Creates a tenant; an update is always refused (contract §6.1), but for a patch of its ceilings. */
export function upsertTenant(view: ClusterView, config: Tenant): Plan<Changed> {
  const key = config.tenantName;
  if (view.records("tenant").has(key)) {
    throw immutable(`tenant ${key} exists already, and a tenant cannot be changed`);
  }
  const tenantId = nextId(view, "tenant-id") as TenantId;
  const claims = [claimOf("tenant", key, numberClaimKey("tenant-id", tenantId))];
  return changed({ kind: "tenant", key, record: { key, tenantId, config } }, { claims });
}

/** Changes a tenant's ceilings; everything else stays as it was created. */
export function patchTenant(view: ClusterView, config: Tenant): Plan<Changed> {
  const key = config.tenantName;
  const existing = view.records("tenant").get(key);
  if (existing === undefined) throw notFound("tenant", key);
  const { tenantId, config: stored } = existing;
  if (config.defaultNetwork !== stored.defaultNetwork) {
    const message = `defaultNetwork of tenant ${key} is "${stored.defaultNetwork}" and cannot be changed to "${config.defaultNetwork}"`;
    throw immutable(message, "defaultNetwork");
  }
  return changed({ kind: "tenant", key, record: { key, tenantId, config } });
}

/** Deletes a tenant that owns nothing. */
export function deleteTenant(view: ClusterView, key: string): Plan<Removed> {
  const tenant = view.records("tenant").get(key);
  if (tenant === undefined) throw notFound("tenant", key);
  refuseInUse(`tenant ${key}`, [
    { noun: "app profile", keys: view.appProfilesOfTenant(key) },
    { noun: "endpoint group", keys: view.groupsOfTenant(key) },
    { noun: "policy", keys: view.policiesOfTenant(key) },
    { noun: "netprofile", keys: view.netprofilesOfTenant(key) },
    { noun: "network", keys: view.networksOfTenant(key) },
  ]);
  return removed("tenant", key, [numberClaimKey("tenant-id", tenant.tenantId)]);
}
