import { NetError } from "../../state/errors.ts";
import { aborted, createCallQueue } from "./call-queue.ts";
import { errnoName, rejected } from "./errno.ts";
import {
  AF_NETLINK,
  bind,
  close,
  createInbox,
  type Inbox,
  MSG_DONTWAIT,
  MSG_TRUNC,
  receive,
  receiveOnPool,
  SOCK_CLOEXEC,
  SOCK_RAW,
  SOCKADDR_NL_BYTES,
  SOL_NETLINK,
  SOL_SOCKET,
  sendOnPool,
  setsockopt,
  socket,
} from "./libc.ts";
import { decodeDatagram, type Received } from "./message.ts";
import { inNetns, type NetnsHandle } from "./netns.ts";

/** linux/netlink.h */
export const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;
export const NETLINK_GENERIC = 16;

const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;
// asm-generic/socket.h
const SO_RCVTIMEO = 20;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;

/** A dump fills up to 32 KiB per datagram; a link with many virtual functions may need more. */
const DATAGRAM_MAX_BYTES = 128 * 1024;
const RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024;
const SEND_BUFFER_BYTES = 512 * 1024;

/** libuv's default when the launcher sets nothing; see README.md. */
const THREADS_DEFAULT = 4;
const THREADS_LEFT_TO_OTHERS = 2;
/** The kernel changes links under one lock: more threads only queue there (and koffi refuses calls beyond 256). */
const RUNNING_MAX = 6;
const WAITING_MAX = 1024;

/** Every native call of the process that runs on libuv's pool; files and names must find threads too. */
const poolCalls = createCallQueue({ runningMax: runningMax(process.env.UV_THREADPOOL_SIZE), waitingMax: WAITING_MAX });

/** How many of libuv's threads netlink may hold at a time. */
export function runningMax(threadPoolSize: string | undefined): number {
  const configured = Number(threadPoolSize);
  const threads = Number.isInteger(configured) && configured > 0 ? configured : THREADS_DEFAULT;
  return Math.min(RUNNING_MAX, Math.max(1, threads - THREADS_LEFT_TO_OTHERS));
}

export interface DescriptorOptions {
  readonly protocol: number;
  readonly netns?: NetnsHandle | undefined;
  readonly timeoutMs: number;
  /** Bits of the legacy group mask (RTMGRP_…) to listen to. */
  readonly groups?: number;
  /** Answers and events that may wait in the kernel. */
  readonly receiveBufferBytes?: number | undefined;
}

/** Opens and binds a netlink socket. It keeps the namespace it was made in, wherever it is used later. */
export function openDescriptor(options: DescriptorOptions): number {
  const { protocol, netns, timeoutMs, groups = 0, receiveBufferBytes = RECEIVE_BUFFER_BYTES } = options;
  const make = () => socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
  const fd = netns === undefined ? make() : inNetns(netns, make);
  if (fd < 0) throw rejected("open a netlink socket", -fd);
  try {
    setOption(fd, SOL_NETLINK, NETLINK_EXT_ACK, int32(1));
    setOption(fd, SOL_NETLINK, NETLINK_CAP_ACK, int32(1));
    setOption(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, int32(1));
    setOption(fd, SOL_SOCKET, SO_RCVTIMEO, timeval(timeoutMs));
    // Larger buffers are a privilege; without it short batches still work.
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, int32(receiveBufferBytes));
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, int32(SEND_BUFFER_BYTES));
    const bound = bind(fd, kernelAddress(groups));
    if (bound < 0) throw rejected("bind a netlink socket", -bound);
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}

/** Sends on the pool once a thread may be taken; `mayStart` throws when the request has been given up meanwhile. */
export async function sendBatch(
  fd: number,
  batch: Uint8Array,
  options: { readonly signal?: AbortSignal | undefined; readonly mayStart: () => void },
): Promise<void> {
  const sent = await poolCalls.run(
    () => {
      if (options.signal?.aborted) throw aborted(options.signal, "send to the kernel");
      options.mayStart();
      return sendOnPool(fd, batch, 0);
    },
    { signal: options.signal },
  );
  if (sent < 0) throw rejected("send to the kernel", -sent);
}

/** One datagram's messages if there are any now. Their bodies are valid until the next call of anybody. */
export function receiveNow(fd: number): readonly Received[] | undefined {
  const received = receive(fd, sharedInbox, MSG_DONTWAIT | MSG_TRUNC);
  if (received === -EAGAIN) return undefined;
  return messagesOf(sharedInbox, received);
}

/** Waits for one datagram on a thread of the pool, at most as long as the socket's timeout. */
export async function receiveWaiting(fd: number, inbox: Inbox): Promise<readonly Received[]> {
  let received = -EINTR;
  while (received === -EINTR) received = await poolCalls.run(() => receiveOnPool(fd, inbox, MSG_TRUNC));
  if (received === -EAGAIN)
    throw new NetError("TIMEOUT", "The kernel has not answered in time; the outcome is unknown");
  return messagesOf(inbox, received);
}

/** Room for the datagrams of one request. */
export function createDatagramInbox(): Inbox {
  return createInbox(DATAGRAM_MAX_BYTES);
}

const EINTR = 4;
const EAGAIN = 11;
const sharedInbox = createDatagramInbox(); // only for calls that end before anything else can run

/** What recvfrom() left behind: messages of the kernel, none of others, or the error it returned. */
export function messagesOf(inbox: Inbox, received: number): readonly Received[] {
  if (received < 0) throw receiveFailed(-received);
  if (received > inbox.data.length) {
    throw new NetError("PROTOCOL", `The kernel sent a datagram of ${received} bytes, room is for ${inbox.data.length}`);
  }
  // Anybody with CAP_NET_ADMIN in the socket's namespace (a pod, perhaps) can send to it: only port 0 is the kernel.
  const senderPort = inbox.address.readUInt32LE(4);
  return senderPort === 0 ? decodeDatagram(inbox.data.subarray(0, received)) : [];
}

function receiveFailed(errno: number): NetError {
  const reason = errnoName(errno);
  const lost = reason === "ENOBUFS" ? "messages were lost because the socket's buffer was full" : reason;
  return new NetError("UNAVAILABLE", `Cannot receive from the kernel: ${lost}`, { reason });
}

function setOption(fd: number, level: number, name: number, value: Buffer): void {
  const result = setsockopt(fd, level, name, value);
  if (result < 0) throw rejected(`set option ${name} of a netlink socket`, -result);
}

function kernelAddress(groups: number): Buffer {
  const address = Buffer.alloc(SOCKADDR_NL_BYTES);
  address.writeUInt16LE(AF_NETLINK, 0);
  address.writeUInt32LE(groups >>> 0, 8);
  return address;
}

function int32(value: number): Buffer {
  const option = Buffer.alloc(4);
  option.writeInt32LE(value);
  return option;
}

function timeval(durationMs: number): Buffer {
  const option = Buffer.alloc(16); // two 64-bit numbers: seconds and microseconds
  option.writeBigInt64LE(BigInt(Math.floor(durationMs / 1000)), 0);
  option.writeBigInt64LE(BigInt(Math.floor(durationMs % 1000) * 1000), 8);
  return option;
}
