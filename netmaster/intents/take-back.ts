import { endpointKeysOf } from "../../state/endpoint-key.ts";
import type { EndpointRecord } from "../../state/kinds/endpoint.ts";
import type { NodeName } from "../../state/names.ts";
import type { GivenInterface } from "../../state/node-api.ts";
import type { ClusterView, Plan } from "../view/types.ts";
import { addressClaims, addressesOf, addressKeys, describeLease, groupOf, macOf, requireNode } from "./endpoint.ts";
import { conflict, invalid } from "./errors.ts";
import { refuseMisfit, refuseOtherDriver } from "./interface-fit.ts";
import { pickAddress } from "./pick-address.ts";
import { plan } from "./plan.ts";
import { requireNetwork, requireTenant, scopedKey } from "./references.ts";

/** What a node offers of its own. */
export interface Offered {
  readonly endpoint: EndpointRecord;
  readonly nodeName: NodeName;
  /** What the pod's interface has; agents of earlier releases do not tell. */
  readonly given?: GivenInterface | undefined;
}

/**
 * Takes an endpoint back into a store that lost it: a pod lives with these addresses on that node. It is claimed exactly as a new one with
 * requested addresses, and keeps its epoch. What the store holds wins: an address that it has leased to another is refused, and so is a pod whose
 * interface does not fit the network that has the name now. An older lease of the same interface on the same node is replaced.
 */
export function takeBackEndpoint(view: ClusterView, offered: Offered): Plan<EndpointRecord> {
  const { endpoint, nodeName } = offered;
  requireNode(view, nodeName);
  refuseForeign(endpoint, nodeName);
  const existing = view.records("endpoint").get(endpoint.key);
  if (existing?.epoch === endpoint.epoch && existing.nodeName === nodeName) return plan(existing);
  if (existing !== undefined && existing.nodeName !== nodeName && view.records("node").has(existing.nodeName)) {
    const message = `endpoint: interface ${endpoint.ifName} of container ${endpoint.containerId} has ${describeLease(existing)} on node ${existing.nodeName}`;
    throw conflict("endpoint-elsewhere", message, "endpoint");
  }
  const record = placed(view, endpoint, existing);
  refuseMisfit(view, record, offered.given);
  const keys = new Set(addressKeys(record).map(({ storeKey }) => storeKey));
  const before = existing === undefined ? [] : addressKeys(existing);
  return plan(record, {
    puts: [{ kind: "endpoint", key: record.key, record }],
    claims: addressClaims(record, heldBy(record, existing)),
    releases: before.map(({ storeKey }) => storeKey).filter((storeKey) => !keys.has(storeKey)),
  });
}

/** A node speaks for the interfaces of containers that run on it, and for nothing else. */
function refuseForeign(endpoint: EndpointRecord, nodeName: NodeName): void {
  const { key, containerId, ifName, nodeName: home, mac, ipv4 } = endpoint;
  if (home !== nodeName) throw invalid("endpoint.nodeName", `must be ${nodeName}, not ${home}`);
  if (containerId === "" || ifName === "" || !endpointKeysOf(endpoint, nodeName).includes(key))
    throw invalid("endpoint.key", `must be containerId and ifName, not "${key}"`);
  if (mac !== macOf(ipv4)) throw invalid("endpoint.mac", `must follow from ${ipv4}, not be ${mac}`);
}

/** The record as this store must show it: networks and groups may have other ids by now. */
function placed(view: ClusterView, endpoint: EndpointRecord, existing: EndpointRecord | undefined): EndpointRecord {
  requireTenant(view, endpoint.tenantName);
  const network = requireNetwork(view, scopedKey(endpoint.tenantName, endpoint.networkName));
  refuseOtherDriver(endpoint, network);
  const group = groupOf(view, endpoint, network);
  const { ipv4: pool4, ipv6: pool6 } = addressesOf(view, network);
  const held = heldBy({ ...endpoint, networkId: network.networkId }, existing);
  const wish = (requested: string) => ({
    view,
    network,
    groupKey: group?.key,
    requested,
    mayBeTaken: held.includes(requested),
  });
  const ipv4 = pickAddress({ ...wish(endpoint.ipv4), family: 4, pool: pool4, field: "endpoint.ipv4" });
  const { groupId: _, ipv6: asked, ...rest } = endpoint;
  const record = { ...rest, networkId: network.networkId, ...(group === undefined ? {} : { groupId: group.groupId }) };
  if (asked === undefined) return { ...record, ipv4 };
  if (pool6 === undefined) throw invalid("endpoint.ipv6", `cannot be had: network ${network.key} has no IPv6 subnet`);
  return { ...record, ipv4, ipv6: pickAddress({ ...wish(asked), family: 6, pool: pool6, field: "endpoint.ipv6" }) };
}

/** Addresses that the same interface holds already, by an older lease. */
function heldBy(record: EndpointRecord, existing: EndpointRecord | undefined): readonly string[] {
  if (existing === undefined) return [];
  const before = new Set(addressKeys(existing).map(({ storeKey }) => storeKey));
  return addressKeys(record)
    .filter(({ storeKey }) => before.has(storeKey))
    .map(({ ip }) => ip);
}
