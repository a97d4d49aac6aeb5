import { ipBytes, ipFamily, ipText, parsePrefix as parsePrefixText } from "../../state/address-codec.ts";
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
  const family = ipFamily(address);
  if (family === undefined) throw new NetError("INVALID", `"${address}" is not an IP address`);
  return family === 4 ? "ipv4" : "ipv6";
}

/** 4 or 16 bytes in network order. */
export function ipToBytes(address: string): Buffer {
  const bytes = ipBytes(address);
  if (bytes === undefined) throw new NetError("INVALID", `"${address}" is not an IP address`);
  return bytes;
}

/** Canonical text (RFC 5952 for IPv6) of 4 or 16 bytes. */
export function bytesToIp(address: Uint8Array): string {
  const text = ipText(address);
  if (text === undefined) throw malformed(`an IP address of ${address.length} bytes`);
  return text;
}

/** An address and the length of its prefix, `10.0.0.0/8`. */
export interface Prefix {
  readonly family: Family;
  readonly address: string;
  readonly lengthBits: number;
}

export function parsePrefix(text: string): Prefix {
  const prefix = parsePrefixText(text);
  if (prefix?.prefixLength === undefined) {
    throw new NetError("INVALID", `"${text}" is not an address with a prefix length of 0 to 32 (IPv4) or 128 (IPv6)`);
  }
  const { family, address, prefixLength } = prefix;
  return { family: family === 4 ? "ipv4" : "ipv6", address, lengthBits: prefixLength };
}
