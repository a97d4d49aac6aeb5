import { NetError } from "../../state/errors.ts";
import {
  type Attribute,
  type AttributeMap,
  bytes,
  encodeBody,
  malformed,
  nested,
  optional,
  readAttributes,
  readNested,
  readU32,
  u32,
} from "./attributes.ts";
import {
  bytesToIp,
  type Family,
  familyName,
  familyNumber,
  familyOf,
  ipToBytes,
  type Prefix,
  parsePrefix,
} from "./ip-address.ts";
import { fixedHeader, type Message, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, type Query } from "./message.ts";

/** linux/rtnetlink.h */
export const RTM_NEWROUTE = 24;
export const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;
const RTMSG_BYTES = 12;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_PREFSRC = 7;
const RTA_METRICS = 8;
const RTA_MULTIPATH = 9;
const RTA_TABLE = 15;
const RTAX_MTU = 2;
const RTNEXTHOP_BYTES = 8;
const RTNH_F_ONLINK = 4;
const RTM_F_FIB_MATCH = 0x2000;
const RTN_UNICAST = 1;
const RT_SCOPE_UNIVERSE = 0;
const RT_SCOPE_LINK = 253;
const RT_SCOPE_NOWHERE = 255;
const RTPROT_STATIC = 4;

/** Routing tables of linux/rtnetlink.h. */
export const RT_TABLE_MAIN = 254;

export interface RouteSpec {
  /** `10.0.0.0/8`, `0.0.0.0/0`, `::/0`; host bits must be zero. */
  readonly destination: string;
  readonly gateway?: string;
  readonly ifindex?: number;
  readonly table?: number;
  /** Smaller is preferred. */
  readonly metric?: number;
  /** Source address for packets of this host. */
  readonly source?: string;
  readonly mtuBytes?: number;
  /** RTPROT_…, static by default; it may mark routes as ours. */
  readonly protocol?: number;
  /** The gateway is reachable on the link though no prefix says so. */
  readonly onLink?: boolean;
  /** EEXIST when there is such a route, instead of replacing it. */
  readonly exclusive?: boolean;
}

export interface NextHop {
  readonly gateway: string | undefined;
  readonly ifindex: number;
}

export interface RouteRow {
  readonly family: Family;
  readonly destination: string;
  readonly gateway: string | undefined;
  readonly ifindex: number | undefined;
  readonly table: number;
  readonly metric: number | undefined;
  readonly source: string | undefined;
  readonly mtuBytes: number | undefined;
  readonly protocol: number;
  /** RT_SCOPE_… */
  readonly scope: number;
  /** RTN_…: 1 unicast, 2 local, 3 broadcast, 6 blackhole, 7 unreachable. */
  readonly type: number;
  /** Of a route with several ways; otherwise empty. */
  readonly nextHops: readonly NextHop[];
}

/** Adds or replaces a route. Its address and link come first: without them ENETUNREACH. */
export function addRoute(spec: RouteSpec): Message {
  const prefix = parsePrefix(spec.destination);
  const fixed = header(prefix);
  fixed.writeUInt8(spec.protocol ?? RTPROT_STATIC, 5);
  fixed.writeUInt8(isDirectIpv4(spec, prefix.family) ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE, 6);
  fixed.writeUInt8(RTN_UNICAST, 7);
  fixed.writeUInt32LE(spec.onLink === true ? RTNH_F_ONLINK : 0, 8);
  return {
    deed: `add route to ${spec.destination}`,
    type: RTM_NEWROUTE,
    flags: NLM_F_CREATE | (spec.exclusive === true ? NLM_F_EXCL : NLM_F_REPLACE),
    body: encodeBody(fixed, [
      ...identity(spec, prefix),
      ...optional(spec.source, (source) => bytes(RTA_PREFSRC, ipToBytes(source))),
      ...optional(spec.mtuBytes, (mtuBytes) => nested(RTA_METRICS, [u32(RTAX_MTU, mtuBytes)])),
    ]),
  };
}

/** Deletes the route that matches what is given; ESRCH when there is none. */
export function deleteRoute(
  spec: Pick<RouteSpec, "destination" | "gateway" | "ifindex" | "table" | "metric">,
): Message {
  const prefix = parsePrefix(spec.destination);
  const fixed = header(prefix);
  fixed.writeUInt8(prefix.family === "ipv4" ? RT_SCOPE_NOWHERE : RT_SCOPE_UNIVERSE, 6); // any scope
  const deed = `delete route to ${spec.destination}`;
  return { deed, type: RTM_DELROUTE, flags: 0, body: encodeBody(fixed, identity(spec, prefix)) };
}

export interface RouteFilter {
  readonly family?: Family;
  readonly table?: number;
  readonly ifindex?: number;
}

