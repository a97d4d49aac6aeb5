import { CEILING_MEMBERS } from "../../state/bandwidth/ceiling.ts";
import { AppProfile } from "../../state/kinds/app-profile.ts";
import { EndpointGroup } from "../../state/kinds/endpoint-group.ts";
import { Netprofile } from "../../state/kinds/netprofile.ts";
import { Network } from "../../state/kinds/network.ts";
import { Policy } from "../../state/kinds/policy.ts";
import { Rule } from "../../state/kinds/rule.ts";
import { Tenant } from "../../state/kinds/tenant.ts";
import { endpointObject } from "../inspect/endpoint.ts";
import {
  inspectedEndpoint,
  inspectedGroup,
  inspectedPolicy,
  inspectedRule,
  inspectedTenant,
} from "../inspect/inspected.ts";
import {
  appProfileLinks,
  groupLinks,
  netprofileLinks,
  networkLinks,
  policyLinks,
  ruleLinks,
  tenantLinks,
} from "../inspect/links.ts";
import { nodeObject, nodeOper } from "../inspect/node.ts";
import { globalOper, networkOper } from "../inspect/oper.ts";
import { StreamedObject } from "../inspect/streamed.ts";
import { deleteAppProfile, upsertAppProfile } from "../intents/app-profile.ts";
import { deleteEndpointGroup, patchEndpointGroup, upsertEndpointGroup } from "../intents/endpoint-group.ts";
import { deleteGlobal, GlobalChange, upsertGlobal } from "../intents/global.ts";
import { deleteNetprofile, upsertNetprofile } from "../intents/netprofile.ts";
import { deleteNetwork, upsertNetwork } from "../intents/network.ts";
import { deleteNode } from "../intents/node.ts";
import { deletePolicy, upsertPolicy } from "../intents/policy.ts";
import { scopedKey } from "../intents/references.ts";
import { deleteRule, upsertRule } from "../intents/rule.ts";
import { deleteTenant, patchTenant, upsertTenant } from "../intents/tenant.ts";
import { type Change, type Collection, configCollection } from "./collection.ts";

const CEILINGS = Object.keys(CEILING_MEMBERS) as (keyof typeof CEILING_MEMBERS)[];

/** All of them can be changed in the same way. */
function each<N extends string>(names: readonly N[], change: Change): Record<N, Change> {
  return Object.fromEntries(names.map((name) => [name, change])) as Record<N, Change>;
}

const TENANTS = configCollection({
  name: "tenants",
  noun: "tenant",
  kind: "tenant",
  schema: Tenant,
  ours: CEILINGS,
  changes: each(CEILINGS, "patched"),
  keyOf: (config) => config.tenantName,
  upsert: upsertTenant,
  patch: patchTenant,
  remove: deleteTenant,
  links: (view, { key }) => tenantLinks(view, key),
  oper: inspectedTenant,
});

const NETWORKS = configCollection({
  name: "networks",
  noun: "network",
  kind: "network",
  schema: Network,
  ours: ["physicalNetwork", "mtuBytes", "driver"],
  changes: {},
  keyOf: (config) => scopedKey(config.tenantName, config.networkName),
  upsert: upsertNetwork,
  remove: deleteNetwork,
  links: (view, { key, config }) => networkLinks(view, key, config.tenantName),
  oper: networkOper,
});

const ENDPOINT_GROUPS = configCollection({
  name: "endpointGroups",
  noun: "endpoint group",
  kind: "endpointGroup",
  schema: EndpointGroup,
  ours: CEILINGS,
  changes: { ...each(["policies", "netProfile", "extContractsGrps"], "replaced"), ...each(CEILINGS, "kept") },
  keyOf: (config) => scopedKey(config.tenantName, config.groupName),
  upsert: upsertEndpointGroup,
  patch: patchEndpointGroup,
  remove: deleteEndpointGroup,
  links: (view, { key, config }) => groupLinks(view, key, config),
  oper: inspectedGroup,
});

