import { NetError } from "../../../state/errors.ts";
import type { Bits } from "./action.ts";
import { padTo8, patchU16, putU16, putU32, type Writer } from "./bytes.ts";
import { type FieldSpec, fieldByCode, fieldByName } from "./fields.ts";

/** openflow-1.1.h and openflow-1.5.h, enum ofp_raw_action_type of ofp-actions.c: OFPAT_* as of OpenFlow 1.5. */
export const OFPAT = {
  output: 0,
  pushVlan: 17,
  popVlan: 18,
  setQueue: 21,
  group: 22,
  setNwTtl: 23,
  decNwTtl: 24,
  setField: 25,
  copyField: 28,
  meter: 29,
  experimenter: 0xffff,
} as const;

/** NXAST_* subtypes (ofp-actions.c, enum ofp_raw_action_type, "NX"). */
export const NXAST = {
  resubmit: 1,
  note: 8,
  resubmitTable: 14,
  outputReg: 15,
  learn: 16,
  controller: 20,
  stackPush: 27,
  stackPop: 28,
  sample: 29,
  conjunction: 34,
  ct: 35,
  nat: 36,
  controller2: 37,
  clone: 42,
  ctClear: 43,
  checkPktLarger: 49,
} as const;

/** openflow-common.h, NX_VENDOR_ID. */
export const NX_VENDOR = 0x00002320;

/** Send the whole packet, without keeping it in the switch (openflow-1.2.h, OFPCML12_NO_BUFFER). */
export const WHOLE_PACKET = 0xffff;
export const ETH_TYPE_VLAN = 0x8100;
/** nx_action_resubmit.table: the table at hand. */
export const THIS_TABLE = 0xff;

/** Starts an action of type `type`; `endAction` with the returned place sets its length. */
export function startAction(writer: Writer, type: number): number {
  const start = writer.length;
  putU16(writer, type);
  putU16(writer, 0);
  return start;
}

/** Header of a Nicira action: experimenter type, length, vendor, subtype (10 bytes). */
export function startNicira(writer: Writer, subtype: number): number {
  const start = startAction(writer, OFPAT.experimenter);
  putU32(writer, NX_VENDOR);
  putU16(writer, subtype);
  return start;
}

export function endAction(writer: Writer, start: number): void {
  padTo8(writer, start);
  const length = writer.length - start;
  if (length > 0xffff) throw new NetError("INVALID", `Cannot encode an action of ${length} bytes: 65535 is the most`);
  patchU16(writer, start + 2, length);
}

/** A part of a field, checked against the field's size. */
export interface BitsSpec {
  readonly spec: FieldSpec;
  readonly startBit: number;
  readonly bitCount: number;
}

/** Bits that actions see: of a VLAN id the twelve, without the "has a tag" bit of matches. */
export function subfieldBits(spec: FieldSpec): number {
  return spec.kind === "vlan" ? 12 : spec.bits;
}

export function resolveBits(bits: Bits): BitsSpec {
  const spec = fieldByName(bits.field);
  if (spec === undefined) throw new NetError("INVALID", `Cannot encode bits: there is no field "${bits.field}"`);
  const width = subfieldBits(spec);
  const startBit = bits.startBit ?? 0;
  const bitCount = bits.bitCount ?? width - startBit;
  if (!Number.isInteger(startBit) || !Number.isInteger(bitCount) || startBit < 0 || bitCount < 1) {
    throw new NetError("INVALID", `Cannot encode ${bits.field}[${startBit}, ${bitCount} bits]: no such bits`);
  }
  if (startBit + bitCount > width) {
    throw new NetError("INVALID", `Cannot encode ${bits.field}[${startBit}, ${bitCount} bits]: it has ${width} bits`);
  }
  return { spec, startBit, bitCount };
}

/** Bits as the API shows them; undefined when the code on the wire is of no known field, or has not so many bits. */
export function bitsOf(header: number, startBit: number, bitCount: number): Bits | undefined {
  const spec = fieldByCode(header >>> 9);
  if (spec === undefined || bitCount === 0 || startBit + bitCount > subfieldBits(spec)) return undefined;
  if (startBit === 0 && bitCount === subfieldBits(spec)) return { field: spec.name };
  return { field: spec.name, startBit, bitCount };
}

/** True when these bits are of a field that actions may write. */
export function isWritable(bits: Bits): boolean {
  return fieldByName(bits.field)?.writable ?? false;
}

/** 32-bit field header without mask, as OpenFlow 1.5 actions name fields. */
export function oxmHeader(spec: FieldSpec): number {
  return ((spec.code << 9) | spec.bytes) >>> 0;
}

/** The same by the older NXM code: what Open vSwitch itself writes in its own actions. */
export function nxmHeader(spec: FieldSpec): number {
  return ((spec.nxmCode << 9) | spec.bytes) >>> 0;
}

/** nicira-ext.h, nxm_encode_ofs_nbits. */
export function packBits(bits: BitsSpec): number {
  return (bits.startBit << 6) | (bits.bitCount - 1);
}

/** Checks a number that goes into `bits` bits. */
export function checked(value: number, bits: number, what: string): number {
  if (Number.isInteger(value) && value >= 0 && value < 2 ** bits) return value;
  throw new NetError("INVALID", `Cannot encode ${what} ${value}: it is not a whole number of ${bits} bits`);
}
