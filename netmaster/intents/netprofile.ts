import type { Netprofile } from "../../state/kinds/netprofile.ts";
import type { ClusterView, Plan } from "../view/types.ts";
import { notFound, refuseInUse } from "./errors.ts";
import { type Changed, changed, type Removed, removed } from "./plan.ts";
import { requireTenant, scopedKey } from "./references.ts";

/** Creates or replaces a netprofile (contract §6.6). */
export function upsertNetprofile(view: ClusterView, config: Netprofile): Plan<Changed> {
  const key = scopedKey(config.tenantName, config.profileName);
  requireTenant(view, config.tenantName);
  return changed({ kind: "netprofile", key, record: { key, config } });
}

export function deleteNetprofile(view: ClusterView, key: string): Plan<Removed> {
  if (!view.records("netprofile").has(key)) throw notFound("netprofile", key);
  refuseInUse(`netprofile ${key}`, [{ noun: "endpoint group", keys: view.groupsOfNetprofile(key) }]);
  return removed("netprofile", key);
}
