import { type AddressRange, addressOf, contains, formatAddress, formatRange, overlaps } from "../../state/address.ts";
import { keepCeilings } from "../../state/bandwidth/ceiling.ts";
import type { GroupId } from "../../state/ids.ts";
import { numberClaimKey } from "../../state/keys.ts";
import type { EndpointGroup, EndpointGroupRecord } from "../../state/kinds/endpoint-group.ts";
import type { NetworkRecord } from "../../state/kinds/network.ts";
import { groupPoolRange, networkRanges } from "../../state/network-ranges.ts";
import { parsePool } from "../../state/network-subnet.ts";
import type { ClusterView, Plan } from "../view/types.ts";
import { conflict, immutable, invalid, notFound, refuseInUse, unknownReference } from "./errors.ts";
import { nextId } from "./ids.ts";
import { holderOf } from "./pick-address.ts";
import { type Changed, changed, claimOf, type Removed, removed } from "./plan.ts";
import { requireNetwork, requireTenant, scopedKey } from "./references.ts";

/**
 * Creates a group, or changes its policies, netprofile and contract groups (contract §6.3). Ceilings that the request does not name stay: who
 * speaks version 1 does not know of them.
 */
export function upsertEndpointGroup(view: ClusterView, config: EndpointGroup): Plan<Changed> {
  const key = scopedKey(config.tenantName, config.groupName);
  const existing = view.records("endpointGroup").get(key);
  if (existing === undefined) return createGroup(view, key, withEachOnce(config));
  return updateGroup(view, existing, keepCeilings(config, existing.config));
}

/** Changes a group to what the merged request says: a ceiling that it does not name is none. */
export function patchEndpointGroup(view: ClusterView, config: EndpointGroup): Plan<Changed> {
  const key = scopedKey(config.tenantName, config.groupName);
  const existing = view.records("endpointGroup").get(key);
  if (existing === undefined) throw notFound("endpoint group", key);
  return updateGroup(view, existing, config);
}

/** Naming a policy twice attaches it once. */
function withEachOnce(config: EndpointGroup): EndpointGroup {
  return { ...config, policies: [...new Set(config.policies)] };
}

function createGroup(view: ClusterView, key: string, config: EndpointGroup): Plan<Changed> {
  requireTenant(view, config.tenantName);
  const network = requireNetwork(view, scopedKey(config.tenantName, config.networkName));
  if (view.records("network").has(key)) {
    throw conflict("name-taken", `groupName: a network is named ${key}; choose another name`, "groupName");
  }
  checkPool(view, network, config);
  checkReferences(view, config);
  const groupId = nextId(view, "group-id") as GroupId;
  const claims = [claimOf("endpointGroup", key, numberClaimKey("group-id", groupId))];
  return changed({ kind: "endpointGroup", key, record: { key, groupId, config } }, { claims });
}

function updateGroup(view: ClusterView, existing: EndpointGroupRecord, asked: EndpointGroup): Plan<Changed> {
  const { key, groupId, config: stored } = existing;
  const config = { ...withEachOnce(asked), cfgdTag: asked.cfgdTag === "" ? stored.cfgdTag : asked.cfgdTag };
  for (const field of ["networkName", "ipPool", "cfgdTag"] as const) {
    if (config[field] === stored[field]) continue;
    const message = `${field} of endpoint group ${key} is "${stored[field]}" and cannot be changed to "${config[field]}"`;
    throw immutable(message, field);
  }
  checkReferences(view, config);
  return changed({ kind: "endpointGroup", key, record: { key, groupId, config } });
}

function checkPool(view: ClusterView, network: NetworkRecord, config: EndpointGroup): void {
  if (config.ipPool === "") return;
  const asked = parsePool(config.ipPool);
  if (typeof asked === "string") throw invalid("ipPool", asked);
  const { subnet } = networkRanges(network.config).ipv4;
  if (!contains(subnet, asked.first) || !contains(subnet, asked.last)) {
    throw invalid(
      "ipPool",
      `${config.ipPool} is outside the subnet ${network.config.subnet} of network ${network.key}`,
    );
  }
  const range = groupPoolRange(config, network.config);
  if (range === undefined || range.first > range.last) {
    throw invalid("ipPool", `${config.ipPool} holds no address that an endpoint may have`);
  }
  if (view.addresses(network.networkId)?.ipv4.isRangeTouched(range)) {
    const message = `ipPool: ${formatRange(4, range)} ${takenBy(view, network, range)}`;
    throw conflict("pool-taken", message, "ipPool");
  }
}

/** Who stands in the way of a pool; completes "<range> …". */
function takenBy(view: ClusterView, network: NetworkRecord, range: AddressRange): string {
  const pools = view.addresses(network.networkId)?.ipv4;
  for (const group of view.groupsOfNetwork(network.key)) {
    const other = pools?.poolRange(group);
    if (other !== undefined && overlaps(other, range))
      return `overlaps the pool ${formatRange(4, other)} of endpoint group ${group}`;
  }
  const { gateway } = networkRanges(network.config).ipv4;
  if (gateway !== undefined && contains(range, gateway))
    return `holds ${formatAddress(4, gateway)}, the gateway of network ${network.key}`;
  const isHeld = (ip: string) => !ip.includes(":") && contains(range, addressOf(4, ip));
  return `holds an address that is taken in network ${network.key}${holderOf({ view, network }, isHeld)}`;
}

function checkReferences(view: ClusterView, config: EndpointGroup): void {
  const { tenantName, policies, netProfile, extContractsGrps } = config;
  for (const name of policies) requireOwn(view, "policy", "policies", scopedKey(tenantName, name));
  if (netProfile !== "") requireOwn(view, "netprofile", "netProfile", scopedKey(tenantName, netProfile));
  const [contractGroup] = extContractsGrps;
  if (contractGroup !== undefined) {
    throw unknownReference("extContractsGrps", "external contract group", scopedKey(tenantName, contractGroup));
  }
  refuseNonVlanInAci(view, config);
}

function requireOwn(view: ClusterView, kind: "policy" | "netprofile", field: string, key: string): void {
  if (!view.records(kind).has(key)) throw unknownReference(field, kind, key);
}

function refuseNonVlanInAci(view: ClusterView, { tenantName, networkName }: EndpointGroup): void {
  const mode = view.records("global").get("global")?.config.networkInfraType ?? "default";
  if (mode === "default") return;
  const network = requireNetwork(view, scopedKey(tenantName, networkName));
  if (network.config.encap !== "vlan") {
    throw invalid("networkName", `${network.key} is not a VLAN network, which the fabric mode "${mode}" demands`);
  }
}

/** Deletes a group that has no endpoints; rules that name it stay and match nothing. */
export function deleteEndpointGroup(view: ClusterView, key: string): Plan<Removed> {
  const group = view.records("endpointGroup").get(key);
  if (group === undefined) throw notFound("endpoint group", key);
  refuseInUse(`endpoint group ${key}`, [
    { noun: "app profile", keys: view.appProfilesOfGroup(key) },
    { noun: "endpoint", keys: view.endpointsOfGroup(key) },
  ]);
  return removed("endpointGroup", key, [numberClaimKey("group-id", group.groupId)]);
}
