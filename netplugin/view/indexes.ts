import type { EndpointRecord } from "../../state/kinds/endpoint.ts";
import type { NetworkRecord } from "../../state/kinds/network.ts";
import type { RuleRecord } from "../../state/kinds/rule.ts";
import type { Kind, RecordOf } from "../../state/records.ts";

/** Separates the parts of an index entry; no name, address or key holds it. */
const SEPARATOR = "\u0000";

/** Indexes that have several objects in one place: joined parts → the objects' keys. */
export type IndexName =
  | "endpointsByNetworkNode"
  | "endpointsByNode"
  | "endpointsByGroup"
  | "networksByTenant"
  | "rulesByPolicy"
  | "logRulesByPolicy"
  | "rulesByPeerGroup"
  | "rulesByPeerNetwork";

/** Indexes that have one object in each place. */
export type UniqueIndexName = "endpointByAddress" | "networkById";

export const INDEX_NAMES: readonly IndexName[] = [
  "endpointsByNetworkNode",
  "endpointsByNode",
  "endpointsByGroup",
  "networksByTenant",
  "rulesByPolicy",
  "logRulesByPolicy",
  "rulesByPeerGroup",
  "rulesByPeerNetwork",
];
export const UNIQUE_INDEX_NAMES: readonly UniqueIndexName[] = ["endpointByAddress", "networkById"];

export interface IndexPlace<N extends IndexName | UniqueIndexName> {
  readonly index: N;
  readonly place: string;
}

/** Joins the parts of a place, or the leading ones: then it is the prefix of several places. */
export function indexPrefix(...parts: readonly (string | number)[]): string {
  return parts.map((part) => `${part}${SEPARATOR}`).join("");
}

/** Every place that an object has in the indexes. */
export function placesOf<K extends Kind>(kind: K, record: RecordOf<K>): readonly IndexPlace<IndexName>[] {
  if (kind === "endpoint") return endpointPlaces(record as EndpointRecord);
  if (kind === "network") {
    return [{ index: "networksByTenant", place: indexPrefix((record as NetworkRecord).tenantId) }];
  }
  return kind === "rule" ? rulePlaces(record as RuleRecord) : [];
}

/** Every place that only this object has. */
export function uniquePlacesOf<K extends Kind>(kind: K, record: RecordOf<K>): readonly IndexPlace<UniqueIndexName>[] {
  if (kind === "endpoint") {
    return addressesOf(record as EndpointRecord).map((place) => ({ index: "endpointByAddress", place }));
  }
  return kind === "network" ? [{ index: "networkById", place: indexPrefix((record as NetworkRecord).networkId) }] : [];
}

function endpointPlaces({ networkId, nodeName, groupId }: EndpointRecord): IndexPlace<IndexName>[] {
  const places: IndexPlace<IndexName>[] = [
    { index: "endpointsByNetworkNode", place: indexPrefix(networkId, nodeName) },
    { index: "endpointsByNode", place: indexPrefix(nodeName) },
  ];
  if (groupId !== undefined) places.push({ index: "endpointsByGroup", place: indexPrefix(groupId) });
  return places;
}

/** Places in `endpointByAddress`: network and address; of each there is at most one holder. */
export function addressesOf({ networkId, ipv4, ipv6 }: EndpointRecord): string[] {
  const addresses = ipv6 === undefined ? [ipv4] : [ipv4, ipv6];
  return addresses.map((address) => addressEntry(networkId, address));
}

export function addressEntry(networkId: number, address: string): string {
  return indexPrefix(networkId, address);
}

/** A rule is found by its policy and by what it names, whether or not that exists. */
function rulePlaces({ config }: RuleRecord): IndexPlace<IndexName>[] {
  const { tenantName, policyName, direction } = config;
  const ofTenant = (name: string) => `${tenantName}:${name}`;
  const group = direction === "in" ? config.fromEndpointGroup : config.toEndpointGroup;
  const network = direction === "in" ? config.fromNetwork : config.toNetwork;
  const policy = indexPrefix(ofTenant(policyName));
  const places: IndexPlace<IndexName>[] = [{ index: "rulesByPolicy", place: policy }];
  if (config.action === "log") places.push({ index: "logRulesByPolicy", place: policy });
  if (group !== "") places.push({ index: "rulesByPeerGroup", place: indexPrefix(ofTenant(group), direction) });
  if (network !== "") places.push({ index: "rulesByPeerNetwork", place: indexPrefix(ofTenant(network)) });
  return places;
}
