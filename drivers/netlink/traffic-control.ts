import { NetError } from "../../state/errors.ts";
import { fixedHeader } from "./message.ts";

/*
 * What qdiscs, classes and filters share: struct tcmsg, handles, rates and the scheduler's clock.
 * Rates are bytes per second and sizes bytes, as in the kernel; callers that think in bits convert at their edge.
 */

/** linux/rtnetlink.h */
export const RTM_NEWQDISC = 36;
export const RTM_DELQDISC = 37;
export const RTM_GETQDISC = 38;
export const RTM_NEWTCLASS = 40;
export const RTM_DELTCLASS = 41;
export const RTM_GETTCLASS = 42;
export const RTM_NEWTFILTER = 44;
export const RTM_DELTFILTER = 45;
export const RTM_GETTFILTER = 46;
export const TCA_KIND = 1;
export const TCA_OPTIONS = 2;
export const TCA_STATS2 = 7;

/** linux/pkt_sched.h: handles are major:minor, 16 bits each. */
export const TC_H_ROOT = 0xffffffff;
/** `ffff:`, where filters of incoming traffic hang below an ingress qdisc. */
export const TC_H_INGRESS_FILTERS = 0xffff0000;
export const TC_H_CLSACT = 0xfffffff1;
export const TC_H_CLSACT_INGRESS = 0xfffffff2;
export const TC_H_CLSACT_EGRESS = 0xfffffff3;

export const TCMSG_BYTES = 20;

const TC_LINKLAYER_ETHERNET = 1;
const NS_PER_TICK = 64n; // net/pkt_sched.h PSCHED_SHIFT 6
const NS_PER_SECOND = 1_000_000_000n;
const U32_MAX = 0xffffffff;

export interface TcHeader {
  readonly ifindex: number;
  readonly handle: number;
  readonly parent: number;
  /** Filters: priority and protocol; qdisc dumps: number of references. */
  readonly info: number;
}

/** A handle from its two halves: `tcHandle(1, 0)` is `1:0`. */
export function tcHandle(major: number, minor: number): number {
  if (major > 0xffff || minor > 0xffff || major < 0 || minor < 0) {
    throw new NetError("INVALID", `${major}:${minor} is not a traffic control handle`);
  }
  return ((major << 16) | minor) >>> 0;
}

/** struct tcmsg: u8 family, three bytes of padding, s32 ifindex, u32 handle, u32 parent, u32 info. */
export function encodeTcHeader({ ifindex, handle, parent, info }: TcHeader): Buffer {
  const header = Buffer.alloc(TCMSG_BYTES);
  header.writeInt32LE(ifindex, 4);
  header.writeUInt32LE(handle, 8);
  header.writeUInt32LE(parent, 12);
  header.writeUInt32LE(info, 16);
  return header;
}

export function readTcHeader(body: Buffer): TcHeader {
  const header = fixedHeader(body, TCMSG_BYTES, "a traffic control message");
  return {
    ifindex: header.readInt32LE(4),
    handle: header.readUInt32LE(8),
    parent: header.readUInt32LE(12),
    info: header.readUInt32LE(16),
  };
}

/**
 * struct tc_ratespec: u8 cell_log, u8 linklayer, u16 overhead, s16 cell_align, u16 mpu, u32 rate. With the link layer
 * given, tbf and htb need no rate table. A rate beyond 32 bits is capped here and goes along as a RATE64 attribute.
 */
export function writeRate(into: Buffer, rateBytesPerSecond: number, cellLog = 0): void {
  into.writeUInt8(cellLog, 0);
  into.writeUInt8(TC_LINKLAYER_ETHERNET, 1);
  if (cellLog > 0) into.writeInt16LE(-1, 4); // tc_calc_rtable(): a table's cell holds the sizes up to its end
  into.writeUInt32LE(Math.min(rateBytesPerSecond, U32_MAX), 8);
}

/** Of a ratespec and the RATE64 attribute beside it. */
export function readRate(ratespec: Buffer, rate64: bigint | undefined): number {
  return rate64 === undefined ? ratespec.readUInt32LE(8) : Number(rate64);
}

/** True when a rate needs its RATE64 attribute. */
export function needsRate64(rateBytesPerSecond: number): boolean {
  return rateBytesPerSecond >= U32_MAX;
}

/** The time that so many bytes take at a rate, in ticks of the packet scheduler (64 ns), as it wants its buffers. */
export function bytesToTicks(sizeBytes: number, rateBytesPerSecond: number): number {
  const ticks = (BigInt(sizeBytes) * NS_PER_SECOND) / BigInt(rateBytesPerSecond) / NS_PER_TICK;
  return Number(ticks > BigInt(U32_MAX) ? BigInt(U32_MAX) : ticks);
}

/** The inverse, rounded: at high rates a tick is many bytes. */
export function ticksToBytes(ticks: number, rateBytesPerSecond: number): number {
  const scaled = BigInt(ticks) * NS_PER_TICK * BigInt(rateBytesPerSecond);
  return Number((scaled + NS_PER_SECOND / 2n) / NS_PER_SECOND);
}

/** Bytes of one tick, rounded up: how far a size that the kernel tells may be from the one it was given. */
export function tickBytes(rateBytesPerSecond: number): number {
  return Math.ceil((Number(NS_PER_TICK) * rateBytesPerSecond) / Number(NS_PER_SECOND));
}

/** Rates are whole, positive and exact as a number. */
export function checkRate(rateBytesPerSecond: number): void {
  if (Number.isSafeInteger(rateBytesPerSecond) && rateBytesPerSecond > 0) return;
  throw new NetError("INVALID", `A rate is a whole number of bytes per second, not ${rateBytesPerSecond}`);
}

/** Sizes of queues and bursts are 32-bit in the kernel. */
export function checkSize(what: string, sizeBytes: number): void {
  if (Number.isInteger(sizeBytes) && sizeBytes > 0 && sizeBytes <= U32_MAX) return;
  throw new NetError("INVALID", `A ${what} is 1 to ${U32_MAX} bytes, not ${sizeBytes}`);
}
