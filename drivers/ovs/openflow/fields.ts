import type { Match } from "./match.ts";

/**
 * Fields that actions can name but matches cannot: several registers as one, and the 16-bit port of OpenFlow 1.0, the only
 * form in which the port a packet came in on can be set (0 lets it go out there again).
 */
type ActionField = `xreg${0 | 1 | 2 | 3 | 4 | 5 | 6 | 7}` | `xxreg${0 | 1 | 2 | 3}` | "inPort16";

export type MatchField = Exclude<keyof Match, "unknown">;
export type FieldName = MatchField | ActionField;

/** How a value looks in the API; on the wire every kind is a big-endian number. */
export type FieldKind = "int" | "mac" | "ipv4" | "ipv6" | "port" | "vlan" | "ctState" | "frag";

/** What a match on a field presupposes (meta-flow.h, "Prerequisites"). */
interface Needs {
  readonly ethType?: number;
  /** IPv4 or IPv6; which one must be said. */
  readonly ip?: true;
  readonly ipProto?: number;
  readonly icmpv6Type?: number;
  /** Neighbour solicitation or advertisement; which one must be said. */
  readonly nd?: true;
  readonly vlan?: true;
}

/** A field that must have a certain value; `isLoose`: another one will do as well. */
export interface Implied {
  readonly name: MatchField;
  readonly value: number | string;
  readonly isLoose: boolean;
}

/** One field (meta-flow.h, enum mf_field_id): its names, its code on the wire, its size and form. */
export interface FieldSpec {
  readonly name: FieldName;
  /** Its name in ovs-ofctl. */
  readonly text: string;
  /** Its name in subfield notation, `NXM_NX_REG0[]`. */
  readonly nxm: string;
  /** OXM class << 7 | OXM field. */
  readonly code: number;
  /** The same for its older NXM code, where there is one: older Nicira actions name fields by that. */
  readonly nxmCode: number;
  readonly bytes: number;
  readonly bits: number;
  readonly kind: FieldKind;
  readonly maskable: boolean;
  readonly writable: boolean;
  /** ovs-ofctl writes it in hexadecimal. */
  readonly hex: boolean;
  /** Actions can name it, matches cannot. */
  readonly isForActions: boolean;
  /** Its place in a match. */
  readonly order: number;
  /** What follows from a match on it. */
  readonly implies: readonly Implied[];
  /** Wants IPv4 or IPv6 to be said. */
  readonly isOverIp: boolean;
  /** Wants neighbour solicitation or advertisement to be said. */
  readonly isOfNd: boolean;
}

/** OXM classes (nx-match.c; build-aux/extract-ofp-fields, OXM_CLASSES). */
const NXM_OF = 0x0000;
const NXM_NX = 0x0001;
const ERICOXM = 0x1000;
const OXM_OF = 0x8000;
const OXM_PKT_REG = 0x8001;

const ARP = { ethType: 0x0806 } as const;
const V4 = { ethType: 0x0800 } as const;
const V6 = { ethType: 0x86dd } as const;
const IP = { ip: true } as const;
const TCP = { ip: true, ipProto: 6 } as const;
const UDP = { ip: true, ipProto: 17 } as const;
const SCTP = { ip: true, ipProto: 132 } as const;
const ICMP4 = { ethType: 0x0800, ipProto: 1 } as const;
const ICMP6 = { ethType: 0x86dd, ipProto: 58 } as const;
const ND = { ...ICMP6, nd: true } as const;
const SOLICIT = { ...ICMP6, icmpv6Type: 135 } as const;
const ADVERT = { ...ICMP6, icmpv6Type: 136 } as const;

interface Extra {
  readonly needs?: Needs;
  /** Bits that carry the value, when they do not fill its bytes. */
  readonly bits?: number;
  /** Older code of the same field, NXM class and field. */
  readonly nxm?: readonly [cls: number, field: number];
}

/** name, ovs-ofctl name, NXM (else OXM) name, class, field, bytes, kind, flags: m maskable, r read-only, x hexadecimal, a actions only. */
type Row = readonly [FieldName, string, string, number, number, number, FieldKind, string, Extra?];

