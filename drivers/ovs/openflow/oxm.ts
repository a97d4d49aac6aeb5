import {
  getBytes,
  getU8,
  getU16,
  protocolError,
  putBytes,
  putU8,
  putU16,
  putU32,
  putU48,
  putU64,
  type Reader,
  type Writer,
} from "./bytes.ts";
import { invalidField, type RawMasked, type RawValue } from "./field-value.ts";
import type { FieldSpec } from "./fields.ts";

/** OXM class of experimenter fields: four more bytes of id before the value (openflow-1.2.h, OFPXMC12_EXPERIMENTER). */
const EXPERIMENTER_CLASS = 0xffff;

/** A TLV as read: class << 7 | field, and its bytes. */
export interface Tlv {
  readonly code: number;
  readonly value: Buffer;
  readonly mask: Buffer | undefined;
}

/** OXM header: class, field, has-mask bit, length of what follows (openflow-1.2.h, struct ofp12_oxm). */
export function putOxmHeader(writer: Writer, spec: FieldSpec, hasMask = false): void {
  putU16(writer, spec.code >>> 7);
  putU8(writer, ((spec.code & 0x7f) << 1) | (hasMask ? 1 : 0));
  putU8(writer, hasMask ? spec.bytes * 2 : spec.bytes);
}

function putRaw(writer: Writer, spec: FieldSpec, raw: RawValue): void {
  if (Buffer.isBuffer(raw)) {
    putBytes(writer, raw);
    return;
  }
  if (typeof raw === "bigint") {
    if (spec.bytes === 16) putU64(writer, raw >> 64n);
    putU64(writer, BigInt.asUintN(64, raw));
    return;
  }
  if (spec.bytes === 1) putU8(writer, raw);
  else if (spec.bytes === 2) putU16(writer, raw);
  else if (spec.bytes === 6) putU48(writer, raw);
  else putU32(writer, raw);
}

/**
 * Writes a field in its one canonical form: bits outside the mask are zero, a mask of all ones is left out, and with a mask of
 * zeros nothing is written at all (false).
 */
export function putOxm(writer: Writer, spec: FieldSpec, raw: RawMasked): boolean {
  const start = writer.length;
  putOxmHeader(writer, spec, raw.mask !== undefined);
  putRaw(writer, spec, raw.value);
  if (raw.mask === undefined) return true;
  putRaw(writer, spec, raw.mask);
  return settleMask(writer, spec, start);
}

function settleMask(writer: Writer, spec: FieldSpec, start: number): boolean {
  const { buffer } = writer;
  const valueAt = start + 4;
  const maskAt = valueAt + spec.bytes;
  let isZero = true;
  let isFull = true;
  for (let index = 0; index < spec.bytes; index++) {
    const mask = buffer[maskAt + index] ?? 0;
    if (mask !== 0) isZero = false;
    if (mask !== fullMaskByte(spec, index)) isFull = false;
    buffer[valueAt + index] = (buffer[valueAt + index] ?? 0) & mask;
  }
  if (isZero) writer.length = start;
  if (!isFull || isZero) return !isZero;
  buffer[start + 2] = (buffer[start + 2] ?? 0) & 0xfe;
  buffer[start + 3] = spec.bytes;
  writer.length = maskAt;
  return true;
}

/** All ones, but zeros above the highest bit of a field that does not fill its bytes. */
function fullMaskByte(spec: FieldSpec, index: number): number {
  const bitsBelow = (spec.bytes - 1 - index) * 8;
  const bits = Math.min(8, Math.max(0, spec.bits - bitsBelow));
  return (1 << bits) - 1;
}

export function refuseReadOnly(spec: FieldSpec): void {
  if (!spec.writable) throw invalidField(spec, "it cannot be set");
}

/** Reads one TLV. A mask of all ones, or one of zeros, is passed on as it is. */
export function getOxm(reader: Reader): Tlv {
  const cls = getU16(reader);
  const fieldAndMask = getU8(reader);
  const length = getU8(reader);
  const hasMask = (fieldAndMask & 1) === 1;
  const code = (cls << 7) | (fieldAndMask >> 1);
  if (cls === EXPERIMENTER_CLASS) return { code, value: getBytes(reader, length), mask: undefined };
  if (hasMask && length % 2 === 1) throw protocolError(`masked field 0x${code.toString(16)} has odd length ${length}`);
  const half = hasMask ? length / 2 : length;
  return { code, value: getBytes(reader, half), mask: hasMask ? getBytes(reader, half) : undefined };
}

/** True when no bit is set above those the field has. */
export function fitsField(spec: FieldSpec, bytes: Buffer): boolean {
  if (spec.bits === spec.bytes * 8) return true;
  return bytes.every((byte, index) => (byte & ~fullMaskByte(spec, index)) === 0);
}

/** True when the mask covers every bit the field has. */
export function isFullMask(spec: FieldSpec, mask: Buffer): boolean {
  return mask.every((byte, index) => (byte & fullMaskByte(spec, index)) === fullMaskByte(spec, index));
}
