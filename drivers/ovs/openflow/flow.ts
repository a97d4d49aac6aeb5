import type { Action } from "./action.ts";
import type { PackedFlow } from "./packed-flow.ts";

/** OpenFlow table, 0 to 253 (254 and 255 are the switch's own). */
export type TableId = number;

/** Some bits of a field: those set in `mask` must equal those of `value`. */
export interface Masked<V> {
  readonly value: V;
  readonly mask: V;
}

export type Maskable<V> = V | Masked<V>;

/** Names the switch gives to port numbers above 0xffffff00 (openflow-1.1.h, enum ofp11_port_no). */
export type PortName = "in_port" | "table" | "normal" | "flood" | "all" | "controller" | "local" | "none";

/** An OpenFlow port: its number, or a reserved name. */
export type Port = number | PortName;

/** `02:02:0a:00:00:01`, or with a mask `01:00:00:00:00:00/01:00:00:00:00:00`. */
export type Mac = string;

/** `10.1.0.5`, `10.1.0.0/16` or `10.0.0.1/255.0.0.255`. */
export type Ipv4 = string;

/** `fd00::5`, `fd00::/8` or `::5/::ffff`. */
export type Ipv6 = string;

/** VLAN id 0 to 4095; `none` = no tag; `any` = some tag; masked: the 13 bits of OXM_OF_VLAN_VID, 0x1000 = "has a tag". */
export type VlanMatch = Maskable<number> | "none" | "any";

/** Fragments, in the words of ovs-fields(7). */
export type IpFrag = "no" | "yes" | "first" | "later" | "not_later";

type RegisterName = `reg${0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10 | 11 | 12 | 13 | 14 | 15}`;

/**
 * What a packet must look like. Fields that a given one presupposes and that follow from it (`tcpDst` means `ipProto` 6,
 * `arpTpa` means `ethType` 0x0806) may be left out; what does not follow (`tcpDst` over IPv4 or IPv6?) must be given.
 */
export interface Match extends Readonly<Partial<Record<RegisterName, Maskable<number>>>> {
  readonly inPort?: Port;
  readonly metadata?: Maskable<bigint>;
  readonly tunId?: Maskable<bigint>;
  readonly tunSrc?: Ipv4;
  readonly tunDst?: Ipv4;
  readonly tunIpv6Src?: Ipv6;
  readonly tunIpv6Dst?: Ipv6;
  readonly tunFlags?: Maskable<number>;
  readonly tunGbpId?: Maskable<number>;
  readonly tunGbpFlags?: Maskable<number>;
  readonly pktMark?: Maskable<number>;
  /** Flags with their sign: `+trk-new`, of new, est, rel, rpl, inv, trk, snat, dnat. */
  readonly ctState?: string;
  readonly ctZone?: number;
  readonly ctMark?: Maskable<number>;
  readonly ctLabel?: Maskable<bigint>;
  readonly ctNwProto?: number;
  readonly ctNwSrc?: Ipv4;
  readonly ctNwDst?: Ipv4;
  readonly ctIpv6Src?: Ipv6;
  readonly ctIpv6Dst?: Ipv6;
  readonly ctTpSrc?: Maskable<number>;
  readonly ctTpDst?: Maskable<number>;
  readonly conjId?: number;
  readonly ethSrc?: Mac;
  readonly ethDst?: Mac;
  readonly ethType?: number;
  readonly vlanVid?: VlanMatch;
  readonly vlanPcp?: number;
  readonly ipProto?: number;
  /** The six bits, 0 to 63. */
  readonly ipDscp?: number;
  readonly ipEcn?: number;
  readonly ipTtl?: number;
  readonly ipFrag?: IpFrag;
  readonly ipv4Src?: Ipv4;
  readonly ipv4Dst?: Ipv4;
  readonly ipv6Src?: Ipv6;
  readonly ipv6Dst?: Ipv6;
  readonly ipv6Label?: Maskable<number>;
  readonly arpOp?: number;
  readonly arpSpa?: Ipv4;
  readonly arpTpa?: Ipv4;
  readonly arpSha?: Mac;
  readonly arpTha?: Mac;
  readonly tcpSrc?: Maskable<number>;
  readonly tcpDst?: Maskable<number>;
  readonly tcpFlags?: Maskable<number>;
  readonly udpSrc?: Maskable<number>;
  readonly udpDst?: Maskable<number>;
  readonly sctpSrc?: Maskable<number>;
  readonly sctpDst?: Maskable<number>;
  readonly icmpType?: number;
  readonly icmpCode?: number;
  readonly icmpv6Type?: number;
  readonly icmpv6Code?: number;
  readonly ndTarget?: Ipv6;
  readonly ndSll?: Mac;
  readonly ndTll?: Mac;
  /** Upper 32 bits of the ND message after its checksum: the R, S and O flags of an advertisement. */
  readonly ndReserved?: number;
  /** Type of the first ND option: 1 = source, 2 = target link-layer address. */
  readonly ndOptionsType?: number;
  /** TLVs of a foreign flow that this library has no name for, in hex, as the switch sent them. */
  readonly unknown?: string;
}

