import { isDeepStrictEqual } from "node:util";
import { addressOf, formatAddress } from "../../state/address.ts";
import { driverOf, namedDriver } from "../../state/driver-name.ts";
import { atNode, type ContainerInterface, endpointIdOf, endpointKeyOf } from "../../state/endpoint-key.ts";
import { NetError } from "../../state/errors.ts";
import { Mac } from "../../state/ids.ts";
import { addressClaimKey } from "../../state/keys.ts";
import type { EndpointRecord } from "../../state/kinds/endpoint.ts";
import type { EndpointGroupRecord } from "../../state/kinds/endpoint-group.ts";
import type { NetworkRecord } from "../../state/kinds/network.ts";
import type { NodeName } from "../../state/names.ts";
import type { EndpointRelease, EndpointRequest } from "../../state/node-api.ts";
import type { Claim, ClusterView, IntentContext, NetworkAddresses, Plan } from "../view/types.ts";
import { MAX_PLAN_OPERATIONS } from "../view/types.ts";
import { requireDriver } from "./drivers.ts";
import { conflict, firstOf, invalid } from "./errors.ts";
import { pickAddress, refuseWhileHeld } from "./pick-address.ts";
import { claimOf, plan } from "./plan.ts";
import { requireGroup, requireNetwork, requireTenant, scopedKey } from "./references.ts";

/** A node asks for an endpoint of a container that runs on it. */
export interface EndpointCreation extends EndpointRequest {
  readonly nodeName: NodeName;
}

/**
 * Leases addresses to a container's interface. Asking again from the same node returns the same lease. A lease that another
 * registered node holds is not taken over: that node's pod may be alive and forwarding, even when the node is unreachable. The asker
 * gets one of its own, under a key with its node's name. Only when no such node is registered any more does the asker get the
 * lease that is there, with a new epoch, so that a late release of the old one changes nothing.
 */
export function createEndpoint(
  view: ClusterView,
  request: EndpointCreation,
  context: IntentContext,
): Plan<EndpointRecord> {
  requireNode(view, request.nodeName);
  const endpoints = view.records("endpoint");
  const own = atNode(request, request.nodeName);
  const existing =
    (request.takesAnyKey ? endpoints.get(endpointKeyOf(own)) : undefined) ?? endpoints.get(endpointKeyOf(request));
  if (existing === undefined) return leaseEndpoint(view, { ...request, ...namesOf(request) }, context);
  if (!isElsewhere(view, existing, request) || !request.takesAnyKey)
    return repeatEndpoint(view, existing, request, context);
  return leaseEndpoint(view, { ...request, ...namesOf(own) }, context);
}

function namesOf(wanted: ContainerInterface) {
  return { key: endpointKeyOf(wanted), endpointId: endpointIdOf(wanted) };
}

function isElsewhere(view: ClusterView, existing: EndpointRecord, { nodeName }: EndpointCreation): boolean {
  return existing.nodeName !== nodeName && view.records("node").has(existing.nodeName);
}

export function requireNode(view: ClusterView, nodeName: string): void {
  if (view.records("node").has(nodeName)) return;
  const message = `Node ${nodeName} is not registered; it must register before it creates endpoints`;
  throw new NetError("PRECONDITION", message, { reason: "node-not-registered" });
}

function repeatEndpoint(
  view: ClusterView,
  existing: EndpointRecord,
  request: EndpointCreation,
  context: IntentContext,
): Plan<EndpointRecord> {
  for (const field of ["tenantName", "networkName", "groupName"] as const) {
    if (existing[field] === request[field]) continue;
    const message = `${field}: interface ${request.ifName} of container ${request.containerId} has ${describeLease(existing)} already; delete it before asking for another`;
    throw conflict("endpoint-exists", message, field);
  }
  refuseOtherWishes(existing, request);
  if (existing.nodeName === request.nodeName) return restated(existing, request);
  if (isElsewhere(view, existing, request)) {
    const message = `Interface ${request.ifName} of container ${request.containerId} has ${describeLease(existing)} on node ${existing.nodeName}, and netplugin on node ${request.nodeName} is of a release that cannot tell the two apart; upgrade it, delete the container there, or delete that node when it is gone for good`;
    throw conflict("endpoint-elsewhere", message);
  }
  const moved = { ...existing, nodeName: request.nodeName, epoch: context.newEpoch() };
  const record = { ...moved, ...limitsOf(request, existing) };
  return plan(record, { puts: [{ kind: "endpoint", key: record.key, record }] });
}

