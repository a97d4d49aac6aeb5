import { macText } from "../../state/address-codec.ts";
import {
  type AttributeMap,
  payloadOf,
  readAttributes,
  readI32,
  readNested,
  readText,
  readU8,
  readU32,
} from "./attributes.ts";
import { fixedHeader } from "./message.ts";
import type { Echoed } from "./socket.ts";

/** linux/rtnetlink.h */
export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
export const RTM_GETLINK = 18;
export const RTM_SETLINK = 19;

/** linux/if.h */
export const IFF_UP = 0x1;

/** linux/if_link.h */
export const IFLA_ADDRESS = 1;
export const IFLA_IFNAME = 3;
export const IFLA_MTU = 4;
const IFLA_LINK = 5;
const IFLA_QDISC = 6;
export const IFLA_MASTER = 10;
export const IFLA_TXQLEN = 13;
const IFLA_OPERSTATE = 16;
export const IFLA_LINKINFO = 18;
export const IFLA_IFALIAS = 20;
const IFLA_STATS64 = 23;
export const IFLA_GROUP = 27;
export const IFLA_NET_NS_FD = 28;
export const IFLA_EXT_MASK = 29;
export const IFLA_NUM_TX_QUEUES = 31;
export const IFLA_NUM_RX_QUEUES = 32;
const IFLA_LINK_NETNSID = 37;
const IFLA_MIN_MTU = 50;
const IFLA_MAX_MTU = 51;
export const IFLA_INFO_KIND = 1;
export const IFLA_INFO_DATA = 2;
const IFLA_INFO_SLAVE_KIND = 4;

/** struct ifinfomsg */
export const IFINFO_BYTES = 16;
const STATS64_BYTES = 64; // the first eight counters of struct rtnl_link_stats64

export type OperState = "unknown" | "notpresent" | "down" | "lowerlayerdown" | "testing" | "dormant" | "up"; // RFC 2863, linux/if.h IF_OPER_…

/** Counters since the link was made. */
export interface LinkStatistics {
  readonly rxPackets: bigint;
  readonly txPackets: bigint;
  readonly rxBytes: bigint;
  readonly txBytes: bigint;
  readonly rxErrors: bigint;
  readonly txErrors: bigint;
  readonly rxDropped: bigint;
  readonly txDropped: bigint;
}

/** A link as the kernel tells it. What this row does not know it leaves out. */
export interface LinkRow {
  readonly ifindex: number;
  readonly name: string;
  /** Empty for links without a hardware address. */
  readonly mac: string;
  readonly mtuBytes: number;
  readonly mtuMinBytes: number | undefined;
  /** 0 means no limit. */
  readonly mtuMaxBytes: number | undefined;
  /** IFF_… */
  readonly flags: number;
  readonly up: boolean;
  readonly operState: OperState;
  readonly group: number;
  readonly alias: string | undefined;
  /** `veth`, `openvswitch`, `bridge` …; absent for most real devices and for `lo`. */
  readonly kind: string | undefined;
  /** The other end of a veth, the lower link of a vlan; an index in the namespace `peerNetnsId` if that is given. */
  readonly peerIfindex: number | undefined;
  /** The peer's namespace as this namespace numbers it; absent when it is this one. */
  readonly peerNetnsId: number | undefined;
  readonly masterIfindex: number | undefined;
  readonly masterKind: string | undefined;
  readonly qdisc: string | undefined;
  readonly txQueueLengthPackets: number | undefined;
  readonly txQueues: number | undefined;
  readonly rxQueues: number | undefined;
  readonly statistics: LinkStatistics | undefined;
}

/** Decodes the body of RTM_NEWLINK or RTM_DELLINK. */
export function readLink(body: Buffer): LinkRow {
  const header = fixedHeader(body, IFINFO_BYTES, "a link");
  const attributes = readAttributes(body, IFINFO_BYTES);
  const info = readNested(attributes, IFLA_LINKINFO);
  const flags = header.readUInt32LE(8);
  return {
    ifindex: header.readInt32LE(4),
    name: readText(attributes, IFLA_IFNAME) ?? "",
    mac: macText(attributes.get(IFLA_ADDRESS) ?? Buffer.alloc(0)),
    mtuBytes: readU32(attributes, IFLA_MTU) ?? 0,
    mtuMinBytes: readU32(attributes, IFLA_MIN_MTU),
    mtuMaxBytes: readU32(attributes, IFLA_MAX_MTU),
    flags,
    up: (flags & IFF_UP) !== 0,
    operState: OPER_STATES[readU8(attributes, IFLA_OPERSTATE) ?? 0] ?? "unknown",
    group: readU32(attributes, IFLA_GROUP) ?? 0,
    alias: readText(attributes, IFLA_IFALIAS),
    kind: readText(info, IFLA_INFO_KIND),
    peerIfindex: readU32(attributes, IFLA_LINK),
    peerNetnsId: readI32(attributes, IFLA_LINK_NETNSID),
    masterIfindex: readU32(attributes, IFLA_MASTER),
    masterKind: readText(info, IFLA_INFO_SLAVE_KIND),
    qdisc: readText(attributes, IFLA_QDISC),
    txQueueLengthPackets: readU32(attributes, IFLA_TXQLEN),
    txQueues: readU32(attributes, IFLA_NUM_TX_QUEUES),
    rxQueues: readU32(attributes, IFLA_NUM_RX_QUEUES),
    statistics: readStatistics(attributes),
  };
}

/** The link that a creating message made, from its echoes; of a batch, say of which message. */
export function echoedLink(echoes: readonly Echoed[], messageIndex = 0): LinkRow | undefined {
  const echo = echoes.find((one) => one.type === RTM_NEWLINK && one.messageIndex === messageIndex);
  return echo === undefined ? undefined : readLink(echo.body);
}

const OPER_STATES: readonly OperState[] = [
  "unknown",
  "notpresent",
  "down",
  "lowerlayerdown",
  "testing",
  "dormant",
  "up",
];

function readStatistics(attributes: AttributeMap): LinkStatistics | undefined {
  const counters = payloadOf(attributes, IFLA_STATS64, STATS64_BYTES);
  if (counters === undefined) return undefined;
  const counter = (index: number) => counters.readBigUInt64LE(index * 8);
  return {
    rxPackets: counter(0),
    txPackets: counter(1),
    rxBytes: counter(2),
    txBytes: counter(3),
    rxErrors: counter(4),
    txErrors: counter(5),
    rxDropped: counter(6),
    txDropped: counter(7),
  };
}
