import { parseIpv4, parseIpv6 } from "../../state/address.ts";

/** IP packets as hexadecimal text, made part by part, so that a test can leave a part out, cut it short, or let it lie. */

const hex = (value: number | bigint, bytes: number) => value.toString(16).padStart(bytes * 2, "0");
const isIpv6 = (address: string) => address.includes(":");
const addressHex = (address: string) =>
  isIpv6(address) ? hex(parseIpv6(address) ?? 0n, 16) : hex(parseIpv4(address) ?? 0n, 4);
const bytesOf = (text: string) => text.length / 2;

/** Text as the bytes of a packet. */
export function payload(text: string): string {
  return Buffer.from(text).toString("hex");
}

/** The Internet checksum (RFC 1071); an odd byte counts as if a zero followed. */
function checksum(data: string): string {
  let sum = 0;
  for (let at = 0; at < data.length; at += 4) sum += Number.parseInt(data.slice(at, at + 4).padEnd(4, "0"), 16);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return hex(~sum & 0xffff, 2);
}

/** The addresses of a packet. */
export interface Between {
  readonly src: string;
  readonly dst: string;
}

function pseudoHeader({ src, dst }: Between, protocol: number, data: string): string {
  const addresses = addressHex(src) + addressHex(dst);
  return isIpv6(src)
    ? `${addresses}${hex(bytesOf(data), 4)}${hex(protocol, 4)}`
    : `${addresses}${hex(protocol, 2)}${hex(bytesOf(data), 2)}`;
}

export interface Ports {
  readonly srcPort: number;
  readonly dstPort: number;
}

export function udp(between: Between, { srcPort, dstPort }: Ports, data: string): string {
  const head = `${hex(srcPort, 2)}${hex(dstPort, 2)}${hex(8 + bytesOf(data), 2)}`;
  const sum = checksum(`${pseudoHeader(between, 17, `${head}0000${data}`)}${head}0000${data}`);
  return `${head}${sum}${data}`;
}

export function tcp(between: Between, { srcPort, dstPort }: Ports, flags: number, data = ""): string {
  const head = `${hex(srcPort, 2)}${hex(dstPort, 2)}${hex(1_000, 4)}${hex(2_000, 4)}50${hex(flags, 1)}ffff`;
  const sum = checksum(`${pseudoHeader(between, 6, `${head}00000000${data}`)}${head}00000000${data}`);
  return `${head}${sum}0000${data}`;
}

/** An ICMP or ICMPv6 message; `rest` is what follows the checksum. */
export function icmp(between: Between, type: number, code: number, rest: string): string {
  const head = `${hex(type, 1)}${hex(code, 1)}`;
  const pseudo = isIpv6(between.src) ? pseudoHeader(between, 58, `${head}0000${rest}`) : "";
  return `${head}${checksum(`${pseudo}${head}0000${rest}`)}${rest}`;
}

export interface Ipv4Header extends Between {
  readonly protocol: number;
  readonly ttl?: number;
  /** More follow. */
  readonly isFragment?: boolean;
  readonly offsetBytes?: number;
  readonly identification?: number;
  /** What the header says instead of the truth. */
  readonly totalLengthBytes?: number;
}

export function ipv4(header: Ipv4Header, data: string): string {
  const { src, dst, protocol, ttl = 64, isFragment = false, offsetBytes = 0, identification = 1 } = header;
  const length = header.totalLengthBytes ?? 20 + bytesOf(data);
  const fragment = (isFragment ? 0x2000 : 0) | (offsetBytes / 8);
  const head = `4500${hex(length, 2)}${hex(identification, 2)}${hex(fragment, 2)}${hex(ttl, 1)}${hex(protocol, 1)}`;
  const ends = addressHex(src) + addressHex(dst);
  return `${head}${checksum(`${head}0000${ends}`)}${ends}${data}`;
}

export interface Ipv6Header extends Between {
  readonly nextHeader: number;
  readonly hopLimit?: number;
  /** What the header says instead of the truth. */
  readonly payloadLengthBytes?: number;
}

export function ipv6({ src, dst, nextHeader, hopLimit = 64, payloadLengthBytes }: Ipv6Header, data: string): string {
  const length = payloadLengthBytes ?? bytesOf(data);
  return `60000000${hex(length, 2)}${hex(nextHeader, 1)}${hex(hopLimit, 1)}${addressHex(src)}${addressHex(dst)}${data}`;
}

export interface FragmentPlace {
  readonly offsetBytes: number;
  readonly isLast: boolean;
  readonly identification?: number;
}

/** The IPv6 fragment header (RFC 8200 §4.5). */
export function fragmentHeader(nextHeader: number, { offsetBytes, isLast, identification = 1 }: FragmentPlace): string {
  return `${hex(nextHeader, 1)}00${hex(offsetBytes | (isLast ? 0 : 1), 2)}${hex(identification, 4)}`;
}

/** An IPv6 options header (hop-by-hop 0, destination 60) of eight bytes that says nothing. */
export function optionsHeader(nextHeader: number): string {
  return `${hex(nextHeader, 1)}00010400000000`;
}

/** A neighbour advertisement's body (RFC 4861 §4.4) behind the checksum. */
export function advertisementBody(target: string, mac: string): string {
  return `20000000${addressHex(target)}0201${mac.replaceAll(":", "")}`;
}

/** An Ethernet frame around an IP packet, filled up to the least length. */
export function frameOf({ src, dst }: Between, packet: string): string {
  const etherType = packet.startsWith("6") ? "86dd" : "0800";
  return `${dst.replaceAll(":", "")}${src.replaceAll(":", "")}${etherType}${packet}`.padEnd(120, "0");
}
