import { DriverName } from "../../../state/driver-name.ts";
import { NODE_STATES, NodeRecord, NodeRegistration } from "../../../state/kinds/node.ts";
import type { Kind } from "../../../state/records.ts";
import { choice, count, list, type Members, members, named, replyMembers, type Schema, text } from "./schema.ts";

const ENDPOINT_ALWAYS: Members = {
  endpointID: text("Id of the endpoint."),
  homingHost: text("Node that it is on."),
  ipAddress: list({ type: "string" }, 'IPv4 address, then IPv6 address or "".'),
  labels: text("Labels as Go writes a map, map[name:value]."),
  macAddress: text("MAC address."),
  network: text("network.tenant."),
};
const ENDPOINT_SOMETIMES: Members = {
  bandwidth: named("EndpointLimits"),
  containerID: text("Id of the container."),
  containerName: text("Name of the pod."),
  driver: choice(DriverName.options, "How it is attached; absent: ovs."),
  endpointGroupId: count("Number of its group."),
  endpointGroupKey: text("group:tenant."),
  intfName: text("Name of the interface in the pod."),
  serviceName: text("Name of its group."),
  vtepIP: text("Tunnel endpoint address of its node."),
};
const ENDPOINT_STORED: Members = {
  createdAt: text("When it was created, RFC 3339."),
  epoch: text("Tells this lease from others of the same key."),
  podNamespace: text("Namespace of the pod."),
  tenantName: text("Tenant of its network."),
};
const KEY: Members = { key: text("Key of the object.") };

const REPORTS: Members = { enforcement: named("Enforcement") };
const TAGS: Members = {
  externalPktTag: count("VNI, with VXLAN."),
  pktTag: count("VLAN id; with VXLAN a number without meaning."),
};
const ENDPOINTS: Members = {
  endpoints: list(named("endpointOper"), "Its endpoints."),
  numEndpoints: count("How many they are."),
};
const ADDRESSES: Members = {
  allocatedIPAddresses: text("IPv4 addresses and ranges in use, separated by commas."),
  availableIPAddresses: text("IPv4 addresses and ranges that are free."),
};

const OPER: Readonly<Partial<Record<Kind, Members>>> = {
  network: {
    ...{ ...ADDRESSES, ...ENDPOINTS, ...TAGS },
    allocatedAddressesCount: count("Addresses in use, of both families."),
    networkTag: text("cfgdTag, or networkName.tenantName."),
  },
  endpointGroup: {
    ...{ ...ADDRESSES, ...ENDPOINTS, ...TAGS, ...REPORTS },
    ceilings: named("Ceilings"),
    groupTag: text("cfgdTag, or groupName.tenantName."),
    hits: named("Traffic"),
  },
  policy: { ...ENDPOINTS, ...REPORTS, hits: named("PolicyHits") },
  rule: { ...REPORTS, hits: named("Hits") },
  tenant: {
    ceilings: named("Ceilings"),
    endpointGroups: list(named("endpointGroupOper"), "Its endpoint groups."),
    endpoints: list(named("endpointOper"), "Its endpoints."),
    networks: list(named("networkOper"), "Its networks."),
    policies: list(named("policyOper"), "Its policies."),
    totalAppProfiles: count("How many application profiles it has."),
    totalEPGs: count("How many endpoint groups."),
    totalEndpoints: count("How many endpoints."),
    totalNetprofiles: count("How many netprofiles."),
    totalNetworks: count("How many networks."),
    totalPolicies: count("How many policies."),
  },
  global: {
    clusterMode: text("What the cluster is for, like kubernetes."),
    numNetworks: count("How many networks there are."),
    vlansInUse: text("VLAN ids in use, as ranges."),
    vxlansInUse: text("VNIs in use, as ranges."),
  },
  node: { ...ENDPOINTS, receipt: named("Receipt", "What the node has told last.") },
};

function nodeMembers(): Members {
  const { conditions } = replyMembers(NodeRecord);
  const shown: Members = {
    state: choice(
      NODE_STATES,
      "What the node says of itself (docs/operations.md), or unreachable: its heartbeats have stopped.",
    ),
    stateReasons: list({ type: "string" }, "Why it is not ready: cause and next step."),
    stateSince: text("Since when it is in this state, RFC 3339."),
  };
  return { ...replyMembers(NodeRegistration), ...(conditions === undefined ? {} : { conditions }), ...shown };
}

/** The objects that clients only see, and the state that inspect adds to each kind: `endpointOper` and so on. */
export const OPER_SCHEMAS: Schema = {
  endpoint: members(
    { ...KEY, ...ENDPOINT_ALWAYS },
    { ...ENDPOINT_SOMETIMES, ...ENDPOINT_STORED },
    "An attachment of a pod to a network. Empty members are left out.",
  ),
  endpointOper: members(
    ENDPOINT_ALWAYS,
    {
      ...{ ...ENDPOINT_SOMETIMES, ...REPORTS },
      key: text("What it was found by."),
      hits: named("Traffic"),
    },
    "An endpoint with what its node reports.",
  ),
  node: members(KEY, nodeMembers(), "A host that runs netplugin. Empty members are left out."),
  ...Object.fromEntries(
    Object.entries(OPER).map(([kind, shown]) => [`${kind}Oper`, members({}, shown, "Empty members are left out.")]),
  ),
};

/** `{"Config":…,"Oper":…}` of a kind; endpoints have no configuration, and profiles no state. */
export function inspectSchema(kind: Kind, object: Schema): Schema {
  if (kind === "endpoint") return members({ Oper: named("endpointOper") }, {});
  return members({ Config: object }, `${kind}Oper` in OPER_SCHEMAS ? { Oper: named(`${kind}Oper`) } : {});
}