const POLICIES = configCollection({
  name: "policys",
  noun: "policy",
  kind: "policy",
  schema: Policy,
  ours: [],
  changes: {},
  keyOf: (config) => scopedKey(config.tenantName, config.policyName),
  upsert: upsertPolicy,
  remove: deletePolicy,
  links: (view, { key, config }) => policyLinks(view, key, config.tenantName),
  oper: inspectedPolicy,
});

const RULES = configCollection({
  name: "rules",
  noun: "rule",
  kind: "rule",
  schema: Rule,
  ours: ["portEnd", "ports"],
  changes: {},
  keyOf: (config) => `${config.tenantName}:${config.policyName}:${config.ruleId}`,
  upsert: upsertRule,
  remove: deleteRule,
  links: (view, { config }) => ruleLinks(view, config),
  oper: inspectedRule,
});

const DIRECTED_LIMITS = ["ingressBandwidth", "ingressBurst", "egressBandwidth", "egressBurst"] as const;
const NETPROFILES_OWN = [...DIRECTED_LIMITS, "egressMode", "strict"] as const;

const NETPROFILES = configCollection({
  name: "netprofiles",
  noun: "netprofile",
  kind: "netprofile",
  schema: Netprofile,
  ours: NETPROFILES_OWN,
  changes: each(["bandwidth", "burst", "DSCP", ...NETPROFILES_OWN], "replaced"),
  keyOf: (config) => scopedKey(config.tenantName, config.profileName),
  upsert: upsertNetprofile,
  remove: deleteNetprofile,
  links: (view, { key, config }) => netprofileLinks(view, key, config.tenantName),
});

const APP_PROFILES = configCollection({
  name: "appProfiles",
  noun: "app profile",
  kind: "appProfile",
  schema: AppProfile,
  ours: [],
  changes: { endpointGroups: "replaced" },
  keyOf: (config) => scopedKey(config.tenantName, config.appProfileName),
  upsert: upsertAppProfile,
  remove: deleteAppProfile,
  links: (_view, { config }) => appProfileLinks(config.tenantName, config.endpointGroups),
});

const GLOBALS = configCollection({
  name: "globals",
  noun: "global",
  kind: "global",
  schema: GlobalChange,
  ours: [],
  changes: {
    ...each(["networkInfraType", "vlans", "vxlans", "arpMode"], "kept"),
    ...each(["fwdMode", "pvtSubnet"], "kept-without-networks"),
  },
  keyOf: (config) => config.name,
  upsert: upsertGlobal,
  remove: deleteGlobal,
  links: () => ({}),
  oper: (view, _record, env) => globalOper(view, env.clusterMode),
});

const ENDPOINTS: Collection = {
  name: "endpoints",
  noun: "endpoint",
  kind: "endpoint",
  render(view, key) {
    const endpoint = view.records("endpoint").get(key);
    return endpoint && endpointObject(view, endpoint);
  },
  preview: (_view, record) => record,
  inspect(view, key, env) {
    const endpoint = view.records("endpoint").get(key);
    if (endpoint === undefined) return undefined;
    return new StreamedObject({ Oper: inspectedEndpoint(view, endpoint, { text: key, reports: env }) });
  },
  writes: undefined,
  remove: undefined,
};

const NODES: Collection = {
  name: "nodes",
  noun: "node",
  kind: "node",
  render(view, key) {
    const node = view.records("node").get(key);
    return node && nodeObject(node);
  },
  preview: (_view, record) => record,
  inspect(view, key, env) {
    const node = view.records("node").get(key);
    return node && new StreamedObject({ Config: nodeObject(node), Oper: nodeOper(view, node, env.receipt(key)) });
  },
  writes: undefined,
  remove: deleteNode,
};

/** Every collection of this release, each a value on the same path. */
export const COLLECTIONS: readonly Collection[] = [
  APP_PROFILES,
  ENDPOINT_GROUPS,
  ENDPOINTS,
  GLOBALS,
  NETPROFILES,
  NETWORKS,
  NODES,
  POLICIES,
  RULES,
  TENANTS,
];

/** Collections of the contract that this release does not have: always empty, writes are refused. */
export const LATER_COLLECTIONS: readonly string[] = [
  "aciGws",
  "Bgps",
  "extContractsGroups",
  "serviceLBs",
  "volumes",
  "volumeProfiles",
];
