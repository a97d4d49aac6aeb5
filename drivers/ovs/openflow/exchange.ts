import { NetError } from "../../../state/errors.ts";
import { checkLimit, type Limit } from "../../../state/waiting/limit.ts";
import { nextTurn } from "../../../state/waiting/pause.ts";
import { createWriter, getU16, putU16, putZeros, type Reader, remaining, skip, type Writer, written } from "./bytes.ts";
import { type Channel, converse, type ErrorRange, SLICE_MS, send, takeXids } from "./channel.ts";
import { rejected, type SwitchError } from "./error-codec.ts";
import { type Message, OFPT, type PutBody, putMessage } from "./message.ts";

/** openflow-common.h, OFPSF_REPLY_MORE / OFPMPF_REPLY_MORE. */
const MORE = 1;
/** Bytes per write. */
const CHUNK_BYTES = 64 * 1024;

/** Sends a request that has an answer of one message. */
export async function request(
  channel: Channel,
  ask: { type: number; replyType: number; putBody?: PutBody },
  limit: Limit,
): Promise<Message> {
  let answer: Message | undefined;
  await converse(channel, ask, limit, (message) => {
    if (message.type !== ask.replyType) throw unexpected(limit, message);
    answer = message;
    return "last";
  });
  if (answer === undefined) throw new NetError("INTERNAL", `Cannot ${limit.doing}: the answer was lost`);
  return answer;
}

function unexpected(limit: Limit, message: Message): NetError {
  return new NetError("PROTOCOL", `Cannot ${limit.doing}: the switch answered with a message of type ${message.type}`);
}

/** What a multipart request asks and how an entry of its answer is read. */
export interface Part<T> {
  /** openflow-1.5.1 specification, 7.3.5 (enum ofp_multipart_type). */
  readonly type: number;
  readonly putBody?: PutBody;
  readonly getEntry: (reader: Reader) => T;
}

/** Sends a multipart request; entries are decoded as they arrive, some milliseconds of them at a time. */
export async function multipart<T>(channel: Channel, part: Part<T>, limit: Limit): Promise<T[]> {
  const entries: T[] = [];
  const putBody = (writer: Writer): void => {
    putU16(writer, part.type);
    putZeros(writer, 6);
    part.putBody?.(writer);
  };
  let page: { body: Reader; isLast: boolean } | undefined;
  await converse(channel, { type: OFPT.multipartRequest, putBody }, limit, (message) => {
    page ??= openPage(message, part.type, limit);
    const { body, isLast } = page;
    if (!takeEntries(body, part, entries)) return "again";
    page = undefined;
    return isLast ? "last" : "more";
  });
  return entries;
}

/** openflow-common.h, struct ofp_multipart_reply. */
function openPage(message: Message, part: number, limit: Limit): { body: Reader; isLast: boolean } {
  if (message.type !== OFPT.multipartReply) throw unexpected(limit, message);
  const { body } = message;
  const type = getU16(body);
  if (type !== part) throw new NetError("PROTOCOL", `Cannot ${limit.doing}: the answer is of part ${type}`);
  const isLast = (getU16(body) & MORE) === 0;
  skip(body, 4);
  return { body, isLast };
}

/** False when time was up before the end. */
function takeEntries<T>(body: Reader, part: Part<T>, entries: T[]): boolean {
  const until = performance.now() + SLICE_MS;
  while (remaining(body) > 0) {
    entries.push(part.getEntry(body));
    if ((entries.length & 15) === 0 && performance.now() > until) return remaining(body) === 0;
  }
  return true;
}

/** Waits until the switch has done all that was sent before. */
export async function barrier(channel: Channel, limit: Limit): Promise<void> {
  await request(channel, { type: OFPT.barrierRequest, replyType: OFPT.barrierReply }, limit);
}

/** Writes message `index` whole, under `xid`. */
export type PutNumbered = (writer: Writer, index: number, xid: number) => void;

/** Messages sent in order without waiting for each; the errors that came back, by index. */
export interface Burst extends Disposable {
  readonly errors: ReadonlyMap<number, SwitchError>;
}

