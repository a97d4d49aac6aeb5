import { type AddressFamily, addressOf, contains, formatIpv4, parseIpv6 } from "../address.ts";
import type { EndpointRecord } from "../kinds/endpoint.ts";
import type { NetworkRecord } from "../kinds/network.ts";
import { networkRanges } from "../network-ranges.ts";
import type { PolicyWorld } from "./world.ts";

const LINK_LOCAL_PREFIX = 0xfe80n << 48n;
/** `02:02:` of the MAC address after the modified EUI-64 has inverted its universal bit, and the `ff:fe` in its middle. */
const EUI64_HEAD = 0x0002n;
const EUI64_MIDDLE = 0xfffen;

/**
 * The endpoint that an address of a network's packets belongs to. In routing mode packets come from and go to other networks of the
 * tenant too; their subnets never overlap. Undefined for addresses outside, and for those that nobody holds.
 */
export function endpointOf(
  world: PolicyWorld,
  network: NetworkRecord,
  { family, address }: { readonly family: AddressFamily; readonly address: string },
): EndpointRecord | undefined {
  if (family === 6 && address.startsWith("fe80:")) return linkLocalHolder(world, network, address);
  const here = world.endpointAt(network, address);
  if (here !== undefined || !world.isRouting) return here;
  const number = addressOf(family, address);
  for (const other of world.networksOfTenant(network.config.tenantName)) {
    const subnet = networkRanges(other.config)[family === 4 ? "ipv4" : "ipv6"]?.subnet;
    if (subnet !== undefined && contains(subnet, number)) return world.endpointAt(other, address);
  }
  return undefined;
}

/** An endpoint's link-local address says its MAC address (RFC 4291, appendix A), and that says its IPv4 address (contract §7). */
function linkLocalHolder(world: PolicyWorld, network: NetworkRecord, address: string): EndpointRecord | undefined {
  const bits = parseIpv6(address) ?? 0n;
  const isOurs =
    bits >> 64n === LINK_LOCAL_PREFIX &&
    ((bits >> 48n) & 0xffffn) === EUI64_HEAD &&
    ((bits >> 24n) & 0xffffn) === EUI64_MIDDLE;
  if (!isOurs) return undefined;
  const ipv4 = (((bits >> 40n) & 0xffn) << 24n) | (bits & 0xffffffn);
  const endpoint = world.endpointAt(network, formatIpv4(ipv4));
  return endpoint?.ipv6 === undefined ? undefined : endpoint;
}
