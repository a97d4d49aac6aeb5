import type { IpFrag, Ipv4, Ipv6, Mac, Maskable, Port, VlanMatch } from "./values.ts";

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
