import { NetError } from "../../state/errors.ts";

/*
 * Netlink attributes, linux/netlink.h struct nlattr: u16 length with header, u16 type, payload, padding to 4 bytes.
 * Numbers are in the machine's byte order (little-endian on every platform that Node and koffi support) unless an
 * attribute says network order.
 */

/** One attribute: bytes, or a list of attributes inside it. */
export interface Attribute {
  readonly type: number;
  readonly payload: Uint8Array | readonly Attribute[];
}

/** Attributes of one level by type; of a repeated one the last. */
export interface AttributeMap {
  has(type: number): boolean;
  get(type: number): Buffer | undefined;
}

const NO_ATTRIBUTES: AttributeMap = new Map();
const HEADER_BYTES = 4;
const NLA_F_NESTED = 0x8000;
const NLA_TYPE_MASK = 0x3fff;
const LENGTH_MAX_BYTES = 0xffff;

export function bytes(type: number, payload: Uint8Array): Attribute {
  return { type, payload };
}

export function u8(type: number, value: number): Attribute {
  return { type, payload: Buffer.of(value) };
}

export function u16(type: number, value: number): Attribute {
  const payload = Buffer.allocUnsafe(2);
  payload.writeUInt16LE(value);
  return { type, payload };
}

/** In network byte order. */
export function u16be(type: number, value: number): Attribute {
  const payload = Buffer.allocUnsafe(2);
  payload.writeUInt16BE(value);
  return { type, payload };
}

export function u32(type: number, value: number): Attribute {
  const payload = Buffer.allocUnsafe(4);
  payload.writeUInt32LE(value);
  return { type, payload };
}

/** In network byte order. */
export function u32be(type: number, value: number): Attribute {
  const payload = Buffer.allocUnsafe(4);
  payload.writeUInt32BE(value);
  return { type, payload };
}

export function u64(type: number, value: bigint): Attribute {
  const payload = Buffer.allocUnsafe(8);
  payload.writeBigUInt64LE(value);
  return { type, payload };
}

/** A string with its closing zero byte. */
export function text(type: number, value: string): Attribute {
  return { type, payload: Buffer.from(`${value}\0`, "utf8") };
}

/** An attribute that says by being there. */
export function flag(type: number): Attribute {
  return { type, payload: Buffer.alloc(0) };
}

export function nested(type: number, children: readonly Attribute[]): Attribute {
  return { type, payload: children };
}

/** A list of one when there is a value, of none when there is not. */
export function optional<T>(value: T | undefined, make: (value: T) => Attribute): readonly Attribute[] {
  return value === undefined ? [] : [make(value)];
}

/** The bytes of a message's body: its fixed header, then the attributes. */
export function encodeBody(header: Uint8Array, attributes: readonly Attribute[]): Buffer {
  const start = align4(header.length);
  const body = Buffer.alloc(start + listBytes(attributes));
  body.set(header);
  writeList(body, start, attributes);
  return body;
}

/** Bytes of a list of attributes alone. */
export function encodeAttributes(attributes: readonly Attribute[]): Buffer {
  return encodeBody(new Uint8Array(0), attributes);
}

/** Every attribute of a list in its order, types without the two flag bits. */
export function listAttributes(data: Uint8Array, offset = 0): readonly (readonly [type: number, payload: Buffer])[] {
  const view = asBuffer(data);
  const found: [number, Buffer][] = [];
  scan(view, offset, (type, start, end) => found.push([type, view.subarray(start, end)]));
  return found;
}

/** The attributes of a list by type. A link has some fifty, of which a reader takes a few: only those are cut out. */
export function readAttributes(data: Uint8Array, offset = 0): AttributeMap {
  const view = asBuffer(data);
  const places = new Map<number, number>();
  scan(view, offset, (type, start) => places.set(type, start));
  return {
    has: (type) => places.has(type),
    get(type) {
      const start = places.get(type);
      return start === undefined
        ? undefined
        : view.subarray(start, start - HEADER_BYTES + view.readUInt16LE(start - HEADER_BYTES));
    },
  };
}

