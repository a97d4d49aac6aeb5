import type { EndpointRecord } from "../../state/kinds/endpoint.ts";
import type { NetworkRecord } from "../../state/kinds/network.ts";
import type { RuleRecord } from "../../state/kinds/rule.ts";
import type { Kind, RecordOf } from "../../state/records.ts";

/** Separates the parts of an index entry; no name, address or key holds it. */
const SEPARATOR = "\u0000";

/** Entries of one index: parts joined, last the object's key → the object's key. */
export type IndexName =
  | "endpointsByNetworkNode"
  | "endpointsByNode"
  | "endpointsByGroup"
  | "endpointByAddress"
  | "networkById"
  | "networksByTenant"
  | "rulesByPolicy"
  | "logRulesByPolicy"
  | "rulesByPeerGroup"
  | "rulesByPeerNetwork";

export const INDEX_NAMES: readonly IndexName[] = [
  "endpointsByNetworkNode",
  "endpointsByNode",
  "endpointsByGroup",
  "endpointByAddress",
  "networkById",
  "networksByTenant",
  "rulesByPolicy",
  "logRulesByPolicy",
  "rulesByPeerGroup",
  "rulesByPeerNetwork",
];

export interface IndexEntry {
  readonly index: IndexName;
  readonly entry: string;
}

/** Joins the leading parts of index entries; what follows is the rest of the entry. */
export function indexPrefix(...parts: readonly (string | number)[]): string {
  return parts.map((part) => `${part}${SEPARATOR}`).join("");
}

/** Lowest text above every entry with that prefix. */
export function prefixEnd(prefix: string): string {
  return `${prefix.slice(0, -1)}\u0001`;
}

/** Every entry that an object has in the indexes. */
export function indexEntries<K extends Kind>(kind: K, record: RecordOf<K>): readonly IndexEntry[] {
  if (kind === "endpoint") return endpointEntries(record as EndpointRecord);
  if (kind === "network") return networkEntries(record as NetworkRecord);
  if (kind === "rule") return ruleEntries(record as RuleRecord);
  return [];
}

function endpointEntries(endpoint: EndpointRecord): IndexEntry[] {
  const { key, networkId, nodeName, groupId } = endpoint;
  const entries: IndexEntry[] = [
    { index: "endpointsByNetworkNode", entry: indexPrefix(networkId, nodeName) + key },
    { index: "endpointsByNode", entry: indexPrefix(nodeName) + key },
    ...addressesOf(endpoint).map((entry) => ({ index: "endpointByAddress", entry }) as const),
  ];
  if (groupId !== undefined) entries.push({ index: "endpointsByGroup", entry: indexPrefix(groupId) + key });
  return entries;
}

/** Entries of `endpointByAddress`: network and address; of each there is at most one holder. */
export function addressesOf({ networkId, ipv4, ipv6 }: EndpointRecord): string[] {
  const addresses = ipv6 === undefined ? [ipv4] : [ipv4, ipv6];
  return addresses.map((address) => addressEntry(networkId, address));
}

export function addressEntry(networkId: number, address: string): string {
  return indexPrefix(networkId, address);
}

function networkEntries({ key, networkId, tenantId }: NetworkRecord): IndexEntry[] {
  return [
    { index: "networkById", entry: indexPrefix(networkId) },
    { index: "networksByTenant", entry: indexPrefix(tenantId) + key },
  ];
}

/** A rule is found by its policy and by what it names, whether or not that exists. */
function ruleEntries({ key, config }: RuleRecord): IndexEntry[] {
  const { tenantName, policyName, direction } = config;
  const ofTenant = (name: string) => `${tenantName}:${name}`;
  const group = direction === "in" ? config.fromEndpointGroup : config.toEndpointGroup;
  const network = direction === "in" ? config.fromNetwork : config.toNetwork;
  const entries: IndexEntry[] = [{ index: "rulesByPolicy", entry: indexPrefix(ofTenant(policyName)) + key }];
  if (config.action === "log") {
    entries.push({ index: "logRulesByPolicy", entry: indexPrefix(ofTenant(policyName)) + key });
  }
  if (group !== "") entries.push({ index: "rulesByPeerGroup", entry: indexPrefix(ofTenant(group), direction) + key });
  if (network !== "") entries.push({ index: "rulesByPeerNetwork", entry: indexPrefix(ofTenant(network)) + key });
  return entries;
}
