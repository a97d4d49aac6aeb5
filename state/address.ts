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

const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const ADDRESS_BITS = { 4: 32, 6: 128 } as const;

/** Parses a dotted quad without leading zeros; undefined when it is none. In one pass: verdicts on packets need it quick. */
export function parseIpv4(text: string): bigint | undefined {
  let value = 0;
  let octet = -1;
  let dotCount = 0;
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code === DOT && octet >= 0) {
      value = value * 256 + octet;
      octet = -1;
      dotCount += 1;
    } else {
      if (code < ZERO || code > NINE || octet === 0) return undefined;
      octet = Math.max(octet, 0) * 10 + code - ZERO;
      if (octet > 255) return undefined;
    }
  }
  return dotCount === 3 && octet >= 0 ? BigInt(value * 256 + octet) : undefined;
}

export function formatIpv4(address: bigint): string {
  const value = Number(address);
  return [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255].join(".");
}

/** Parses the text forms of RFC 4291 §2.2, without zone; undefined when it is none. */
export function parseIpv6(text: string): bigint | undefined {
  const groups = ipv6Groups(text);
  return groups?.reduce((value, group) => value * 65_536n + BigInt(group), 0n);
}

function ipv6Groups(text: string): readonly number[] | undefined {
  const halves = withoutDottedTail(text)?.split("::");
  if (halves === undefined || halves.length > 2) return undefined;
  const [head, tail] = halves.map((half) => (half === "" ? [] : half.split(":").map(parseGroup)));
  const known = [...(head ?? []), ...(tail ?? [])];
  if (known.some(Number.isNaN)) return undefined;
  if (tail === undefined) return known.length === 8 ? known : undefined;
  if (known.length > 7) return undefined;
  return [...(head ?? []), ...new Array<number>(8 - known.length).fill(0), ...tail];
}

function parseGroup(text: string): number {
  return /^[0-9a-fA-F]{1,4}$/.test(text) ? Number.parseInt(text, 16) : Number.NaN;
}

/** Rewrites a dotted last part (`::ffff:10.0.0.1`) as two groups. */
function withoutDottedTail(text: string): string | undefined {
  if (!text.includes(".")) return text;
  const colon = text.lastIndexOf(":");
  const ipv4 = parseIpv4(text.slice(colon + 1));
  if (colon < 0 || ipv4 === undefined) return undefined;
  return `${text.slice(0, colon + 1)}${(ipv4 >> 16n).toString(16)}:${(ipv4 & 0xffffn).toString(16)}`;
}

/** Canonical text of RFC 5952: lower case, the longest run of at least two zero groups shortened. */
export function formatIpv6(address: bigint): string {
  const groups = Array.from({ length: 8 }, (_, index) => Number((address >> BigInt(112 - 16 * index)) & 0xffffn));
  const run = longestZeroRun(groups);
  const hex = groups.map((group) => group.toString(16));
  if (run.length < 2) return hex.join(":");
  return `${hex.slice(0, run.start).join(":")}::${hex.slice(run.start + run.length).join(":")}`;
}

function longestZeroRun(groups: readonly number[]): { readonly start: number; readonly length: number } {
  let best = { start: 0, length: 0 };
  let start = 0;
  groups.forEach((group, index) => {
    if (group !== 0) start = index + 1;
    else if (index + 1 - start > best.length) best = { start, length: index + 1 - start };
  });
  return best;
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
