/** Text of IPv4, IPv6 and MAC addresses to numbers and bytes, and back: everything in the project that reads or writes addresses stands on this. */

const [COLON, DOT, ZERO, NINE] = [0x3a, 0x2e, 0x30, 0x39];
const GROUPS = 8;
const MAC_LENGTH = 17;
const MAC_BYTES = 6;
/** Two digits of each byte. */
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** Negative when it is none. */
function hexDigit(code: number): number {
  if (code >= ZERO && code <= NINE) return code - ZERO;
  const letter = code | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

/** 32 bits of a dotted quad without leading zeros; undefined when it is none. One pass: flows and verdicts on packets need it quick. */
export function ipv4Number(text: string): number | undefined {
  let value = 0;
  let octet = -1;
  let dotCount = 0;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
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
  return dotCount === 3 && octet >= 0 ? value * 256 + octet : undefined;
}

export function ipv4Text(bits: number): string {
  return `${bits >>> 24}.${(bits >>> 16) & 255}.${(bits >>> 8) & 255}.${bits & 255}`;
}

/** The eight groups of any text form of RFC 4291 §2.2, without zone; undefined when it is none. */
export function ipv6Groups(text: string): number[] | undefined {
  const groups: number[] = [];
  let gapAt = -1;
  let at = 0;
  if (text.startsWith(":")) {
    if (text.charCodeAt(1) !== COLON) return undefined;
    gapAt = 0;
    at = 2;
  }
  while (at < text.length) {
    const end = endOfGroup(text, at);
    if (text.charCodeAt(end) === DOT) {
      const ipv4 = ipv4Number(text.slice(at)); // ends the text
      if (ipv4 === undefined) return undefined;
      groups.push(ipv4 >>> 16, ipv4 & 0xffff);
      break;
    }
    if (end === at || end - at > 4 || groups.length === GROUPS) return undefined;
    groups.push(groupOf(text, at, end));
    if (end === text.length) break;
    if (text.charCodeAt(end) !== COLON || end + 1 === text.length) return undefined;
    at = end + 1;
    if (text.charCodeAt(at) !== COLON) continue;
    if (gapAt >= 0) return undefined;
    gapAt = groups.length;
    at += 1;
  }
  return gapAt < 0 ? whole(groups) : withGap(groups, gapAt);
}

function endOfGroup(text: string, start: number): number {
  let end = start;
  while (end < text.length && hexDigit(text.charCodeAt(end)) >= 0) end += 1;
  return end;
}

function groupOf(text: string, start: number, end: number): number {
  let value = 0;
  for (let at = start; at < end; at += 1) value = value * 16 + hexDigit(text.charCodeAt(at));
  return value;
}

function whole(groups: number[]): number[] | undefined {
  return groups.length === GROUPS ? groups : undefined;
}

/** `::` stands for one group at least. */
function withGap(groups: number[], gapAt: number): number[] | undefined {
  if (groups.length >= GROUPS) return undefined;
  const all = [0, 0, 0, 0, 0, 0, 0, 0];
  const shift = GROUPS - groups.length;
  for (let index = 0; index < groups.length; index += 1) {
    all[index < gapAt ? index : index + shift] = groups[index] ?? 0;
  }
  return all;
}

/** Canonical text of RFC 5952: lower case, the first longest run of at least two zero groups shortened. */
export function ipv6Text(groups: ArrayLike<number>): string {
  const { start, length } = longestZeroRun(groups);
  let text = "";
  for (let index = 0; index < GROUPS; index += 1) {
    if (index === start && length >= 2) {
      text += index === 0 ? "::" : ":";
      index += length - 1;
    } else {
      text += (groups[index] ?? 0).toString(16);
      if (index < GROUPS - 1) text += ":";
    }
  }
  return text;
}

function longestZeroRun(groups: ArrayLike<number>): { readonly start: number; readonly length: number } {
  let [bestStart, bestLength, start] = [0, 0, 0];
  for (let index = 0; index < GROUPS; index += 1) {
    if (groups[index] !== 0) start = index + 1;
    else if (index + 1 - start > bestLength) [bestStart, bestLength] = [start, index + 1 - start];
  }
  return { start: bestStart, length: bestLength };
}

/** 128 bits of eight groups. */
export function ipv6Bits(groups: readonly number[]): bigint {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = groups;
  const high = (BigInt(a * 65_536 + b) << 32n) | BigInt(c * 65_536 + d);
  return (high << 64n) | (BigInt(e * 65_536 + f) << 32n) | BigInt(g * 65_536 + h);
}

export function groupsOfBits(bits: bigint): number[] {
  const groups: number[] = [];
  for (let shift = 96n; shift >= 0n; shift -= 32n) {
    const word = Number((bits >> shift) & 0xffffffffn);
    groups.push(word >>> 16, word & 0xffff);
  }
  return groups;
}

/** 16 bytes in network order; undefined when the text is no IPv6 address. */
export function ipv6Bytes(text: string): Buffer | undefined {
  const groups = ipv6Groups(text);
  if (groups === undefined) return undefined;
  const bytes = Buffer.allocUnsafe(2 * GROUPS);
  for (let index = 0; index < GROUPS; index += 1) bytes.writeUInt16BE(groups[index] ?? 0, 2 * index);
  return bytes;
}

/** 4 or 16 bytes in network order; undefined when the text is no address. */
export function ipBytes(text: string): Buffer | undefined {
  const ipv4 = ipv4Number(text);
  if (ipv4 === undefined) return ipv6Bytes(text);
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(ipv4);
  return bytes;
}

/** Text of the first 4 bytes. */
export function ipv4TextOf(bytes: Uint8Array): string {
  return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}`;
}

/** Canonical text of the first 16 bytes. */
export function ipv6TextOf(bytes: Uint8Array): string {
  const groups: number[] = [];
  for (let at = 0; at < 2 * GROUPS; at += 2) groups.push((bytes[at] ?? 0) * 256 + (bytes[at + 1] ?? 0));
  return ipv6Text(groups);
}

/** Canonical text of 4 or 16 bytes; undefined for any other number of bytes. */
export function ipText(bytes: Uint8Array): string | undefined {
  if (bytes.length === 4) return ipv4TextOf(bytes);
  return bytes.length === 2 * GROUPS ? ipv6TextOf(bytes) : undefined;
}

/** The one text that an IPv6 address has in any of its forms (RFC 5952); undefined when it is none. */
export function canonicalIpv6(text: string): string | undefined {
  const groups = ipv6Groups(text);
  return groups === undefined ? undefined : ipv6Text(groups);
}

/** 4, 6, or undefined when it is no address. */
export function ipFamily(text: string): 4 | 6 | undefined {
  if (ipv4Number(text) !== undefined) return 4;
  return ipv6Groups(text) === undefined ? undefined : 6;
}

/** An address, and the length in bits of its prefix where one is given. */
export interface PrefixText {
  readonly family: 4 | 6;
  readonly address: string;
  readonly prefixLength: number | undefined;
}

/** Splits `10.1.2.3/24`, `10.1.2.3`, `fd00::5/64`; undefined when it is none of these. */
export function parsePrefix(text: string): PrefixText | undefined {
  const slash = text.lastIndexOf("/");
  const address = slash < 0 ? text : text.slice(0, slash);
  const family = ipFamily(address);
  if (family === undefined) return undefined;
  if (slash < 0) return { family, address, prefixLength: undefined };
  const digits = text.slice(slash + 1);
  const prefixLength = Number(digits);
  const isValid = /^\d{1,3}$/.test(digits) && prefixLength <= (family === 4 ? 32 : 128);
  return isValid ? { family, address, prefixLength } : undefined;
}

/** 48 bits of `02:02:0a:00:00:01` in either case, as a number; undefined when it is none. Called for every flow, so it makes nothing. */
export function macNumber(text: string): number | undefined {
  if (text.length !== MAC_LENGTH) return undefined;
  let value = 0;
  for (let at = 0; at < MAC_LENGTH; at += 1) {
    const code = text.charCodeAt(at);
    if (at % 3 === 2) {
      if (code !== COLON) return undefined;
      continue;
    }
    const digit = hexDigit(code);
    if (digit < 0) return undefined;
    value = value * 16 + digit;
  }
  return value;
}

export function macBytes(text: string): Buffer | undefined {
  const value = macNumber(text);
  if (value === undefined) return undefined;
  const bytes = Buffer.allocUnsafe(MAC_BYTES);
  bytes.writeUIntBE(value, 0, MAC_BYTES);
  return bytes;
}

/** Lower-case hexadecimal with colons, of any number of bytes: some links have longer addresses. */
export function macText(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 1) text += at === 0 ? HEX[bytes[at] ?? 0] : `:${HEX[bytes[at] ?? 0]}`;
  return text;
}
