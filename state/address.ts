import { groupsOfBits, ipv4Number, ipv4Text, ipv6Bits, ipv6Groups, ipv6Text } from "./address-codec.ts";
import { NetError } from "./errors.ts";

export type AddressFamily = 4 | 6;

/** Addresses `first` to `last`, both included, as numbers of the address's 32 or 128 bits. */
export interface AddressRange {
  readonly first: bigint;
  readonly last: bigint;
}

/** A subnet: `prefix` has its host bits cleared. */
export interface Subnet extends AddressRange {
  readonly family: AddressFamily;
  readonly prefixLength: number;
}

const ADDRESS_BITS = { 4: 32, 6: 128 } as const;

/** Parses a dotted quad without leading zeros; undefined when it is none. */
export function parseIpv4(text: string): bigint | undefined {
  const bits = ipv4Number(text);
  return bits === undefined ? undefined : BigInt(bits);
}

export function formatIpv4(address: bigint): string {
  return ipv4Text(Number(address));
}

/** Parses the text forms of RFC 4291 §2.2, without zone; undefined when it is none. */
export function parseIpv6(text: string): bigint | undefined {
  const groups = ipv6Groups(text);
  return groups === undefined ? undefined : ipv6Bits(groups);
}

/** Canonical text of RFC 5952. */
export function formatIpv6(address: bigint): string {
  return ipv6Text(groupsOfBits(address));
}

export function parseAddress(family: AddressFamily, text: string): bigint | undefined {
  return family === 4 ? parseIpv4(text) : parseIpv6(text);
}

export function formatAddress(family: AddressFamily, address: bigint): string {
  return family === 4 ? formatIpv4(address) : formatIpv6(address);
}

/** The address of a value that has passed its schema; anything else is a defect of ours. */
export function addressOf(family: AddressFamily, text: string): bigint {
  const address = parseAddress(family, text);
  if (address === undefined) throw new NetError("INTERNAL", `Cannot read "${text}" as an IPv${family} address`);
  return address;
}

/** The subnet of that length which holds the address. */
export function subnetOf(family: AddressFamily, address: bigint, prefixLength: number): Subnet {
  const hostBits = BigInt(ADDRESS_BITS[family] - prefixLength);
  const first = (address >> hostBits) << hostBits;
  return { family, prefixLength, first, last: first + (1n << hostBits) - 1n };
}

/** Parses `address/length`; host bits are accepted and cleared. */
export function parseSubnet(family: AddressFamily, text: string): Subnet | undefined {
  const match = /^([^/]+)\/(0|[1-9]\d{0,2})$/.exec(text);
  const address = parseAddress(family, match?.[1] ?? "");
  const prefixLength = Number(match?.[2]);
  if (address === undefined || prefixLength > ADDRESS_BITS[family]) return undefined;
  return subnetOf(family, address, prefixLength);
}

export function contains(range: AddressRange, address: bigint): boolean {
  return range.first <= address && address <= range.last;
}

export function overlaps(left: AddressRange, right: AddressRange): boolean {
  return left.first <= right.last && right.first <= left.last;
}

/** `10.1.1.1`, or `10.1.1.1-10.1.1.9`. */
export function formatRange(family: AddressFamily, range: AddressRange): string {
  const first = formatAddress(family, range.first);
  return range.first === range.last ? first : `${first}-${formatAddress(family, range.last)}`;
}

/**
 * Addresses of a subnet that hosts may have: without network and broadcast address (IPv4; both of a /31 are usable, RFC 3021),
 * without the subnet-router anycast address (IPv6, RFC 4291 §2.6.1; both of a /127 are usable, RFC 6164).
 */
export function hostRange(subnet: Subnet): AddressRange {
  const hostBits = ADDRESS_BITS[subnet.family] - subnet.prefixLength;
  if (hostBits <= 1) return { first: subnet.first, last: subnet.last };
  return { first: subnet.first + 1n, last: subnet.family === 4 ? subnet.last - 1n : subnet.last };
}
