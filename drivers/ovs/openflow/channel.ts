import type { Socket } from "node:net";
import { asNetError, NetError } from "../../../state/errors.ts";
import { checkLimit, type Limit, waitFor } from "../../../state/waiting/limit.ts";
import { createWriter, protocolError, putBytes, written } from "./bytes.ts";
import { getSwitchError, rejected, type SwitchError } from "./error-codec.ts";
import { createFrames, type Frames, nextMessage, pushChunk } from "./framing.ts";
import { type Message, OFP_VERSION, OFPT, type PutBody, putMessage } from "./message.ts";
import type { PacketIn } from "./packet.ts";

/** What became of a message: it was the last of its answer, others follow, or it is a long one to be handed in `again`. */
export type Progress = "last" | "more" | "again";

/** A conversation under one xid. */
interface Pending {
  onMessage(message: Message): Progress;
  onRefused(error: SwitchError): void;
  onEnd(error: NetError): void;
}

/** Errors whose xid lies in a range belong to messages that nobody waits for one by one. */
export interface ErrorRange {
  readonly firstXid: number;
  readonly lastXid: number;
  onError(xid: number, error: SwitchError): void;
}

/** One connection: xids, conversations, what arrives, and its end. */
export interface Channel {
  readonly socket: Socket;
  readonly name: string;
  /** Why it ended; undefined = by `close`. */
  readonly closed: Promise<NetError | undefined>;
  readonly frames: Frames;
  readonly pending: Map<number, Pending>;
  readonly errorRanges: Set<ErrorRange>;
  readonly ending: { isOver: boolean; reason: NetError | undefined; settle: (reason: NetError | undefined) => void };
  /** Messages that answer nothing. */
  onUnasked: (message: Message) => void;
  readonly packetListeners: Set<(packet: PacketIn) => void>;
  /** openflow-common.h, struct ofp_switch_config: its two halves are always told together. */
  readonly config: { flags: number; missSendLength: number };
  nextXid: number;
  isPumping: boolean;
  /** A message that is worked on in several turns. */
  unfinished: Message | undefined;
  /** When bytes last arrived, by `performance.now()`. */
  heardAtMs: number;
}

/** Beyond so many bytes not yet looked at, reading stops; a dump then waits in the switch. */
const MAX_QUEUED_BYTES = 1 << 20;
/** Conversations at once; a caller that starts more has lost count. */
const MAX_PENDING = 1024;
/** Time for messages before timers and other sockets get their turn. */
export const SLICE_MS = 4;

export function createChannel(socket: Socket, name: string): Channel {
  let settle: (reason: NetError | undefined) => void = () => {};
  const closed = new Promise<NetError | undefined>((resolve) => {
    settle = resolve;
  });
  const channel: Channel = {
    socket,
    name,
    closed,
    frames: createFrames(),
    pending: new Map(),
    errorRanges: new Set(),
    ending: { isOver: false, reason: undefined, settle },
    onUnasked: () => {},
    packetListeners: new Set(),
    config: { flags: 0, missSendLength: 0 },
    nextXid: 1,
    isPumping: false,
    unfinished: undefined,
    heardAtMs: performance.now(),
  };
  socket.on("data", (chunk: Buffer) => onData(channel, chunk));
  socket.on("error", (error) => endChannel(channel, asNetError(error, `talk to ${name}`, "UNAVAILABLE")));
  socket.on("close", () =>
    endChannel(channel, new NetError("UNAVAILABLE", `Connection to ${name} ended: the switch closed it`)),
  );
  return channel;
}

/** Ends the connection and every wait on it. Repeating it does nothing. */
export function endChannel(channel: Channel, reason: NetError | undefined): void {
  const { ending } = channel;
  if (ending.isOver) return;
  ending.isOver = true;
  ending.reason = reason;
  channel.socket.destroy();
  const waiting = [...channel.pending.values()];
  channel.pending.clear();
  for (const pending of waiting) pending.onEnd(closedError(channel));
  ending.settle(reason);
}

/** Why nothing can be sent any more. */
export function closedError(channel: Channel): NetError {
  const { reason } = channel.ending;
  return reason ?? new NetError("CLOSED", `Connection to ${channel.name} was closed`);
}

function onData(channel: Channel, chunk: Buffer): void {
  channel.heardAtMs = performance.now();
  pushChunk(channel.frames, chunk);
  if (channel.frames.queuedBytes > MAX_QUEUED_BYTES) channel.socket.pause();
  if (channel.isPumping) return;
  channel.isPumping = true;
  setImmediate(pump, channel);
}

