import { isIPv4, isIPv6 } from "node:net";
import { NetError } from "../../state/errors.ts";
import { malformed } from "./attributes.ts";

/** bits/socket.h */
export const AF_UNSPEC = 0;
export const AF_INET = 2;
export const AF_INET6 = 10;

export type Family = "ipv4" | "ipv6";

/** AF_… of a family; AF_UNSPEC asks for both. */
export function familyNumber(family: Family | undefined): number {
  if (family === undefined) return AF_UNSPEC;
  return family === "ipv4" ? AF_INET : AF_INET6;
}

/** `undefined` for families that are none of ours (bridge, MPLS). */
export function familyName(family: number): Family | undefined {
  if (family === AF_INET) return "ipv4";
  return family === AF_INET6 ? "ipv6" : undefined;
}

export function familyOf(address: string): Family {
  if (isIPv4(address)) return "ipv4";
  if (isIPv6(address) && !address.includes("%")) return "ipv6";
  throw new NetError("INVALID", `"${address}" is not an IP address`);
}

/** 4 or 16 bytes in network order. */
export function ipToBytes(address: string): Buffer {
  return familyOf(address) === "ipv4" ? Buffer.from(address.split(".").map(Number)) : ipv6ToBytes(address);
}

/** Canonical text (RFC 5952 for IPv6) of 4 or 16 bytes. */
export function bytesToIp(address: Uint8Array): string {
  if (address.length === 4) return address.join(".");
  if (address.length === 16) return ipv6ToText(address);
  throw malformed(`an IP address of ${address.length} bytes`);
}

/** An address and the length of its prefix, `10.0.0.0/8`. */
export interface Prefix {
  readonly family: Family;
  readonly address: string;
  readonly lengthBits: number;
}

export function parsePrefix(text: string): Prefix {
  const [address = "", length = "", ...rest] = text.split("/");
  const family = familyOf(address);
  const lengthBits = Number(length);
  const maxBits = family === "ipv4" ? 32 : 128;
  if (rest.length > 0 || !/^\d{1,3}$/.test(length) || lengthBits > maxBits) {
    throw new NetError("INVALID", `"${text}" is not an address with a prefix length of 0 to ${maxBits}`);
  }
  return { family, address, lengthBits };
}

function ipv6ToBytes(address: string): Buffer {
  const [head = "", tail] = address.split("::");
  const front = groups(head);
  const back = tail === undefined ? [] : groups(tail);
  const all = [...front, ...Array<number>(8 - front.length - back.length).fill(0), ...back];
  const result = Buffer.alloc(16);
  for (const [index, group] of all.entries()) result.writeUInt16BE(group, index * 2);
  return result;
}

function groups(part: string): number[] {
  if (part === "") return [];
  return part.split(":").flatMap((group) => (group.includes(".") ? embeddedIpv4(group) : [Number.parseInt(group, 16)]));
}

function embeddedIpv4(address: string): number[] {
  const four = Buffer.from(address.split(".").map(Number));
  return [four.readUInt16BE(0), four.readUInt16BE(2)];
}

function ipv6ToText(address: Uint8Array): string {
  const view = Buffer.from(address);
  const parts = Array.from({ length: 8 }, (_, index) => view.readUInt16BE(index * 2).toString(16));
  const { start, length } = longestZeros(parts);
  if (length < 2) return parts.join(":");
  return `${parts.slice(0, start).join(":")}::${parts.slice(start + length).join(":")}`;
}

function longestZeros(parts: readonly string[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let length = 0;
  for (const [index, part] of parts.entries()) {
    length = part === "0" ? length + 1 : 0;
    if (length > best.length) best = { start: index - length + 1, length };
  }
  return best;
}
