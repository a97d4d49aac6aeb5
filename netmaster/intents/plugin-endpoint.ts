import { z } from "zod";
import { inWordsOf, NetError } from "../../state/errors.ts";
import type { EndpointRecord } from "../../state/kinds/endpoint.ts";
import { Name, NodeName, OptionalName } from "../../state/names.ts";
import type { ClusterView, IntentContext, Plan } from "../view/types.ts";
import { bareKey } from "./bare-address.ts";
import { type Lease, leaseEndpoint, removeEndpoints } from "./endpoint.ts";
import { conflict, unknownReference } from "./errors.ts";
import { plan } from "./plan.ts";

const Text = z
  .string()
  .max(256)
  .nullish()
  .transform((text) => text ?? "");

const TenantName = Name.describe("Tenant of the network.");
const NetworkName = Name.describe("Network of the endpoint.");
const EndpointID = z.string().min(1).max(256).describe("Id that the caller has given the endpoint.");
const EPCommonName = z.string().max(253).default("").describe("Name of the container or pod; may be empty.");

/** `POST /plugin/createEndpoint` (contract §8). */
export const PluginCreate = z.object({
  TenantName,
  NetworkName,
  ServiceName: OptionalName.describe("Endpoint group; empty: what ConfigEP says."),
  EndpointID,
  EPCommonName,
  ConfigEP: z
    .object({
      Container: Text.describe("Id of the container; not used."),
      Host: NodeName.describe("Node that the endpoint is on."),
      IPAddress: Text.describe("IPv4 address wished for, with or without /length; empty: any."),
      IPv6Address: Text.describe("IPv6 address wished for; empty: any."),
      ServiceName: Text.describe("Endpoint group; empty: none."),
    })
    .describe("Where the endpoint is, and what it wishes for."),
});
export type PluginCreate = z.infer<typeof PluginCreate>;

function keyOf({
  TenantName,
  NetworkName,
  EndpointID,
}: Pick<PluginCreate, "TenantName" | "NetworkName" | "EndpointID">): string {
  return `${TenantName}:${NetworkName}:${EndpointID}`;
}

/** Leases an endpoint for a v1 caller; idempotent by network and endpoint id. */
export function createPluginEndpoint(
  view: ClusterView,
  request: PluginCreate,
  context: IntentContext,
): Plan<EndpointRecord> {
  const key = keyOf(request);
  const existing = view.records("endpoint").get(key);
  if (existing === undefined) return takeOverBare(view, leased(view, leaseOf(view, request, key), context));
  if (existing.nodeName === request.ConfigEP.Host) return plan(existing);
  const message = `ConfigEP.Host: endpoint ${key} is on host ${existing.nodeName}; delete it there first`;
  throw conflict("endpoint-elsewhere", message, "ConfigEP.Host");
}

/** What the caller calls the members of a lease. */
const MEMBERS = {
  ...{ tenantName: "TenantName", networkName: "NetworkName", groupName: "ServiceName" },
  ...{ requestedIpv4: "ConfigEP.IPAddress", requestedIpv6: "ConfigEP.IPv6Address" },
};

function leased(view: ClusterView, lease: Lease, context: IntentContext): Plan<EndpointRecord> {
  try {
    return leaseEndpoint(view, lease, context);
  } catch (error) {
    throw error instanceof NetError ? inWordsOf(MEMBERS, error) : error;
  }
}

function leaseOf(view: ClusterView, request: PluginCreate, key: string): Lease {
  const { IPAddress, IPv6Address, Host, ServiceName } = request.ConfigEP;
  const [requestedIpv4, requestedIpv6] = [IPAddress, IPv6Address].map(withoutPrefix);
  const wanted = [requestedIpv4, requestedIpv6].filter((ip) => ip !== undefined);
  const heldAddresses = wanted.filter((ip) =>
    view.records("address").has(bareKey(request.TenantName, request.NetworkName, ip)),
  );
  return {
    key,
    endpointId: request.EndpointID,
    containerId: "",
    ifName: "",
    nodeName: Host,
    tenantName: request.TenantName,
    networkName: request.NetworkName,
    groupName: request.ServiceName === "" ? ServiceName : request.ServiceName,
    podName: request.EPCommonName,
    podNamespace: "",
    labels: {},
    heldAddresses,
    ...(requestedIpv4 === undefined ? {} : { requestedIpv4 }),
    ...(requestedIpv6 === undefined ? {} : { requestedIpv6 }),
  };
}

function withoutPrefix(text: string): string | undefined {
  return text === "" ? undefined : text.split("/")[0];
}

/** The bare allocations whose addresses the endpoint holds now are gone. */
function takeOverBare(view: ClusterView, planned: Plan<EndpointRecord>): Plan<EndpointRecord> {
  const { tenantName, networkName, ipv4, ipv6 } = planned.reply;
  const keys = [ipv4, ...(ipv6 === undefined ? [] : [ipv6])].map((ip) => bareKey(tenantName, networkName, ip));
  const deletes = keys
    .filter((key) => view.records("address").has(key))
    .map((key) => ({ kind: "address", key }) as const);
  return { ...planned, deletes: [...planned.deletes, ...deletes] };
}

/** `POST /plugin/deleteEndpoint`. */
export const PluginDelete = z.object({ TenantName, NetworkName, EndpointID });
export type PluginDelete = z.infer<typeof PluginDelete>;

/** Ends the lease; one that is gone already is a success (contract §13 row 26). */
export function deletePluginEndpoint(view: ClusterView, request: PluginDelete): Plan<EndpointRecord | undefined> {
  const endpoint = view.records("endpoint").get(keyOf(request));
  return endpoint === undefined ? plan(undefined) : removeEndpoints(endpoint, [endpoint]);
}

/** `POST /plugin/updateEndpoint`. */
export const PluginUpdate = z.object({
  IPAddress: z.string().max(64).default("").describe("Address of the endpoint; not used."),
  ContainerID: z.string().max(256).default("").describe("Id of the container that has started."),
  Labels: z.record(z.string().max(317), z.string().max(256)).default({}).describe("Labels of the container."),
  Tenant: TenantName,
  Network: NetworkName,
  Event: z.enum(["start", "die"]).describe("start: the endpoint's container is noted. die: nothing changes."),
  EndpointID,
  EPCommonName,
});
export type PluginUpdate = z.infer<typeof PluginUpdate>;

/** Notes which container an endpoint belongs to (`start`); `die` changes nothing: there are no service providers yet. */
export function updatePluginEndpoint(view: ClusterView, request: PluginUpdate): Plan<{ readonly IPAddress: string }> {
  const { Tenant: TenantName, Network: NetworkName, EndpointID } = request;
  const key = keyOf({ TenantName, NetworkName, EndpointID });
  const endpoint = view.records("endpoint").get(key);
  if (endpoint === undefined) throw unknownReference("EndpointID", "endpoint", key);
  const reply = { IPAddress: endpoint.ipv4 };
  if (request.Event === "die") return plan(reply);
  const podName = request.EPCommonName === "" ? endpoint.podName : request.EPCommonName;
  const record = { ...endpoint, containerId: request.ContainerID, labels: request.Labels, podName };
  return plan(reply, { puts: [{ kind: "endpoint", key, record }] });
}