/** Routes of all tables, or of what the filter names. */
export function dumpRoutes({ family, table, ifindex }: RouteFilter = {}): Query<RouteRow> {
  const fixed = Buffer.alloc(RTMSG_BYTES);
  fixed.writeUInt8(familyNumber(family), 0);
  const message = { deed: "list routes", type: RTM_GETROUTE, flags: 0, body: encodeBody(fixed, []) };
  const wanted = (row: RouteRow | undefined) =>
    row !== undefined && (table ?? row.table) === row.table && (ifindex ?? row.ifindex) === row.ifindex;
  return {
    message,
    answerType: RTM_NEWROUTE,
    decode(body) {
      const row = readRoute(body);
      return wanted(row) ? row : undefined;
    },
  };
}

/** The route that a packet to this address would take, as it stands in its table; ENETUNREACH when there is none. Linux 4.13. */
export function findRoute(address: string): Query<RouteRow> {
  const family = familyOf(address);
  const fixed = header({ address, family, lengthBits: family === "ipv4" ? 32 : 128 });
  fixed.writeUInt32LE(RTM_F_FIB_MATCH, 8);
  const body = encodeBody(fixed, [bytes(RTA_DST, ipToBytes(address))]);
  const message = { deed: `look up the route to ${address}`, type: RTM_GETROUTE, flags: 0, body };
  return { message, answerType: RTM_NEWROUTE, decode: readRoute };
}

/** Decodes the body of RTM_NEWROUTE or RTM_DELROUTE; `undefined` for families other than IP. */
export function readRoute(body: Buffer): RouteRow | undefined {
  const fixed = fixedHeader(body, RTMSG_BYTES, "a route");
  const family = familyName(fixed.readUInt8(0));
  if (family === undefined) return undefined;
  const attributes = readAttributes(body, RTMSG_BYTES);
  const any = family === "ipv4" ? "0.0.0.0" : "::";
  return {
    family,
    destination: `${readIp(attributes, RTA_DST) ?? any}/${fixed.readUInt8(1)}`,
    gateway: readIp(attributes, RTA_GATEWAY),
    ifindex: readU32(attributes, RTA_OIF),
    table: readU32(attributes, RTA_TABLE) ?? fixed.readUInt8(4),
    metric: readU32(attributes, RTA_PRIORITY),
    source: readIp(attributes, RTA_PREFSRC),
    mtuBytes: readU32(readNested(attributes, RTA_METRICS), RTAX_MTU),
    protocol: fixed.readUInt8(5),
    scope: fixed.readUInt8(6),
    type: fixed.readUInt8(7),
    nextHops: readNextHops(attributes.get(RTA_MULTIPATH)),
  };
}

/** struct rtmsg: u8 family, dst_len, src_len, tos, table, protocol, scope, type; u32 flags. */
function header({ family, lengthBits }: Prefix): Buffer {
  const fixed = Buffer.alloc(RTMSG_BYTES);
  fixed.writeUInt8(familyNumber(family), 0);
  fixed.writeUInt8(lengthBits, 1);
  return fixed;
}

function identity(spec: Omit<RouteSpec, "source">, prefix: Prefix): readonly Attribute[] {
  if (spec.gateway !== undefined && familyOf(spec.gateway) !== prefix.family) {
    throw new NetError("INVALID", `Gateway ${spec.gateway} and destination ${spec.destination} differ in family`);
  }
  return [
    ...(prefix.lengthBits === 0 ? [] : [bytes(RTA_DST, ipToBytes(prefix.address))]),
    ...optional(spec.gateway, (gateway) => bytes(RTA_GATEWAY, ipToBytes(gateway))),
    ...optional(spec.ifindex, (ifindex) => u32(RTA_OIF, ifindex)),
    ...optional(spec.metric, (metric) => u32(RTA_PRIORITY, metric)),
    u32(RTA_TABLE, spec.table ?? RT_TABLE_MAIN),
  ];
}

function isDirectIpv4(spec: RouteSpec, family: Family): boolean {
  return family === "ipv4" && spec.gateway === undefined;
}

function readIp(attributes: AttributeMap, type: number): string | undefined {
  const address = attributes.get(type);
  return address === undefined ? undefined : bytesToIp(address);
}

/** struct rtnexthop { u16 length; u8 flags; u8 hops; s32 ifindex; } with attributes, one after the other. */
function readNextHops(payload: Buffer | undefined): readonly NextHop[] {
  const hops: NextHop[] = [];
  let rest = payload ?? Buffer.alloc(0);
  while (rest.length > 0) {
    const lengthBytes = rest.length < RTNEXTHOP_BYTES ? 0 : rest.readUInt16LE(0);
    if (lengthBytes < RTNEXTHOP_BYTES || lengthBytes > rest.length) throw malformed("a next hop is cut off");
    const attributes = readAttributes(rest.subarray(0, lengthBytes), RTNEXTHOP_BYTES);
    hops.push({ gateway: readIp(attributes, RTA_GATEWAY), ifindex: rest.readInt32LE(4) });
    rest = rest.subarray((lengthBytes + 3) & ~3);
  }
  return hops;
}
