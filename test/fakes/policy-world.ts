import { EndpointRecord } from "../../state/kinds/endpoint.ts";
import { EndpointGroupRecord } from "../../state/kinds/endpoint-group.ts";
import { NetworkRecord } from "../../state/kinds/network.ts";
import { Rule, type RuleRecord } from "../../state/kinds/rule.ts";
import type { PolicyWorld } from "../../state/policy/world.ts";

/** Objects of a small cluster, for tests of what policies mean. Numbers are given by the order: networks from 11, groups from 101. */
export interface PolicyObjects {
  readonly isRouting?: boolean;
  readonly networks: readonly FakeNetwork[];
  readonly groups: readonly { readonly key: string; readonly network: string; readonly policies?: readonly string[] }[];
  readonly endpoints: readonly FakeEndpoint[];
  readonly rules: readonly FakeRule[];
}

export interface FakeNetwork {
  readonly key: string;
  readonly subnet: string;
  readonly gateway?: string;
  readonly ipv6Subnet?: string;
  readonly ipv6Gateway?: string;
}

export interface FakeEndpoint {
  readonly key: string;
  /** Key of its group; its network is that of the group. */
  readonly group?: string;
  /** Key of its network, for an endpoint without group. */
  readonly network?: string;
  readonly ipv4: string;
  readonly ipv6?: string;
}

/** `<policy>:<ruleId>` names the rule within the tenant; everything else is as in the contract. */
export type FakeRule = { readonly id: string } & Partial<Omit<Rule, "policyName" | "ruleId">>;

export const FIRST_NETWORK_ID = 11;
export const FIRST_GROUP_ID = 101;
export const FIRST_TAG = 1_001;

export function ruleRecord({ id, ...config }: FakeRule): RuleRecord {
  const [policyName = "", ruleId = ""] = id.split(":");
  const rule = Rule.parse({ tenantName: "t1", direction: "in", action: "deny", ...config, policyName, ruleId });
  return { key: `${rule.tenantName}:${policyName}:${ruleId}`, config: rule };
}

export function networkRecords({ networks }: PolicyObjects): NetworkRecord[] {
  const tenants = [...new Set(networks.map(({ key }) => partsOf(key).tenantName))];
  return networks.map(({ key, ...settings }, index) => {
    const { tenantName, name: networkName } = partsOf(key);
    const config = { tenantName, networkName, encap: "vxlan", ...settings };
    const tenantId = 1 + tenants.indexOf(tenantName);
    return NetworkRecord.parse({ key, networkId: FIRST_NETWORK_ID + index, tenantId, tag: FIRST_TAG + index, config });
  });
}

export function groupRecords({ groups }: PolicyObjects): EndpointGroupRecord[] {
  return groups.map(({ key, network, policies = [] }, index) => {
    const { tenantName, name: groupName } = partsOf(key);
    const config = { tenantName, groupName, networkName: partsOf(network).name, policies };
    return EndpointGroupRecord.parse({ key, groupId: FIRST_GROUP_ID + index, config });
  });
}

export function endpointRecords(objects: PolicyObjects): EndpointRecord[] {
  const networks = new Map(networkRecords(objects).map((record) => [record.key, record]));
  const groups = new Map(groupRecords(objects).map((record) => [record.key, record]));
  return objects.endpoints.map(({ key, group: groupKey, network: networkKey, ipv4, ipv6 }) => {
    const group = groups.get(groupKey ?? "");
    const wanted = networkKey ?? `${group?.config.tenantName}:${group?.config.networkName}`;
    const network = networks.get(wanted);
    if (network === undefined) throw new Error(`Endpoint ${key} has no network`);
    return EndpointRecord.parse({
      ...{ key, epoch: "e", endpointId: key, containerId: key, ifName: "eth0", nodeName: "n1" },
      ...{ tenantName: network.config.tenantName, networkName: network.config.networkName },
      ...{ groupName: group?.config.groupName ?? "", groupId: group?.groupId, networkId: network.networkId },
      ...{ ipv4, ipv6, mac: macOf(ipv4), createdAt: "2026-01-01T00:00:00Z" },
    });
  });
}

function partsOf(key: string): { readonly tenantName: string; readonly name: string } {
  const [tenantName = "", name = ""] = key.split(":");
  return { tenantName, name };
}

function macOf(ipv4: string): string {
  const octets = ipv4.split(".").map((octet) => Number(octet).toString(16).padStart(2, "0"));
  return ["02", "02", ...octets].join(":");
}

/** The world that these objects make. */
export function policyWorld(objects: PolicyObjects): PolicyWorld {
  return worldOfRecords({
    isRouting: objects.isRouting ?? false,
    networks: networkRecords(objects),
    groups: groupRecords(objects),
    endpoints: endpointRecords(objects),
    rules: objects.rules.map(ruleRecord),
  });
}

export interface PolicyRecords {
  readonly isRouting: boolean;
  readonly networks: readonly NetworkRecord[];
  readonly groups: readonly EndpointGroupRecord[];
  readonly endpoints: readonly EndpointRecord[];
  readonly rules: readonly RuleRecord[];
}

/** The world of stored objects, all of which can be read. */
export function worldOfRecords(records: PolicyRecords): PolicyWorld {
  const networks = new Map(records.networks.map((record) => [record.key, record]));
  const groups = new Map(records.groups.map((record) => [record.key, record]));
  const endpoints = new Map<string, EndpointRecord>();
  for (const endpoint of records.endpoints) {
    for (const address of [endpoint.ipv4, endpoint.ipv6]) endpoints.set(`${endpoint.networkId}/${address}`, endpoint);
  }
  const rules = new Map<string, RuleRecord[]>();
  for (const record of records.rules) {
    const policyKey = `${record.config.tenantName}:${record.config.policyName}`;
    const ofPolicy = rules.get(policyKey) ?? [];
    rules.set(policyKey, ofPolicy);
    ofPolicy.push(record);
  }
  return {
    isRouting: records.isRouting,
    network: (key) => networks.get(key),
    networksOfTenant: (name) => [...networks.values()].filter(({ config }) => config.tenantName === name),
    group: (key) => groups.get(key),
    policyFault: () => undefined,
    rulesOfPolicy: (key) => rules.get(key) ?? [],
    endpointAt: ({ networkId }, address) => endpoints.get(`${networkId}/${address}`),
  };
}
