import { NetError } from "../../../state/errors.ts";

/** Bytes being written, big-endian as all of OpenFlow; grows on demand. */
export interface Writer {
  buffer: Buffer;
  length: number;
}

/** Bytes being read; `end` bounds a nested structure. */
export interface Reader {
  readonly buffer: Buffer;
  offset: number;
  readonly end: number;
}

export function createWriter(capacity = 512): Writer {
  return { buffer: Buffer.allocUnsafe(capacity), length: 0 };
}

/** The bytes written so far, as a copy of their own. */
export function written(writer: Writer, from = 0): Buffer {
  return Buffer.from(writer.buffer.subarray(from, writer.length));
}

function room(writer: Writer, count: number): number {
  const at = writer.length;
  const needed = at + count;
  if (needed > writer.buffer.length) {
    const grown = Buffer.allocUnsafe(Math.max(needed, writer.buffer.length * 2));
    writer.buffer.copy(grown, 0, 0, at);
    writer.buffer = grown;
  }
  writer.length = needed;
  return at;
}

export function putU8(writer: Writer, value: number): void {
  const at = room(writer, 1);
  writer.buffer[at] = value;
}

export function putU16(writer: Writer, value: number): void {
  const at = room(writer, 2);
  writer.buffer[at] = value >>> 8;
  writer.buffer[at + 1] = value;
}

export function putU32(writer: Writer, value: number): void {
  const at = room(writer, 4);
  writer.buffer[at] = value >>> 24;
  writer.buffer[at + 1] = value >>> 16;
  writer.buffer[at + 2] = value >>> 8;
  writer.buffer[at + 3] = value;
}

export function putU48(writer: Writer, value: number): void {
  putU16(writer, Math.floor(value / 2 ** 32));
  putU32(writer, value >>> 0);
}

export function putU64(writer: Writer, value: bigint): void {
  const at = room(writer, 8);
  writer.buffer.writeBigUInt64BE(value, at);
}

export function putBytes(writer: Writer, bytes: Uint8Array): void {
  const at = room(writer, bytes.length);
  writer.buffer.set(bytes, at);
}

/** Characters of a text of one byte each. */
export function putText(writer: Writer, text: string, from: number, to: number): void {
  const at = room(writer, to - from);
  const { buffer } = writer;
  for (let index = from; index < to; index += 1) buffer[at + index - from] = text.charCodeAt(index);
}

export function putZeros(writer: Writer, count: number): void {
  const at = room(writer, count);
  writer.buffer.fill(0, at, at + count);
}

/** Zeros up to the next multiple of 8 counted from `start`. */
export function padTo8(writer: Writer, start: number): void {
  const rest = (writer.length - start) & 7;
  if (rest !== 0) putZeros(writer, 8 - rest);
}

/** Overwrites two bytes written before, as for a length known only at the end. */
export function patchU16(writer: Writer, at: number, value: number): void {
  writer.buffer[at] = value >>> 8;
  writer.buffer[at + 1] = value;
}

export function readerOf(bytes: Uint8Array): Reader {
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return { buffer, offset: 0, end: buffer.length };
}

export function remaining(reader: Reader): number {
  return reader.end - reader.offset;
}

/** Claims `count` bytes and returns where they start. */
function claim(reader: Reader, count: number): number {
  const at = reader.offset;
  if (at + count > reader.end) throw protocolError(`message ends ${at + count - reader.end} bytes too early`);
  reader.offset = at + count;
  return at;
}

export function protocolError(details: string): NetError {
  return new NetError("PROTOCOL", `Cannot decode OpenFlow: ${details}`);
}

export function getU8(reader: Reader): number {
  return reader.buffer[claim(reader, 1)] ?? 0;
}

export function getU16(reader: Reader): number {
  return reader.buffer.readUInt16BE(claim(reader, 2));
}

export function getU32(reader: Reader): number {
  return reader.buffer.readUInt32BE(claim(reader, 4));
}

export function getU64(reader: Reader): bigint {
  return reader.buffer.readBigUInt64BE(claim(reader, 8));
}

/** Seconds and nanoseconds, as OpenFlow tells durations. */
export function getDurationMs(reader: Reader): number {
  const seconds = getU32(reader);
  return seconds * 1000 + Math.floor(getU32(reader) / 1_000_000);
}

/** A view of the next bytes; it shares memory with the message. */
export function getBytes(reader: Reader, count: number): Buffer {
  const at = claim(reader, count);
  return reader.buffer.subarray(at, at + count);
}

export function skip(reader: Reader, count: number): void {
  claim(reader, count);
}

/** A reader of the next `count` bytes alone; the outer one goes on behind them. */
export function nested(reader: Reader, count: number): Reader {
  const at = claim(reader, count);
  return { buffer: reader.buffer, offset: at, end: at + count };
}

/** Skips padding up to the next multiple of 8 counted from `start`, or to the end. */
export function skipPadTo8(reader: Reader, start: number): void {
  const rest = (reader.offset - start) & 7;
  if (rest !== 0) skip(reader, Math.min(8 - rest, remaining(reader)));
}
