import { NetError } from "../../state/errors.ts";
import { align4, malformed, readAttributes, readText, readU32 } from "./attributes.ts";

/*
 * Netlink messages, linux/netlink.h: struct nlmsghdr { u32 length; u16 type; u16 flags; u32 sequence; u32 port; } and a
 * body. Several may go in one send: the kernel works in order, acknowledges each, and goes on after one that failed.
 */

/** One request to the kernel. Recipes make them; they are values and can be sent any number of times. */
export interface Message {
  /** Completes "Cannot …" in errors. */
  readonly deed: string;
  readonly type: number;
  /** NLM_F_… beyond REQUEST and ACK, which the encoder adds. */
  readonly flags: number;
  readonly body: Uint8Array;
  /** The kernel answers it only with an error, and that is then the whole batch's. */
  readonly isUnacknowledged?: boolean;
}

/** A request for rows: one object, or a whole table. */
export interface Query<Row> {
  readonly message: Message;
  /** Message type of the answers. */
  readonly answerType: number;
  /** Decodes one answer; `undefined` leaves it out. */
  readonly decode: (body: Buffer) => Row | undefined;
}

/** A message of the kernel. */
export interface Received {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly body: Buffer;
}

/** The kernel's verdict on one message. */
export interface Acknowledgement {
  /** 0 for success, otherwise positive. */
  readonly errno: number;
  /** Text of the extended acknowledgement; with errno 0 it is a warning. */
  readonly text: string | undefined;
}

export const NLM_F_REQUEST = 0x1;
export const NLM_F_ACK = 0x4;
export const NLM_F_ECHO = 0x8;
export const NLM_F_DUMP_INTR = 0x10;
export const NLM_F_DUMP = 0x300;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
export const NLM_F_APPEND = 0x800;
const NLM_F_CAPPED = 0x100; // in acknowledgements
const NLM_F_ACK_TLVS = 0x200;

export const NLMSG_NOOP = 1;
export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;

const NLMSGERR_ATTR_MSG = 1;
const NLMSGERR_ATTR_OFFS = 2;
const NLMSGERR_ATTR_MISS_TYPE = 5;

const HEADER_BYTES = 16;

/** Bounds of one send: the answers must fit into the socket's receive buffer, the bytes into its send buffer. */
export const BATCH_MAX_MESSAGES = 512;
export const BATCH_MAX_BYTES = 160 * 1024;

/** Bytes of several messages; the n-th has sequence number `firstSequence` + n. */
export function encodeBatch(messages: readonly Message[], firstSequence: number): Buffer {
  const sizes = messages.map((message) => align4(HEADER_BYTES + message.body.length));
  const totalBytes = sizes.reduce((sum, one) => sum + one, 0);
  refuseOversize(messages.length, totalBytes);
  const batch = Buffer.alloc(totalBytes);
  let at = 0;
  for (const [index, message] of messages.entries()) {
    writeMessage(batch.subarray(at), message, (firstSequence + index) >>> 0);
    at += sizes[index] ?? 0;
  }
  return batch;
}

/** The messages of one datagram. PROTOCOL when a length does not fit. */
export function decodeDatagram(datagram: Buffer): readonly Received[] {
  const messages: Received[] = [];
  let at = 0;
  while (at < datagram.length) {
    if (at + HEADER_BYTES > datagram.length) throw malformed(`a message header is cut off at byte ${at}`);
    const lengthBytes = datagram.readUInt32LE(at);
    if (lengthBytes < HEADER_BYTES || at + lengthBytes > datagram.length) {
      throw malformed(`message at byte ${at} claims ${lengthBytes} bytes of ${datagram.length - at}`);
    }
    messages.push({
      type: datagram.readUInt16LE(at + 4),
      flags: datagram.readUInt16LE(at + 6),
      sequence: datagram.readUInt32LE(at + 8),
      body: datagram.subarray(at + HEADER_BYTES, at + lengthBytes),
    });
    at += align4(lengthBytes);
  }
  return messages;
}

/** Reads NLMSG_ERROR: struct nlmsgerr { s32 error; nlmsghdr; payload unless capped } and extended attributes. */
export function readAcknowledgement({ flags, body }: Received): Acknowledgement {
  if (body.length < 4 + HEADER_BYTES) throw malformed(`an acknowledgement of ${body.length} bytes`);
  const echoedBytes = flags & NLM_F_CAPPED ? HEADER_BYTES : align4(body.readUInt32LE(4));
  return verdict(body, flags, 4 + echoedBytes);
}

/** Reads NLMSG_DONE, which ends a dump: an s32 result and extended attributes. */
export function readDone({ flags, body }: Received): Acknowledgement {
  if (body.length < 4) throw malformed(`an end of dump of ${body.length} bytes`);
  return verdict(body, flags, 4);
}

/** A fixed header of a body, or PROTOCOL when the body is shorter. */
export function fixedHeader(body: Buffer, headerBytes: number, what: string): Buffer {
  if (body.length < headerBytes) throw malformed(`${what} of ${body.length} bytes, at least ${headerBytes} are needed`);
  return body.subarray(0, headerBytes);
}

function verdict(body: Buffer, flags: number, attributesAt: number): Acknowledgement {
  const result = body.readInt32LE(0);
  if (result > 0) throw malformed(`a positive result of ${result}`);
  const text = flags & NLM_F_ACK_TLVS && attributesAt <= body.length ? extackText(body, attributesAt) : undefined;
  return { errno: Math.abs(result), text };
}

function extackText(body: Buffer, offset: number): string | undefined {
  const attributes = readAttributes(body, offset);
  const message = readText(attributes, NLMSGERR_ATTR_MSG);
  const missing = readU32(attributes, NLMSGERR_ATTR_MISS_TYPE);
  const position = readU32(attributes, NLMSGERR_ATTR_OFFS);
  const hints = [
    ...(missing === undefined ? [] : [`attribute ${missing} is missing`]),
    ...(position === undefined ? [] : [`at byte ${position} of the request`]),
  ].join(", ");
  if (message === undefined) return hints === "" ? undefined : hints;
  return hints === "" ? message : `${message} (${hints})`;
}

function writeMessage(into: Buffer, message: Message, sequence: number): void {
  into.writeUInt32LE(HEADER_BYTES + message.body.length, 0);
  into.writeUInt16LE(message.type, 4);
  const acknowledge = message.isUnacknowledged === true ? 0 : NLM_F_ACK;
  into.writeUInt16LE(message.flags | NLM_F_REQUEST | acknowledge, 6);
  into.writeUInt32LE(sequence, 8);
  into.set(message.body, HEADER_BYTES);
}

function refuseOversize(messages: number, totalBytes: number): void {
  if (messages <= BATCH_MAX_MESSAGES && totalBytes <= BATCH_MAX_BYTES) return;
  const limit = `${BATCH_MAX_MESSAGES} messages and ${BATCH_MAX_BYTES} bytes`;
  throw new NetError("INVALID", `A netlink batch holds at most ${limit}, not ${messages} and ${totalBytes}`);
}