/** Errors kept per burst: enough for whoever leaves out what was refused and sends the rest. */
const MAX_ERRORS = 1_024;

/** A burst whose length is not known beforehand. */
export interface OpenBurst extends Burst {
  /** Writes the next message whole, under the given xid; it is sent with the next `send`. */
  put(write: (writer: Writer, xid: number) => void): void;
  readonly count: number;
  /** Enough is written for a chunk. */
  readonly isFull: boolean;
  /** Sends what is written; waits while the switch is too far behind. */
  send(limit: Limit): Promise<void>;
}

/** Xids that an open burst reserves at once. */
const XID_BLOCK = 4_096;
/** What may wait in this process for the switch to read it. */
const MAX_UNSENT_BYTES = 1 << 20;

/** Begins to send messages in order without waiting for each; dispose of it when no more of its errors can come. */
export function openBurst(channel: Channel): OpenBurst {
  const writer = createWriter();
  const errors = new Map<number, SwitchError>();
  const ranges: ErrorRange[] = [];
  let [count, nextXid, xidsLeft] = [0, 0, 0];

  function reserve(): void {
    const [firstXid, firstIndex] = [takeXids(channel, XID_BLOCK), count];
    const range: ErrorRange = {
      firstXid,
      lastXid: firstXid + XID_BLOCK - 1,
      onError: (xid, error) => {
        if (errors.size < MAX_ERRORS) errors.set(firstIndex + xid - firstXid, error);
      },
    };
    ranges.push(range);
    channel.errorRanges.add(range);
    [nextXid, xidsLeft] = [firstXid, XID_BLOCK];
  }

  return {
    errors,
    put: (write) => {
      if (xidsLeft === 0) reserve();
      write(writer, nextXid);
      nextXid += 1;
      xidsLeft -= 1;
      count += 1;
    },
    get count() {
      return count;
    },
    get isFull() {
      return writer.length >= CHUNK_BYTES;
    },
    send: async (limit) => {
      if (writer.length === 0) return;
      const bytes = written(writer);
      writer.length = 0;
      await send(channel, bytes, limit, MAX_UNSENT_BYTES);
    },
    [Symbol.dispose]: () => {
      for (const range of ranges) channel.errorRanges.delete(range);
    },
  };
}

/** Sends `count` messages; dispose of the burst when no more of its errors can come. */
export async function sendBurst(channel: Channel, count: number, put: PutNumbered, limit: Limit): Promise<Burst> {
  const burst = openBurst(channel);
  let turnEndsMs = performance.now() + SLICE_MS;
  try {
    for (let index = 0; index < count; index++) {
      burst.put((writer, xid) => put(writer, index, xid));
      if (burst.isFull) await burst.send(limit);
      if (performance.now() < turnEndsMs) continue;
      await nextTurn();
      checkLimit(limit);
      turnEndsMs = performance.now() + SLICE_MS;
    }
    await burst.send(limit);
  } catch (error) {
    burst[Symbol.dispose]();
    throw error;
  }
  return burst;
}

/** Throws when the switch refused a message of a burst; `describe` names the message. */
export function throwFirst(errors: Burst["errors"], doing: string, describe: (index: number) => string): void {
  for (const [index, error] of errors) {
    throw rejected(`${doing}: message ${index} (${describe(index)})`, error);
  }
}

/** Sends one message that has no answer of its own, and waits until the switch has acted on it. */
export function tell(channel: Channel, type: number, putBody: PutBody, limit: Limit): Promise<void> {
  return tellAll(channel, type, [putBody], limit);
}

/** The same for several messages of a type; the first refused one is thrown. */
export async function tellAll(channel: Channel, type: number, puts: readonly PutBody[], limit: Limit): Promise<void> {
  const put: PutNumbered = (writer, index, xid) => {
    const putBody = puts[index];
    if (putBody !== undefined) putMessage(writer, type, xid, putBody);
  };
  using burst = await sendBurst(channel, puts.length, put, limit);
  await barrier(channel, limit);
  for (const error of burst.errors.values()) throw rejected(limit.doing, error);
}
