import { type AddressRange, addressOf, hostRange, type Subnet } from "./address.ts";
import { maxBigint, minBigint } from "./bigint.ts";
import { NetError } from "./errors.ts";
import type { EndpointGroupRecord } from "./kinds/endpoint-group.ts";
import type { NetworkRecord } from "./kinds/network.ts";
import { parseIpv6Subnet, parseNetworkSubnet, parsePool } from "./network-subnet.ts";

/** What one family of a network has to give. */
export interface FamilyRanges {
  readonly subnet: Subnet;
  /** Addresses that may be handed out, group pools included. */
  readonly bounds: AddressRange;
  readonly gateway: bigint | undefined;
}

export interface NetworkRanges {
  readonly ipv4: FamilyRanges;
  readonly ipv6: FamilyRanges | undefined;
}

type NetworkConfig = NetworkRecord["config"];

const rangesByConfig = new WeakMap<NetworkConfig, NetworkRanges>();

/** The ranges of a network; computed once per configuration object. */
export function networkRanges(config: NetworkConfig): NetworkRanges {
  const known = rangesByConfig.get(config);
  if (known !== undefined) return known;
  const ranges = { ipv4: ipv4Ranges(config), ipv6: ipv6Ranges(config) };
  rangesByConfig.set(config, ranges);
  return ranges;
}

function ipv4Ranges(config: NetworkConfig): FamilyRanges {
  const { subnet, range } = parsed(parseNetworkSubnet(config.subnet), config.subnet);
  const gateway = config.gateway === "" ? undefined : addressOf(4, config.gateway);
  return { subnet, bounds: clipped(range ?? subnet, hostRange(subnet)), gateway };
}

function ipv6Ranges(config: NetworkConfig): FamilyRanges | undefined {
  if (config.ipv6Subnet === "") return undefined;
  const subnet = parsed(parseIpv6Subnet(config.ipv6Subnet), config.ipv6Subnet);
  const gateway = config.ipv6Gateway === "" ? undefined : addressOf(6, config.ipv6Gateway);
  return { subnet, bounds: hostRange(subnet), gateway };
}

/** The addresses of a group's pool that endpoints may have; undefined when the group has no pool. */
export function groupPoolRange(group: EndpointGroupRecord["config"], network: NetworkConfig): AddressRange | undefined {
  if (group.ipPool === "") return undefined;
  return clipped(parsed(parsePool(group.ipPool), group.ipPool), hostRange(networkRanges(network).ipv4.subnet));
}

/** The common part of two ranges; empty (first > last) when they have none. */
function clipped(range: AddressRange, within: AddressRange): AddressRange {
  return { first: maxBigint(range.first, within.first), last: minBigint(range.last, within.last) };
}

function parsed<T>(result: T | string, text: string): T {
  if (typeof result === "string") throw new NetError("INTERNAL", `Stored text "${text}" ${result}`);
  return result;
}