/** One flow. `table`, `priority` and `match` are its identity; everything else is what it does. */
export interface Flow {
  readonly table: TableId;
  /** 0 to 65535; the highest matching one wins. */
  readonly priority: number;
  readonly cookie: bigint;
  readonly match: Match;
  /** Applied in order; none = drop (unless `goto`). */
  readonly actions: readonly Action[];
  readonly goto?: TableId;
  /** Meter the packet passes before any action. */
  readonly meter?: number;
  /** Removed after so long without a packet. */
  readonly idleTimeoutS?: number;
  /** Removed so long after it was added. */
  readonly hardTimeoutS?: number;
  /** Eviction precedence, where a table has eviction on; higher stays longer. */
  readonly importance?: number;
  /** OFPFF_* bits that stay with the flow (1 = tell when removed, 8 = no packet counts, 16 = no byte counts). */
  readonly flags?: number;
  /** Instructions of a foreign flow that this library has no name for, in hex. */
  readonly unknownInstructions?: string;
}

/** Which flows: those of `table` (all tables when absent), whose cookie agrees in the bits of `cookieMask` (all 64 when absent). */
export interface FlowFilter {
  readonly table?: TableId;
  readonly match?: Match;
  readonly cookie?: bigint;
  readonly cookieMask?: bigint;
  readonly outPort?: Port;
  readonly outGroup?: number;
}

/** A change of the flow tables (openflow-1.1.h, struct ofp11_flow_mod). Deleting what is absent succeeds. */
export type FlowMod =
  /** Adds, or replaces the flow of the same identity and keeps its counters. */
  | { readonly kind: "flow-add"; readonly flow: Flow }
  /** The same with a packed flow. */
  | ({ readonly kind: "flow-put" } & PackedFlow)
  /** Deletes the flow of that key (of a packed flow). */
  | { readonly kind: "flow-drop"; readonly key: string }
  /** Changes actions of the flow of this identity only; nothing when it is absent. Cookie and timeouts stay. */
  | { readonly kind: "flow-modify-strict"; readonly flow: Flow }
  /** Deletes the flow of this identity; with `cookieMask` only when its cookie agrees. */
  | {
      readonly kind: "flow-delete-strict";
      readonly flow: Pick<Flow, "table" | "priority" | "match">;
      readonly cookie?: bigint;
      readonly cookieMask?: bigint;
    }
  /** Deletes every flow that the filter holds (its match may be wider than theirs). */
  | { readonly kind: "flow-delete"; readonly filter: FlowFilter };

/** A flow as the switch has it, with what it counted. */
export interface FlowStats {
  readonly flow: Flow;
  readonly packetCount: bigint;
  readonly byteCount: bigint;
  readonly durationMs: number;
  readonly idleMs: number;
}
