import { ipv4Number, ipv6Bytes } from "../../../state/address-codec.ts";
import { NetError } from "../../../state/errors.ts";
import { checked } from "./action-wire.ts";
import { putBytes, putU8, putU16, putZeros, type Writer } from "./bytes.ts";
import { NXT, putExperimenter } from "./packet-codec.ts";
import { putProperty } from "./property.ts";

/** One direction of a connection; what is absent is not compared. */
export interface CtTuple {
  readonly src?: string;
  readonly dst?: string;
  readonly srcPort?: number;
  readonly dstPort?: number;
  readonly icmpId?: number;
  readonly icmpType?: number;
  readonly icmpCode?: number;
}

/** Which conntrack entries; all of them when empty. Ports and ICMP members need `ipProto`. */
export interface CtFilter {
  readonly zone?: number;
  readonly ipProto?: number;
  readonly orig?: CtTuple;
  readonly reply?: CtTuple;
}

/** nicira-ext.h, enum nx_ct_flush_tlv_type and enum nx_ct_flush_tuple_tlv_type. */
const PROPERTY = { orig: 0, reply: 1, zone: 2 } as const;
const TUPLE = { src: 0, dst: 1, srcPort: 2, dstPort: 3, icmpId: 4, icmpType: 5, icmpCode: 6 } as const;
const ICMP = 1;
const ICMPV6 = 58;

/** Body of NXT_CT_FLUSH (nicira-ext.h, struct nx_ct_flush; lib/ofp-ct.c), which Open vSwitch knows since 3.1. */
export function putCtFlush(writer: Writer, filter: CtFilter): void {
  checkTuple(filter, filter.orig);
  checkTuple(filter, filter.reply);
  putExperimenter(writer, NXT.ctFlush);
  putU8(writer, checked(filter.ipProto ?? 0, 8, "IP protocol"));
  putZeros(writer, 7);
  putTuple(writer, PROPERTY.orig, filter.orig);
  putTuple(writer, PROPERTY.reply, filter.reply);
  const { zone } = filter;
  if (zone !== undefined) putProperty(writer, PROPERTY.zone, (out) => putU16(out, checked(zone, 16, "ct zone")));
}

function checkTuple(filter: CtFilter, tuple: CtTuple = {}): void {
  const isIcmp = filter.ipProto === ICMP || filter.ipProto === ICMPV6;
  const hasPorts = tuple.srcPort !== undefined || tuple.dstPort !== undefined;
  const hasIcmp = tuple.icmpId !== undefined || tuple.icmpType !== undefined || tuple.icmpCode !== undefined;
  if (hasPorts && (filter.ipProto === undefined || isIcmp)) {
    throw new NetError("INVALID", "Cannot flush connections by port unless ipProto has ports", { field: "ipProto" });
  }
  if (hasIcmp && !isIcmp) {
    throw new NetError("INVALID", "Cannot flush connections by ICMP id, type or code unless ipProto is 1 or 58", {
      field: "ipProto",
    });
  }
}

/** Nested properties start after padding to eight bytes (ofp-prop.c, ofpprop_put_nested). */
function putTuple(writer: Writer, type: number, tuple: CtTuple | undefined): void {
  if (tuple === undefined || Object.values(tuple).every((value) => value === undefined)) return;
  putProperty(writer, type, (out) => {
    putZeros(out, 4);
    putAddress(out, TUPLE.src, tuple.src);
    putAddress(out, TUPLE.dst, tuple.dst);
    putShort(out, TUPLE.srcPort, tuple.srcPort);
    putShort(out, TUPLE.dstPort, tuple.dstPort);
    putShort(out, TUPLE.icmpId, tuple.icmpId);
    putByte(out, TUPLE.icmpType, tuple.icmpType);
    putByte(out, TUPLE.icmpCode, tuple.icmpCode);
  });
}

/** IPv4 addresses travel as IPv6-mapped ones. */
function putAddress(writer: Writer, type: number, text: string | undefined): void {
  if (text === undefined) return;
  const bytes = ipv6Bytes(ipv4Number(text) === undefined ? text : `::ffff:${text}`);
  if (bytes === undefined) throw new NetError("INVALID", `Cannot flush connections of "${text}": not an IP address`);
  putProperty(writer, type, (out) => putBytes(out, bytes));
}

function putShort(writer: Writer, type: number, value: number | undefined): void {
  if (value !== undefined) putProperty(writer, type, (out) => putU16(out, checked(value, 16, "port or ICMP id")));
}

function putByte(writer: Writer, type: number, value: number | undefined): void {
  if (value !== undefined) putProperty(writer, type, (out) => putU8(out, checked(value, 8, "ICMP type or code")));
}