/** A repeated request that asks for something else than the lease has is told so, instead of being answered with what it did not ask for. */
function refuseOtherWishes(existing: EndpointRecord, request: EndpointCreation): void {
  const wishes = [
    ["requestedIpv4", request.requestedIpv4, existing.ipv4],
    ["requestedIpv6", request.requestedIpv6, existing.ipv6 ?? "none"],
    ["podName", request.podName || undefined, existing.podName || request.podName],
    ["podNamespace", request.podNamespace || undefined, existing.podNamespace || request.podNamespace],
  ] as const;
  for (const [field, wanted, held] of wishes) {
    if (wanted === undefined || wanted === held) continue;
    const message = `${field}: interface ${request.ifName} of container ${request.containerId} has ${held} already, not ${wanted}; delete it before asking for another`;
    throw conflict("endpoint-exists", message, field);
  }
}

/** The same lease; the runtime may have learned of other limits meanwhile. */
function restated(existing: EndpointRecord, request: EndpointCreation): Plan<EndpointRecord> {
  const { limits: before, ...rest } = existing;
  const { limits } = limitsOf(request, existing);
  if (isDeepStrictEqual(before, limits)) return plan(existing);
  const record: EndpointRecord = limits === undefined ? rest : { ...rest, limits };
  return plan(record, { puts: [{ kind: "endpoint", key: record.key, record }] });
}

/** What the request states of bandwidth, beside what an admin has stated for this endpoint. */
function limitsOf(
  { limits }: Pick<EndpointCreation, "limits">,
  existing?: EndpointRecord,
): Pick<EndpointRecord, "limits"> {
  const rest = existing?.limits?.rest;
  const stated = { ...limits, ...(rest === undefined ? {} : { rest }) };
  return Object.keys(stated).length === 0 ? {} : { limits: stated };
}

/** For people. */
export function describeLease({ ipv4, tenantName, networkName }: EndpointRecord): string {
  return `an endpoint with ${ipv4} in network ${scopedKey(tenantName, networkName)}`;
}

/** What a new endpoint needs, whoever asks. */
export interface Lease extends Omit<EndpointCreation, "ifName" | "takesAnyKey"> {
  readonly key: string;
  readonly endpointId: string;
  readonly ifName: string;
  /** Requested addresses that this asker holds as bare allocations: the lease takes them over. */
  readonly heldAddresses?: readonly string[];
}

/** Plans a new endpoint with its addresses. */
export function leaseEndpoint(view: ClusterView, lease: Lease, context: IntentContext): Plan<EndpointRecord> {
  refuseWhileHeld(context);
  requireTenant(view, lease.tenantName);
  const network = requireNetwork(view, scopedKey(lease.tenantName, lease.networkName));
  requireDriver(view, lease.nodeName, network);
  const group = groupOf(view, lease, network);
  const addresses = pickAddresses(view, lease, { network, group });
  const record: EndpointRecord = {
    ...endpointFields(lease, context),
    networkId: network.networkId,
    ...(group === undefined ? {} : { groupId: group.groupId }),
    ...addresses,
    mac: macOf(addresses.ipv4),
    ...namedDriver(driverOf(network.config)),
  };
  return plan(record, {
    puts: [{ kind: "endpoint", key: record.key, record }],
    claims: addressClaims(record, lease.heldAddresses),
  });
}

function endpointFields(lease: Lease, context: IntentContext) {
  const { key, endpointId, containerId, ifName, nodeName, tenantName, networkName, groupName } = lease;
  const names = { key, endpointId, containerId, ifName, nodeName, tenantName, networkName, groupName };
  const { podName, podNamespace, labels } = lease;
  const pod = { podName, podNamespace, labels, ...limitsOf(lease) };
  return { ...names, ...pod, epoch: context.newEpoch(), createdAt: context.now };
}

/** The group that an endpoint names, which must be one of its network. */
export function groupOf(
  view: ClusterView,
  lease: Pick<Lease, "tenantName" | "networkName" | "groupName">,
  network: NetworkRecord,
): EndpointGroupRecord | undefined {
  if (lease.groupName === "") return undefined;
  const group = requireGroup(view, scopedKey(lease.tenantName, lease.groupName), "groupName");
  if (group.config.networkName !== lease.networkName) {
    throw invalid("groupName", `${group.key} belongs to network ${group.config.networkName}, not to ${network.key}`);
  }
  return group;
}

interface Place {
  readonly network: NetworkRecord;
  readonly group: EndpointGroupRecord | undefined;
}

