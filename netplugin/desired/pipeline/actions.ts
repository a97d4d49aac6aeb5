import type { Action, FieldValue } from "../../../drivers/ovs/openflow/action.ts";
import type { FieldName } from "../../../drivers/ovs/openflow/fields.ts";
import type { Match } from "../../../drivers/ovs/openflow/match.ts";
import { formatIpv6 } from "../../../state/address.ts";
import { canonicalIpv6 as canonicalText, macNumber } from "../../../state/address-codec.ts";
import { NetError } from "../../../state/errors.ts";
import type { Mac } from "../../../state/ids.ts";
import { Register } from "./pipeline.ts";

/** Bits of an Ethernet address. */
const MAC_BIT_COUNT = 48;
const VLAN_BIT_COUNT = 12;

/** ICMPv6 types (RFC 4443, RFC 4861 §4, RFC 2710, RFC 3810). */
export const Icmpv6 = {
  unreadable: 0,
  echoRequest: 128,
  echoReply: 129,
  multicastReport: 131,
  routerSolicitation: 133,
  routerAdvertisement: 134,
  neighbourSolicitation: 135,
  neighbourAdvertisement: 136,
  redirect: 137,
  multicastReportV2: 143,
} as const;

export const ArpOp = { request: 1, reply: 2 } as const;

/** Broadcast and multicast: the group bit (IEEE 802.3 §3.2.3). */
export const GROUP_MAC = "01:00:00:00:00:00/01:00:00:00:00:00";

/** Everything else. */
export const UNICAST_MAC = "00:00:00:00:00:00/01:00:00:00:00:00";

export const EtherType = { ipv4: 0x0800, arp: 0x0806, ipv6: 0x86dd } as const;

/** ICMP messages about another packet (RFC 792, RFC 4443 §2.1). */
export const ICMP_ERRORS: readonly Match[] = [
  ...[3, 4, 5, 11, 12].map((icmpType) => ({ icmpType })),
  ...[1, 2, 3, 4].map((icmpv6Type) => ({ icmpv6Type })),
];

/** The errors that a host sends, not a router: protocol or port unreachable, unknown next header (RFC 1122 §3.2.2.1, RFC 4443 §3). */
export const HOST_ERRORS = {
  4: [
    { icmpType: 3, icmpCode: 2 },
    { icmpType: 3, icmpCode: 3 },
  ],
  6: [
    { icmpv6Type: 1, icmpv6Code: 4 },
    { icmpv6Type: 4, icmpv6Code: 1 },
  ],
} as const satisfies Record<4 | 6, readonly Match[]>;

/** What makes a message of neighbour discovery acceptable: nobody has forwarded it, and it is whole (RFC 4861 §7.1, RFC 6980 §5). */
export const UNFORWARDED = { ipTtl: 255, ipFrag: "no" } as const satisfies Match;

/** Neighbour solicitations; ND options can be matched only where the code is 0 too. */
export const SOLICITATION = { icmpv6Type: Icmpv6.neighbourSolicitation, icmpv6Code: 0 } as const satisfies Match;
export const ADVERTISEMENT = { icmpv6Type: Icmpv6.neighbourAdvertisement, icmpv6Code: 0 } as const satisfies Match;

export function setField(field: FieldName, value: FieldValue): Action {
  return { kind: "setField", field, value };
}

/** Copies a whole field of that many bits. */
export function moveField(src: FieldName, dst: FieldName, bitCount: number): Action {
  return { kind: "move", src: { field: src, startBit: 0, bitCount }, dst: { field: dst, startBit: 0, bitCount } };
}

export function moveMac(src: FieldName, dst: FieldName): Action {
  return moveField(src, dst, MAC_BIT_COUNT);
}

export function output(port: number | "in_port"): Action {
  return { kind: "output", port };
}

/** Puts the tag of an uplink frame back on. */
export function restoreUplinkVlan(): readonly Action[] {
  return [{ kind: "pushVlan" }, moveField(Register.uplinkVlan, "vlanVid", VLAN_BIT_COUNT)];
}

export function tagVlan(vlan: number): readonly Action[] {
  return [{ kind: "pushVlan" }, setField("vlanVid", vlan)];
}

/** The tunnel destination, of either family. */
export function setTunnelDestination(vtepIp: string): Action {
  return setField(isIpv6(vtepIp) ? "tunIpv6Dst" : "tunDst", vtepIp);
}

export function isIpv6(address: string): boolean {
  return address.includes(":");
}

export function macBits(mac: string): bigint {
  const bits = macNumber(mac);
  if (bits === undefined) throw new NetError("INTERNAL", `Cannot read "${mac}" as a MAC address`);
  return BigInt(bits);
}

/** fe80::/64 with the modified EUI-64 of the MAC (RFC 4291, appendix A). */
export function linkLocalOf(mac: Mac): string {
  const bits = macBits(mac) ^ (1n << 41n);
  return formatIpv6((0xfe80n << 112n) | ((bits >> 24n) << 40n) | (0xfffen << 24n) | (bits & 0xffffffn));
}

/** Canonical text of an IPv6 address that has passed its schema; empty stays empty. */
export function canonicalIpv6(text: string): string {
  return canonicalText(text) ?? text;
}