/** Handles what arrived, a slice of time at a go: libuv reads on without pause, so nothing is decoded in its callback. */
function pump(channel: Channel): void {
  const until = performance.now() + SLICE_MS;
  try {
    while (!channel.ending.isOver) {
      const message: Message | undefined = channel.unfinished ?? nextMessage(channel.frames);
      if (message === undefined) break;
      channel.unfinished = receive(channel, message) === "again" ? message : undefined;
      if (performance.now() < until) continue;
      setImmediate(pump, channel);
      return;
    }
  } catch (error) {
    endChannel(channel, asNetError(error, `understand ${channel.name}`, "PROTOCOL"));
  }
  channel.isPumping = false;
  if (channel.socket.isPaused() && !channel.ending.isOver) channel.socket.resume();
}

function receive(channel: Channel, message: Message): Progress {
  if (message.version !== OFP_VERSION && message.type !== OFPT.hello && message.type !== OFPT.error) {
    throw protocolError(`message of version ${message.version} after version ${OFP_VERSION} was agreed on`);
  }
  if (message.type === OFPT.echoRequest) echo(channel, message);
  else if (message.type === OFPT.error) receiveError(channel, message);
  else {
    const pending = channel.pending.get(message.xid);
    if (pending !== undefined) return pending.onMessage(message);
    channel.onUnasked(message);
  }
  return "more";
}

/** Answers an echo with its own bytes. A switch that asks and never reads is cut off rather than served from memory. */
function echo(channel: Channel, { xid, body }: Message): void {
  const payload = body.buffer.subarray(body.offset, body.end);
  post(channel, OFPT.echoReply, xid, (writer) => putBytes(writer, payload));
  if (channel.socket.writableLength > MAX_QUEUED_BYTES) {
    endChannel(
      channel,
      new NetError("PROTOCOL", `Connection to ${channel.name} ended: the switch asks but does not read`),
    );
  }
}

function receiveError(channel: Channel, message: Message): void {
  const error = getSwitchError(message.body);
  const pending = channel.pending.get(message.xid);
  if (pending !== undefined) {
    channel.pending.delete(message.xid);
    pending.onRefused(error);
  }
  for (const range of channel.errorRanges) {
    if (message.xid >= range.firstXid && message.xid <= range.lastXid) range.onError(message.xid, error);
  }
}

/** Reserves `count` consecutive xids and returns the first. */
export function takeXids(channel: Channel, count: number): number {
  if (channel.nextXid + count > 0xffffffff) channel.nextXid = 1;
  const first = channel.nextXid;
  channel.nextXid += count;
  return first;
}

/** Queues one small message for sending, without waiting. */
export function post(channel: Channel, type: number, xid: number, putBody?: PutBody): void {
  const writer = createWriter(256);
  putMessage(writer, type, xid, putBody);
  if (!channel.ending.isOver) channel.socket.write(written(writer));
}

/** Sends bytes, which stay untouched from now on, and waits while more than `maxUnsentBytes` are still here. */
export async function send(channel: Channel, bytes: Buffer, limit: Limit, maxUnsentBytes: number): Promise<void> {
  if (channel.ending.isOver) throw closedError(channel);
  checkLimit(limit);
  if (channel.socket.write(bytes) || channel.socket.writableLength <= maxUnsentBytes) return;
  await waitFor<void>(limit, (done, fail) => {
    const onClose = () => fail(closedError(channel));
    channel.socket.once("drain", done);
    channel.socket.once("close", onClose);
    return () => {
      channel.socket.off("drain", done);
      channel.socket.off("close", onClose);
    };
  });
}

/** Sends a request and hands every message of its answer to `onMessage`, until that says "last". */
export function converse(
  channel: Channel,
  request: { type: number; putBody?: PutBody },
  limit: Limit,
  onMessage: (message: Message) => Progress,
): Promise<void> {
  return waitFor<void>(limit, (done, fail) => {
    const refusal = channel.ending.isOver ? closedError(channel) : tooMany(channel, limit);
    if (refusal !== undefined) {
      fail(refusal);
      return () => {};
    }
    const xid = takeXids(channel, 1);
    const onRefused = (error: SwitchError) => fail(rejected(limit.doing, error));
    channel.pending.set(xid, { onMessage: guard(onMessage, done, fail), onRefused, onEnd: fail });
    try {
      post(channel, request.type, xid, request.putBody);
    } catch (error) {
      fail(error);
    }
    return () => channel.pending.delete(xid);
  });
}

/** A message that cannot be decoded fails its own conversation. */
function guard(
  onMessage: (message: Message) => Progress,
  done: () => void,
  fail: (error: unknown) => void,
): (message: Message) => Progress {
  return (message) => {
    try {
      const progress = onMessage(message);
      if (progress === "last") done();
      return progress;
    } catch (error) {
      fail(error);
      return "last";
    }
  };
}

function tooMany(channel: Channel, limit: Limit): NetError | undefined {
  if (channel.pending.size < MAX_PENDING) return undefined;
  return new NetError("EXHAUSTED", `Cannot ${limit.doing}: ${MAX_PENDING} requests to ${channel.name} wait already`);
}
