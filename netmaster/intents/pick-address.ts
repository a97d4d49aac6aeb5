import { type AddressFamily, contains, formatAddress, parseAddress } from "../../state/address.ts";
import type { AddressPoolView } from "../../state/allocators/address-pool.ts";
import { NetError } from "../../state/errors.ts";
import type { EndpointRecord } from "../../state/kinds/endpoint.ts";
import type { NetworkRecord } from "../../state/kinds/network.ts";
import { networkRanges } from "../../state/network-ranges.ts";
import type { ClusterView, IntentContext } from "../view/types.ts";
import { conflict, firstOf, invalid } from "./errors.ts";

/** What someone wants of one family of a network. */
export interface AddressWish {
  readonly view: ClusterView;
  readonly network: NetworkRecord;
  readonly family: AddressFamily;
  readonly pool: AddressPoolView;
  /** Group (its key) whose pool the address must come from, when it has one. */
  readonly groupKey: string | undefined;
  /** The address that is asked for, as text; undefined = any. */
  readonly requested: string | undefined;
  /** Member of the request that holds `requested`. */
  readonly field: string;
  /** The requested address may be one that this asker holds already. */
  readonly mayBeTaken?: boolean;
}

/** Refuses what would hand out a new address while nobody can say which ones live. */
export function refuseWhileHeld({ addressHold }: IntentContext): void {
  if (addressHold !== undefined) throw new NetError("UNAVAILABLE", addressHold, { reason: "addresses-held" });
}

/** The address to hand out, in canonical text. */
export function pickAddress(wish: AddressWish): string {
  const address = wish.requested === undefined ? nextAddress(wish) : requestedAddress(wish, wish.requested);
  return formatAddress(wish.family, address);
}

function nextAddress({ pool, groupKey, network, family }: AddressWish): bigint {
  const ownPool = ownPoolOf(pool, groupKey);
  const address = pool.nextFree(ownPool);
  if (address !== undefined) return address;
  const details = { reason: "addresses-exhausted" };
  if (ownPool !== undefined) {
    const message = `No IPv4 address is left in the pool of endpoint group ${ownPool}; delete an endpoint of the group`;
    throw new NetError("EXHAUSTED", message, details);
  }
  const subnet = family === 4 ? network.config.subnet : network.config.ipv6Subnet;
  const message = `No IPv${family} address is left in ${subnet} of network ${network.key}; delete an endpoint or use another network`;
  throw new NetError("EXHAUSTED", message, details);
}

function requestedAddress(wish: AddressWish, requested: string): bigint {
  const { network, family, pool, groupKey, field } = wish;
  const address = parseAddress(family, requested);
  if (address === undefined) throw invalid(field, `must be an IPv${family} address, not "${requested}"`);
  const ownPool = ownPoolOf(pool, groupKey);
  const bounds = ownPool === undefined ? pool.bounds : pool.poolRange(ownPool);
  if (bounds === undefined || !contains(bounds, address)) {
    const where = ownPool === undefined ? `network ${network.key}` : `the pool of endpoint group ${ownPool}`;
    throw invalid(field, `${requested} is not an address that ${where} hands out`);
  }
  const holder = pool.poolOf(address);
  if (holder !== ownPool)
    throw conflict("address-taken", `${field}: ${requested} belongs to the pool of endpoint group ${holder}`, field);
  const ranges = networkRanges(network.config)[family === 4 ? "ipv4" : "ipv6"];
  if (ranges?.gateway === address)
    throw conflict("address-taken", `${field}: ${requested} is the gateway of network ${network.key}`, field);
  if (wish.mayBeTaken !== true && pool.isTaken(address)) {
    const holder = holderOf(wish, (ip) => ip === formatAddress(family, address));
    throw conflict("address-taken", `${field}: ${requested} is taken in network ${network.key}${holder}`, field);
  }
  return address;
}

export interface HeldIn {
  readonly view: ClusterView;
  readonly network: NetworkRecord;
}

/** More endpoints are not looked through for an answer that refuses: the leader has other work. */
const LOOKED_AT_MAX = 5_000;

/** Who has such an address, so that it can be freed; completes "is taken". A network is one tenant's, who may know. */
export function holderOf({ view, network }: HeldIn, isHeld: (ip: string) => boolean): string {
  for (const key of firstOf(view.endpointsOfNetwork(network.key), LOOKED_AT_MAX)) {
    const endpoint = view.records("endpoint").get(key);
    if (endpoint === undefined) continue;
    if ([endpoint.ipv4, endpoint.ipv6].some((ip) => ip !== undefined && isHeld(ip)))
      return ` by endpoint ${describeHolder(endpoint)}`;
  }
  for (const key of view.addressesOfNetwork(network.key)) {
    const address = view.records("address").get(key);
    if (address !== undefined && isHeld(address.ip))
      return " by an address that POST /plugin/allocAddress handed out; POST /plugin/releaseAddress frees it";
  }
  return `; GET /api/v1/inspect/networks/${network.key}/ shows its endpoints`;
}

function describeHolder({ key, podNamespace, podName, nodeName }: EndpointRecord): string {
  const pod = podNamespace === "" ? podName : `${podNamespace}/${podName}`;
  return podName === "" ? `${key} on node ${nodeName}` : `${key} (pod ${pod}) on node ${nodeName}`;
}

/** The group's key when the group has a pool of this family. */
function ownPoolOf(pool: AddressPoolView, groupKey: string | undefined): string | undefined {
  return groupKey !== undefined && pool.poolRange(groupKey) !== undefined ? groupKey : undefined;
}
