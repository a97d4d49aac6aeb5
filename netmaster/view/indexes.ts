import type { Kind, RecordOf } from "../../state/records.ts";
import type { IndexEntry } from "./key-index.ts";

/** The derived indexes of a cluster view, named like the view's methods. */
export const INDEX_NAMES = [
  "endpointsOfNetwork",
  "endpointsOfGroup",
  "endpointsOfNode",
  "nodesOfNetwork",
  "nodesOfGroup",
  "networksOfNode",
  "groupsOfNode",
  "addressesOfNetwork",
  "networksOfTenant",
  "infraNetworks",
  "groupsOfTenant",
  "policiesOfTenant",
  "netprofilesOfTenant",
  "appProfilesOfTenant",
  "rulesOfPolicy",
  "groupsOfPolicy",
  "groupsOfNetwork",
  "groupsOfNetprofile",
  "appProfilesOfGroup",
  "rulesNaming",
] as const;
export type IndexName = (typeof INDEX_NAMES)[number];

export type IndexedEntry = IndexEntry & { readonly index: IndexName };

type EntriesOf = { readonly [K in Kind]?: (record: RecordOf<K>) => readonly IndexedEntry[] };

const ENTRIES: EntriesOf = {
  endpoint: endpointEntries,
  address: (record) => [{ index: "addressesOfNetwork", under: networkKeyOf(record), key: record.key }],
  network: ({ key, config }) => [
    entry("networksOfTenant", config.tenantName, key),
    ...(config.nwType === "infra" ? [entry("infraNetworks", "", key)] : []),
  ],
  endpointGroup: groupEntries,
  policy: ({ key, config }) => [{ index: "policiesOfTenant", under: config.tenantName, key }],
  netprofile: ({ key, config }) => [{ index: "netprofilesOfTenant", under: config.tenantName, key }],
  rule: ruleEntries,
  appProfile: ({ key, config }) => [
    { index: "appProfilesOfTenant", under: config.tenantName, key },
    ...config.endpointGroups.map((group) => entry("appProfilesOfGroup", joined(config.tenantName, group), key)),
  ],
};

/** Where the indexes list a record. */
export function indexEntries<K extends Kind>(kind: K, record: RecordOf<K>): readonly IndexedEntry[] {
  return ENTRIES[kind]?.(record) ?? [];
}

/** Key of the network that an endpoint or address belongs to. */
export function networkKeyOf(record: { readonly tenantName: string; readonly networkName: string }): string {
  return joined(record.tenantName, record.networkName);
}

/** Key of a rule's policy. */
export function policyKeyOf({ config }: RecordOf<"rule">): string {
  return joined(config.tenantName, config.policyName);
}

/** Key of an endpoint's group; undefined when it has none. */
export function groupKeyOf(record: { readonly tenantName: string; readonly groupName: string }): string | undefined {
  return record.groupName === "" ? undefined : joined(record.tenantName, record.groupName);
}

function endpointEntries(record: RecordOf<"endpoint">): readonly IndexedEntry[] {
  const { key, nodeName } = record;
  const network = networkKeyOf(record);
  const group = groupKeyOf(record);
  const entries = [
    entry("endpointsOfNetwork", network, key),
    entry("endpointsOfNode", nodeName, key),
    entry("nodesOfNetwork", network, nodeName),
    entry("networksOfNode", nodeName, network),
  ];
  if (group === undefined) return entries;
  entries.push(entry("endpointsOfGroup", group, key), entry("groupsOfNode", nodeName, group));
  entries.push(entry("nodesOfGroup", group, nodeName));
  return entries;
}

function groupEntries({ key, config }: RecordOf<"endpointGroup">): readonly IndexedEntry[] {
  const { tenantName, networkName, policies, netProfile } = config;
  const entries = [
    entry("groupsOfTenant", tenantName, key),
    entry("groupsOfNetwork", joined(tenantName, networkName), key),
    ...policies.map((policy) => entry("groupsOfPolicy", joined(tenantName, policy), key)),
  ];
  if (netProfile !== "") entries.push(entry("groupsOfNetprofile", joined(tenantName, netProfile), key));
  return entries;
}

function ruleEntries({ key, config }: RecordOf<"rule">): readonly IndexedEntry[] {
  const { tenantName, policyName, fromEndpointGroup, toEndpointGroup } = config;
  const named = new Set([fromEndpointGroup, toEndpointGroup].filter((name) => name !== ""));
  return [
    entry("rulesOfPolicy", joined(tenantName, policyName), key),
    ...[...named].map((name) => entry("rulesNaming", joined(tenantName, name), key)),
  ];
}

function entry(index: IndexName, under: string, key: string): IndexedEntry {
  return { index, under, key };
}

function joined(tenantName: string, name: string): string {
  return `${tenantName}:${name}`;
}