function scan(view: Buffer, offset: number, found: (type: number, start: number, end: number) => void): void {
  let at = offset;
  while (at < view.length) {
    if (at + HEADER_BYTES > view.length) throw malformed(`an attribute header is cut off at byte ${at}`);
    const lengthBytes = view.readUInt16LE(at);
    if (lengthBytes < HEADER_BYTES || at + lengthBytes > view.length) {
      throw malformed(`attribute at byte ${at} claims ${lengthBytes} bytes of ${view.length - at}`);
    }
    found(view.readUInt16LE(at + 2) & NLA_TYPE_MASK, at + HEADER_BYTES, at + lengthBytes);
    at += align4(lengthBytes);
  }
}

function asBuffer(data: Uint8Array): Buffer {
  return Buffer.isBuffer(data) ? data : Buffer.from(data.buffer, data.byteOffset, data.length);
}

export function readNested(from: AttributeMap, type: number): AttributeMap {
  const payload = from.get(type);
  return payload === undefined ? NO_ATTRIBUTES : readAttributes(payload);
}

export function readU8(from: AttributeMap, type: number): number | undefined {
  return payloadOf(from, type, 1)?.readUInt8();
}

export function readU16(from: AttributeMap, type: number): number | undefined {
  return payloadOf(from, type, 2)?.readUInt16LE();
}

export function readU32(from: AttributeMap, type: number): number | undefined {
  return payloadOf(from, type, 4)?.readUInt32LE();
}

/** In network byte order. */
export function readU32Be(from: AttributeMap, type: number): number | undefined {
  return payloadOf(from, type, 4)?.readUInt32BE();
}

export function readI32(from: AttributeMap, type: number): number | undefined {
  return payloadOf(from, type, 4)?.readInt32LE();
}

export function readU64(from: AttributeMap, type: number): bigint | undefined {
  return payloadOf(from, type, 8)?.readBigUInt64LE();
}

/** A string up to its first zero byte. */
export function readText(from: AttributeMap, type: number): string | undefined {
  const payload = from.get(type);
  if (payload === undefined) return undefined;
  const end = payload.indexOf(0);
  return payload.toString("utf8", 0, end < 0 ? payload.length : end);
}

/** The payload when present; PROTOCOL when it is shorter than the structure it holds. */
export function payloadOf(from: AttributeMap, type: number, atLeastBytes: number): Buffer | undefined {
  const payload = from.get(type);
  if (payload !== undefined && payload.length < atLeastBytes) {
    throw malformed(`attribute ${type} holds ${payload.length} bytes where ${atLeastBytes} are needed`);
  }
  return payload;
}

export function malformed(what: string): NetError {
  return new NetError("PROTOCOL", `Malformed netlink message: ${what}`);
}

/** Netlink pads everything to four bytes. */
export function align4(lengthBytes: number): number {
  return (lengthBytes + 3) & ~3;
}

function payloadBytes({ payload }: Attribute): number {
  return payload instanceof Uint8Array ? payload.length : listBytes(payload);
}

function listBytes(attributes: readonly Attribute[]): number {
  return attributes.reduce((sum, one) => sum + align4(HEADER_BYTES + payloadBytes(one)), 0);
}

function writeList(into: Buffer, offset: number, attributes: readonly Attribute[]): number {
  let at = offset;
  for (const one of attributes) at = writeOne(into, at, one);
  return at;
}

function writeOne(into: Buffer, at: number, { type, payload }: Attribute): number {
  const isBytes = payload instanceof Uint8Array;
  const start = at + HEADER_BYTES;
  if (isBytes) into.set(payload, start);
  const end = isBytes ? start + payload.length : writeList(into, start, payload);
  if (end - at > LENGTH_MAX_BYTES) throw new NetError("INVALID", `Attribute ${type} is longer than 65535 bytes`);
  into.writeUInt16LE(end - at, at);
  into.writeUInt16LE(isBytes ? type : type | NLA_F_NESTED, at + 2);
  return align4(end);
}