function pickAddresses(view: ClusterView, lease: Lease, { network, group }: Place) {
  const { ipv4: pool4, ipv6: pool6 } = addressesOf(view, network);
  const common = { view, network, groupKey: group?.key };
  const held = (text: string | undefined) => text !== undefined && (lease.heldAddresses?.includes(text) ?? false);
  const { requestedIpv4, requestedIpv6 } = lease;
  const wish4 = { requested: requestedIpv4, field: "requestedIpv4", mayBeTaken: held(requestedIpv4) };
  const ipv4 = pickAddress({ ...common, ...wish4, family: 4, pool: pool4 });
  if (pool6 === undefined) {
    if (requestedIpv6 !== undefined)
      throw invalid("requestedIpv6", `cannot be had: network ${network.key} has no IPv6 subnet`);
    return { ipv4 };
  }
  const wish6 = { requested: requestedIpv6, field: "requestedIpv6", mayBeTaken: held(requestedIpv6) };
  return { ipv4, ipv6: pickAddress({ ...common, ...wish6, family: 6, pool: pool6 }) };
}

/** The address books of a network that exists. */
export function addressesOf(view: ClusterView, network: NetworkRecord): NetworkAddresses {
  const addresses = view.addresses(network.networkId);
  if (addresses === undefined) throw new NetError("INTERNAL", `Network ${network.key} has no address book`);
  return addresses;
}

/** `02:02:` and the four octets of the address (contract §7). */
export function macOf(ipv4: string): Mac {
  const octets = ipv4.split(".").map((octet) => Number(octet).toString(16).padStart(2, "0"));
  return Mac.parse(["02", "02", ...octets].join(":"));
}

export function addressClaims(record: EndpointRecord, held: readonly string[] = []): readonly Claim[] {
  return addressKeys(record).map(({ storeKey, ip }) => {
    const claim = claimOf("endpoint", record.key, storeKey);
    return held.includes(ip) ? { ...claim, replaces: true } : claim;
  });
}

export function addressKeys({
  networkId,
  ipv4,
  ipv6,
}: EndpointRecord): readonly { readonly storeKey: string; readonly ip: string }[] {
  const canonical6 = ipv6 === undefined ? [] : [formatAddress(6, addressOf(6, ipv6))];
  return [ipv4, ...canonical6].map((ip) => ({ ip, storeKey: addressClaimKey(networkId, ip) }));
}

/** A node ends one lease of its own. */
export interface EndpointEnd extends EndpointRelease {
  readonly nodeName: NodeName;
}

/** Ends the lease of that epoch; of another epoch, another node's lease, or a lease that is gone, nothing is changed. */
export function releaseEndpoint(
  view: ClusterView,
  { key, epoch, nodeName }: EndpointEnd,
): Plan<{ readonly released: boolean }> {
  const endpoint = view.records("endpoint").get(key);
  if (endpoint === undefined || endpoint.epoch !== epoch || endpoint.nodeName !== nodeName)
    return plan({ released: false });
  return removeEndpoints({ released: true }, [endpoint]);
}

/** Plans the end of leases, without asking for their epochs. */
export function removeEndpoints<Reply>(reply: Reply, endpoints: readonly EndpointRecord[]): Plan<Reply> {
  return plan(reply, {
    deletes: endpoints.map(({ key }) => ({ kind: "endpoint", key })),
    releases: endpoints.flatMap((endpoint) => addressKeys(endpoint).map(({ storeKey }) => storeKey)),
  });
}

/** What the end of one endpoint takes at most: its record and two addresses. */
export const OPERATIONS_PER_ENDPOINT = 3;

/** Most endpoints that one plan can end. */
const ENDPOINTS_PER_PLAN = Math.floor((MAX_PLAN_OPERATIONS - 1) / OPERATIONS_PER_ENDPOINT);

export interface Reclaimed {
  readonly reclaimed: readonly string[];
  /** Endpoints that did not fit into this transaction: ask again. */
  readonly remaining: number;
}

/** Ends the leases of a whole set, as many as one transaction takes. */
export function reclaimEndpoints(
  view: ClusterView,
  keys: Iterable<string> & { readonly size: number },
): Plan<Reclaimed> {
  const endpoints = firstOf(keys, ENDPOINTS_PER_PLAN).flatMap((key) => view.records("endpoint").get(key) ?? []);
  const reclaimed = endpoints.map(({ key }) => key);
  return removeEndpoints({ reclaimed, remaining: keys.size - reclaimed.length }, endpoints);
}
