import type { EndpointGroupRecord } from "../../state/kinds/endpoint-group.ts";
import type { NetworkRecord } from "../../state/kinds/network.ts";
import type { TenantRecord } from "../../state/kinds/tenant.ts";
import type { ClusterView } from "../view/types.ts";
import { unknownReference } from "./errors.ts";

/** Key of an object that belongs to a tenant (contract §4). */
export function scopedKey(tenantName: string, name: string): string {
  return `${tenantName}:${name}`;
}

export function requireTenant(view: ClusterView, tenantName: string): TenantRecord {
  const tenant = view.records("tenant").get(tenantName);
  if (tenant === undefined) throw unknownReference("tenantName", "tenant", tenantName);
  return tenant;
}

export function requireNetwork(view: ClusterView, networkKey: string, field = "networkName"): NetworkRecord {
  const network = view.records("network").get(networkKey);
  if (network === undefined) throw unknownReference(field, "network", networkKey);
  return network;
}

export function requireGroup(view: ClusterView, groupKey: string, field: string): EndpointGroupRecord {
  const group = view.records("endpointGroup").get(groupKey);
  if (group === undefined) throw unknownReference(field, "endpoint group", groupKey);
  return group;
}
