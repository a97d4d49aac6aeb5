import { putActions } from "./action-encode.ts";
import { checked, NX_VENDOR } from "./action-wire.ts";
import {
  getBytes,
  getU8,
  getU32,
  getU64,
  patchU16,
  putBytes,
  putU16,
  putU32,
  putZeros,
  type Reader,
  remaining,
  skip,
  type Writer,
} from "./bytes.ts";
import { getMatchFields, putMatch } from "./match-codec.ts";
import type { PacketIn, PacketOut } from "./packet.ts";
import { getProperty } from "./property.ts";

/** nicira-ext.h and ofp-msgs.h, NXT_* subtypes of experimenter messages. */
export const NXT = { setPacketInFormat: 16, resume: 28, ctFlushZone: 29, packetIn2: 30, ctFlush: 32 } as const;
/** nicira-ext.h, NXPIF_NXT_PACKET_IN2. */
export const PACKET_IN2_FORMAT = 2;
const NO_BUFFER = 0xffffffff;
/** openflow-common.h, OFPR_ACTION. */
const REASON_ACTION = 1;

/** nicira-ext.h, enum nx_packet_in2_prop_type. */
const PROPERTY = {
  packet: 0,
  fullLength: 1,
  table: 3,
  cookie: 4,
  reason: 5,
  metadata: 6,
  userdata: 7,
  continuation: 8,
} as const;

/** struct ofp_experimenter_header (openflow-common.h, struct ofp_vendor_header). */
export function putExperimenter(writer: Writer, subtype: number): void {
  putU32(writer, NX_VENDOR);
  putU32(writer, subtype);
}

/** openflow-1.5.h, struct ofp15_packet_out. */
export function putPacketOut(writer: Writer, packet: PacketOut): void {
  putU32(writer, NO_BUFFER);
  const lengthAt = writer.length;
  putU16(writer, 0);
  putZeros(writer, 2);
  putMatch(writer, { inPort: packet.inPort ?? "controller" });
  const start = writer.length;
  putActions(writer, packet.actions);
  patchU16(writer, lengthAt, checked(writer.length - start, 16, "length of the actions"));
  putBytes(writer, packet.data);
}

/** Body of NXT_PACKET_IN2 behind its experimenter header. */
export function getPacketIn(reader: Reader): PacketIn {
  const found: { -readonly [K in keyof PacketIn]: PacketIn[K] } = {
    data: new Uint8Array(),
    totalLenBytes: 0,
    table: undefined,
    cookie: undefined,
    reason: REASON_ACTION,
    metadata: {},
    userdata: new Uint8Array(),
    continuation: undefined,
  };
  const all = Uint8Array.from(reader.buffer.subarray(reader.offset, reader.end));
  let isPaused = false;
  while (remaining(reader) > 0) {
    const { type, value } = getProperty(reader);
    if (type === PROPERTY.packet) found.data = rest(value);
    else if (type === PROPERTY.fullLength) found.totalLenBytes = getU32(value);
    else if (type === PROPERTY.table) found.table = getU8(value);
    else if (type === PROPERTY.cookie) found.cookie = getCookie(value);
    else if (type === PROPERTY.reason) found.reason = getU8(value);
    else if (type === PROPERTY.metadata) found.metadata = getMatchFields(value);
    else if (type === PROPERTY.userdata) found.userdata = rest(value);
    else if (type === PROPERTY.continuation) isPaused = true;
  }
  if (isPaused) found.continuation = all;
  return { ...found, totalLenBytes: found.totalLenBytes || found.data.length };
}

function rest(reader: Reader): Uint8Array {
  return Uint8Array.from(getBytes(reader, remaining(reader)));
}

/** 64-bit property values are aligned to eight bytes (ofp-prop.h, struct ofp_prop_be64). */
function getCookie(reader: Reader): bigint {
  skip(reader, 4);
  return getU64(reader);
}