function registers(prefix: "reg" | "xreg" | "xxreg", count: number): Row[] {
  const form = {
    reg: { nxm: "NXM_NX_REG", cls: NXM_NX, first: 0, bytes: 4 },
    xreg: { nxm: "OXM_OF_PKT_REG", cls: OXM_PKT_REG, first: 0, bytes: 8 },
    xxreg: { nxm: "NXM_NX_XXREG", cls: NXM_NX, first: 111, bytes: 16 },
  }[prefix];
  return Array.from({ length: count }, (_, index) => {
    const name = `${prefix}${index}` as FieldName;
    return [
      name,
      name,
      `${form.nxm}${index}`,
      form.cls,
      form.first + index,
      form.bytes,
      "int",
      prefix === "reg" ? "mx" : "mxa",
    ] as const;
  });
}

/** The order in which this library writes a match; the codes are those of meta-flow.h of Open vSwitch 3.1. */
const ROWS: readonly Row[] = [
  ["inPort", "in_port", "OXM_OF_IN_PORT", OXM_OF, 0, 4, "port", "r"],
  ["conjId", "conj_id", "NXM_NX_CONJ_ID", NXM_NX, 37, 4, "int", "r"],
  ["ethDst", "dl_dst", "NXM_OF_ETH_DST", OXM_OF, 3, 6, "mac", "m", { nxm: [NXM_OF, 1] }],
  ["ethSrc", "dl_src", "NXM_OF_ETH_SRC", OXM_OF, 4, 6, "mac", "m", { nxm: [NXM_OF, 2] }],
  ["ethType", "dl_type", "NXM_OF_ETH_TYPE", OXM_OF, 5, 2, "int", "rx", { nxm: [NXM_OF, 3] }],
  ["vlanVid", "vlan_vid", "OXM_OF_VLAN_VID", OXM_OF, 6, 2, "vlan", "m", { bits: 13 }],
  ["vlanPcp", "vlan_pcp", "OXM_OF_VLAN_PCP", OXM_OF, 7, 1, "int", "", { needs: { vlan: true }, bits: 3 }],
  ["ipProto", "nw_proto", "NXM_OF_IP_PROTO", OXM_OF, 10, 1, "int", "r", { needs: IP, nxm: [NXM_OF, 6] }],
  ["ipDscp", "ip_dscp", "OXM_OF_IP_DSCP", OXM_OF, 8, 1, "int", "", { needs: IP, bits: 6 }],
  ["ipEcn", "nw_ecn", "NXM_NX_IP_ECN", OXM_OF, 9, 1, "int", "", { needs: IP, bits: 2, nxm: [NXM_NX, 28] }],
  ["ipTtl", "nw_ttl", "NXM_NX_IP_TTL", NXM_NX, 29, 1, "int", "", { needs: IP }],
  ["ipFrag", "ip_frag", "NXM_NX_IP_FRAG", NXM_NX, 26, 1, "frag", "mr", { needs: IP, bits: 2 }],
  ["ipv4Src", "nw_src", "NXM_OF_IP_SRC", OXM_OF, 11, 4, "ipv4", "m", { needs: V4, nxm: [NXM_OF, 7] }],
  ["ipv4Dst", "nw_dst", "NXM_OF_IP_DST", OXM_OF, 12, 4, "ipv4", "m", { needs: V4, nxm: [NXM_OF, 8] }],
  ["ipv6Src", "ipv6_src", "NXM_NX_IPV6_SRC", OXM_OF, 26, 16, "ipv6", "m", { needs: V6, nxm: [NXM_NX, 19] }],
  ["ipv6Dst", "ipv6_dst", "NXM_NX_IPV6_DST", OXM_OF, 27, 16, "ipv6", "m", { needs: V6, nxm: [NXM_NX, 20] }],
  [
    "ipv6Label",
    "ipv6_label",
    "NXM_NX_IPV6_LABEL",
    OXM_OF,
    28,
    4,
    "int",
    "mx",
    { needs: V6, bits: 20, nxm: [NXM_NX, 27] },
  ],
  ["tcpSrc", "tcp_src", "NXM_OF_TCP_SRC", OXM_OF, 13, 2, "int", "m", { needs: TCP, nxm: [NXM_OF, 9] }],
  ["tcpDst", "tcp_dst", "NXM_OF_TCP_DST", OXM_OF, 14, 2, "int", "m", { needs: TCP, nxm: [NXM_OF, 10] }],
  [
    "tcpFlags",
    "tcp_flags",
    "NXM_NX_TCP_FLAGS",
    OXM_OF,
    42,
    2,
    "int",
    "mrx",
    { needs: TCP, bits: 12, nxm: [NXM_NX, 34] },
  ],
  ["udpSrc", "udp_src", "NXM_OF_UDP_SRC", OXM_OF, 15, 2, "int", "m", { needs: UDP, nxm: [NXM_OF, 11] }],
  ["udpDst", "udp_dst", "NXM_OF_UDP_DST", OXM_OF, 16, 2, "int", "m", { needs: UDP, nxm: [NXM_OF, 12] }],
  ["sctpSrc", "sctp_src", "OXM_OF_SCTP_SRC", OXM_OF, 17, 2, "int", "m", { needs: SCTP }],
  ["sctpDst", "sctp_dst", "OXM_OF_SCTP_DST", OXM_OF, 18, 2, "int", "m", { needs: SCTP }],
  ["icmpType", "icmp_type", "NXM_OF_ICMP_TYPE", OXM_OF, 19, 1, "int", "", { needs: ICMP4, nxm: [NXM_OF, 13] }],
  ["icmpCode", "icmp_code", "NXM_OF_ICMP_CODE", OXM_OF, 20, 1, "int", "", { needs: ICMP4, nxm: [NXM_OF, 14] }],
  ["icmpv6Type", "icmpv6_type", "NXM_NX_ICMPV6_TYPE", OXM_OF, 29, 1, "int", "", { needs: ICMP6, nxm: [NXM_NX, 21] }],
  ["icmpv6Code", "icmpv6_code", "NXM_NX_ICMPV6_CODE", OXM_OF, 30, 1, "int", "", { needs: ICMP6, nxm: [NXM_NX, 22] }],
  ["ndTarget", "nd_target", "NXM_NX_ND_TARGET", OXM_OF, 31, 16, "ipv6", "m", { needs: ND, nxm: [NXM_NX, 23] }],
  ["ndSll", "nd_sll", "NXM_NX_ND_SLL", OXM_OF, 32, 6, "mac", "m", { needs: SOLICIT, nxm: [NXM_NX, 24] }],
  ["ndTll", "nd_tll", "NXM_NX_ND_TLL", OXM_OF, 33, 6, "mac", "m", { needs: ADVERT, nxm: [NXM_NX, 25] }],
  ["ndReserved", "nd_reserved", "ERICOXM_OF_ICMPV6_ND_RESERVED", ERICOXM, 1, 4, "int", "", { needs: ND }],
  ["ndOptionsType", "nd_options_type", "ERICOXM_OF_ICMPV6_ND_OPTIONS_TYPE", ERICOXM, 2, 1, "int", "", { needs: ND }],
  ["arpOp", "arp_op", "NXM_OF_ARP_OP", OXM_OF, 21, 2, "int", "", { needs: ARP, nxm: [NXM_OF, 15] }],
  ["arpSpa", "arp_spa", "NXM_OF_ARP_SPA", OXM_OF, 22, 4, "ipv4", "m", { needs: ARP, nxm: [NXM_OF, 16] }],
  ["arpTpa", "arp_tpa", "NXM_OF_ARP_TPA", OXM_OF, 23, 4, "ipv4", "m", { needs: ARP, nxm: [NXM_OF, 17] }],
  ["arpSha", "arp_sha", "NXM_NX_ARP_SHA", OXM_OF, 24, 6, "mac", "m", { needs: ARP, nxm: [NXM_NX, 17] }],
  ["arpTha", "arp_tha", "NXM_NX_ARP_THA", OXM_OF, 25, 6, "mac", "m", { needs: ARP, nxm: [NXM_NX, 18] }],
  ["tunId", "tun_id", "NXM_NX_TUN_ID", OXM_OF, 38, 8, "int", "mx", { nxm: [NXM_NX, 16] }],
  ["tunSrc", "tun_src", "NXM_NX_TUN_IPV4_SRC", NXM_NX, 31, 4, "ipv4", "m"],
  ["tunDst", "tun_dst", "NXM_NX_TUN_IPV4_DST", NXM_NX, 32, 4, "ipv4", "m"],
  ["tunIpv6Src", "tun_ipv6_src", "NXM_NX_TUN_IPV6_SRC", NXM_NX, 109, 16, "ipv6", "m"],
  ["tunIpv6Dst", "tun_ipv6_dst", "NXM_NX_TUN_IPV6_DST", NXM_NX, 110, 16, "ipv6", "m"],
  ["tunFlags", "tun_flags", "NXM_NX_TUN_FLAGS", NXM_NX, 104, 2, "int", "m", { bits: 1 }],
  ["tunGbpId", "tun_gbp_id", "NXM_NX_TUN_GBP_ID", NXM_NX, 38, 2, "int", "m"],
  ["tunGbpFlags", "tun_gbp_flags", "NXM_NX_TUN_GBP_FLAGS", NXM_NX, 39, 1, "int", "mx"],
  ["metadata", "metadata", "OXM_OF_METADATA", OXM_OF, 2, 8, "int", "mx"],
  ...registers("reg", 16),
  ["pktMark", "pkt_mark", "NXM_NX_PKT_MARK", NXM_NX, 33, 4, "int", "mx"],
  ["ctState", "ct_state", "NXM_NX_CT_STATE", NXM_NX, 105, 4, "ctState", "mr"],
  ["ctZone", "ct_zone", "NXM_NX_CT_ZONE", NXM_NX, 106, 2, "int", "rx"],
  ["ctMark", "ct_mark", "NXM_NX_CT_MARK", NXM_NX, 107, 4, "int", "mx"],
  ["ctLabel", "ct_label", "NXM_NX_CT_LABEL", NXM_NX, 108, 16, "int", "mx"],
  ["ctNwProto", "ct_nw_proto", "NXM_NX_CT_NW_PROTO", NXM_NX, 119, 1, "int", "r"],
  ["ctNwSrc", "ct_nw_src", "NXM_NX_CT_NW_SRC", NXM_NX, 120, 4, "ipv4", "mr"],
  ["ctNwDst", "ct_nw_dst", "NXM_NX_CT_NW_DST", NXM_NX, 121, 4, "ipv4", "mr"],
  ["ctIpv6Src", "ct_ipv6_src", "NXM_NX_CT_IPV6_SRC", NXM_NX, 122, 16, "ipv6", "mr"],
  ["ctIpv6Dst", "ct_ipv6_dst", "NXM_NX_CT_IPV6_DST", NXM_NX, 123, 16, "ipv6", "mr"],
  ["ctTpSrc", "ct_tp_src", "NXM_NX_CT_TP_SRC", NXM_NX, 124, 2, "int", "mr"],
  ["ctTpDst", "ct_tp_dst", "NXM_NX_CT_TP_DST", NXM_NX, 125, 2, "int", "mr"],
  ["inPort16", "in_port", "NXM_OF_IN_PORT", NXM_OF, 0, 2, "int", "a"],
  ...registers("xreg", 8),
  ...registers("xxreg", 4),
];

