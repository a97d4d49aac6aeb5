import { formatAddress, overlaps } from "../../state/address.ts";
import { NetError } from "../../state/errors.ts";
import type { NetworkId } from "../../state/ids.ts";
import { isInfraEndpoint } from "../../state/infra.ts";
import { addressClaimKey, numberClaimKey } from "../../state/keys.ts";
import type { EndpointRecord } from "../../state/kinds/endpoint.ts";
import type { Network, NetworkRecord } from "../../state/kinds/network.ts";
import { type FamilyRanges, networkRanges } from "../../state/network-ranges.ts";
import { type ClusterView, type KeySet, MAX_PLAN_OPERATIONS, type Plan } from "../view/types.ts";
import { withUsableDriver } from "./drivers.ts";
import { OPERATIONS_PER_ENDPOINT, removeEndpoints } from "./endpoint.ts";
import { conflict, firstOf, immutable, invalid, notFound, refuseInUse } from "./errors.ts";
import { nextId } from "./ids.ts";
import { checkGateways, checkSubnets } from "./network-addresses.ts";
import { type Changed, changed, claimOf, plan, type Removed } from "./plan.ts";
import { requireTenant, scopedKey } from "./references.ts";
import { checkTagLimits, chooseTag, TAG_KINDS } from "./tags.ts";

/** Creates a network; an update is always refused (contract §6.2). */
export function upsertNetwork(view: ClusterView, asked: Network): Plan<Changed> {
  const key = scopedKey(asked.tenantName, asked.networkName);
  const config = withUsableDriver(asked);
  checkFields(config);
  if (view.records("network").has(key)) {
    throw immutable(`network ${key} exists already, and a network cannot be changed; delete it and create it anew`);
  }
  checkSubnets(config);
  const settings = view.records("global").get("global")?.config;
  if (settings === undefined) {
    throw new NetError("UNAVAILABLE", "The cluster's settings are not stored yet; nothing was changed, try again", {
      reason: "starting",
    });
  }
  const { tenantId } = requireTenant(view, config.tenantName);
  refuseOverlap(view, config);
  if (view.records("endpointGroup").has(key)) {
    throw conflict("name-taken", `networkName: an endpoint group is named ${key}; choose another name`, "networkName");
  }
  checkGateways(config);
  const tag = chooseTag(view, settings, config);
  const networkId = nextId(view, "network-id") as NetworkId;
  const record: NetworkRecord = { key, networkId, tenantId, tag, config };
  const claims = claimedKeys(record).map((storeKey) => claimOf("network", key, storeKey));
  return changed({ kind: "network", key, record }, { claims });
}

/** What contradicts itself, whatever the cluster holds. */
function checkFields(config: Network): void {
  if (config.ipv6Gateway !== "" && config.ipv6Subnet === "") throw invalid("ipv6Gateway", "needs an ipv6Subnet");
  if (config.physicalNetwork !== "" && config.encap !== "vlan") {
    throw invalid("physicalNetwork", `is for VLAN networks only, and encap is "${config.encap}"`);
  }
  checkTagLimits(config);
}

function refuseOverlap(view: ClusterView, config: Network): void {
  const mine = networkRanges(config);
  const others = [...view.networksOfTenant(config.tenantName)].flatMap((key) => view.records("network").get(key) ?? []);
  for (const [field, family] of [
    ["ipv6Subnet", "ipv6"],
    ["subnet", "ipv4"],
  ] as const) {
    const subnet = mine[family]?.subnet;
    const other = subnet && others.find((one) => isOverlapping(networkRanges(one.config)[family], subnet));
    if (other !== undefined) {
      const message = `${field}: ${config[field]} overlaps ${other.config[field]} of network ${other.key}`;
      throw conflict("subnet-overlap", message, field);
    }
  }
}

function isOverlapping(ranges: FamilyRanges | undefined, subnet: FamilyRanges["subnet"]): boolean {
  return ranges !== undefined && overlaps(ranges.subnet, subnet);
}

/** Store keys of what a network holds itself: id, tag, gateways. */
function claimedKeys({ networkId, tag, config }: NetworkRecord): readonly string[] {
  const { ipv4, ipv6 } = networkRanges(config);
  const gateways = [ipv4, ipv6].flatMap((ranges) =>
    ranges?.gateway === undefined ? [] : [formatAddress(ranges.subnet.family, ranges.gateway)],
  );
  return [
    numberClaimKey("network-id", networkId),
    numberClaimKey(TAG_KINDS[config.encap].pool, tag),
    ...gateways.map((ip) => addressClaimKey(networkId, ip)),
  ];
}

/**
 * Deletes a network that nobody uses, the addresses that v1 clients still hold in it and, of an infra network, the nodes' own
 * endpoints.
 */
export function deleteNetwork(view: ClusterView, key: string): Plan<Removed> {
  const network = view.records("network").get(key);
  if (network === undefined) throw notFound("network", key);
  const { ofNodes, others } = usersOf(view, network);
  refuseInUse(`network ${key}`, [
    { noun: "endpoint group", keys: view.groupsOfNetwork(key) },
    { noun: "endpoint", keys: others },
  ]);
  const own = claimedKeys(network);
  const room = MAX_PLAN_OPERATIONS - 1 - own.length;
  const leases = removeEndpoints(undefined, firstOf(ofNodes, Math.floor(room / OPERATIONS_PER_ENDPOINT)));
  const bare = view.addressesOfNetwork(key);
  const now = firstOf(bare, Math.floor((room - leases.deletes.length - leases.releases.length) / 2));
  const remaining = ofNodes.length - leases.deletes.length + bare.size - now.length;
  const addresses = now.flatMap((addressKey) => view.records("address").get(addressKey) ?? []);
  const deletes = [...leases.deletes, ...addresses.map((address) => ({ kind: "address", key: address.key }) as const)];
  const releases = [...leases.releases, ...addresses.map(({ ip }) => addressClaimKey(network.networkId, ip))];
  if (remaining > 0) return plan({ key, remaining }, { deletes, releases });
  return plan({ key, remaining }, { deletes: [...deletes, { kind: "network", key }], releases: [...releases, ...own] });
}

/** An infra network's endpoints that go with it, for nodes have them because it exists; all others stand in its way. */
function usersOf(
  view: ClusterView,
  { key, config }: NetworkRecord,
): { readonly ofNodes: readonly EndpointRecord[]; readonly others: KeySet } {
  const all = view.endpointsOfNetwork(key);
  if (config.nwType !== "infra") return { ofNodes: [], others: all };
  const endpoints = [...all].flatMap((endpointKey) => view.records("endpoint").get(endpointKey) ?? []);
  const others = endpoints.filter((endpoint) => !isInfraEndpoint(endpoint)).map((endpoint) => endpoint.key);
  return { ofNodes: endpoints.filter(isInfraEndpoint), others: new Set(others) };
}