function toSpec(row: Row, order: number): FieldSpec {
  const [name, text, nxm, cls, field, bytes, kind, flags, extra = {}] = row;
  const code = (cls << 7) | field;
  const needs = extra.needs ?? {};
  return {
    name,
    text,
    nxm,
    code,
    nxmCode: extra.nxm === undefined ? code : (extra.nxm[0] << 7) | extra.nxm[1],
    bytes,
    bits: extra.bits ?? bytes * 8,
    kind,
    maskable: flags.includes("m"),
    writable: !flags.includes("r"),
    hex: flags.includes("x"),
    isForActions: flags.includes("a"),
    order,
    implies: impliedBy(needs),
    isOverIp: needs.ip ?? false,
    isOfNd: needs.nd ?? false,
  };
}

function impliedBy(needs: Needs): Implied[] {
  const implied: Implied[] = [];
  for (const name of ["ethType", "ipProto", "icmpv6Type"] as const) {
    const value = needs[name];
    if (value !== undefined) implied.push({ name, value, isLoose: false });
  }
  if (needs.vlan) implied.push({ name: "vlanVid", value: "any", isLoose: true });
  return implied;
}

const SPECS: readonly FieldSpec[] = ROWS.map(toSpec);
const BY_CODE: ReadonlyMap<number, FieldSpec> = new Map(
  SPECS.flatMap((spec) => [[spec.code, spec] as const, [spec.nxmCode, spec] as const]),
);
const BY_NAME: ReadonlyMap<string, FieldSpec> = new Map(SPECS.map((spec) => [spec.name, spec]));

function isMatchSpec(spec: FieldSpec): spec is FieldSpec & { readonly name: MatchField } {
  return !spec.isForActions;
}

/** Every field a match can name, in the order in which they are written. */
export const MATCH_FIELDS: readonly (FieldSpec & { readonly name: MatchField })[] = SPECS.filter(isMatchSpec);

export function fieldByCode(code: number): FieldSpec | undefined {
  return BY_CODE.get(code);
}

export function fieldByName(name: string): FieldSpec | undefined {
  return BY_NAME.get(name);
}
