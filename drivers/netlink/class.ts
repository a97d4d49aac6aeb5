import {
  bytes,
  encodeBody,
  nested,
  payloadOf,
  readAttributes,
  readNested,
  readText,
  readU64,
  text,
  u64,
} from "./attributes.ts";
import { type Message, NLM_F_CREATE, NLM_F_REPLACE, type Query } from "./message.ts";
import { type QueueStatistics, readQueueStatistics } from "./queue-statistics.ts";
import {
  bytesToTicks,
  checkRate,
  checkSize,
  encodeTcHeader,
  needsRate64,
  RTM_DELTCLASS,
  RTM_GETTCLASS,
  RTM_NEWTCLASS,
  readRate,
  readTcHeader,
  TCA_KIND,
  TCA_OPTIONS,
  TCA_STATS2,
  TCMSG_BYTES,
  ticksToBytes,
  writeRate,
} from "./traffic-control.ts";

/** A class of an htb: a rate it has for sure and a ceiling it may borrow up to. */
export interface HtbClass {
  readonly rateBytesPerSecond: number;
  readonly ceilBytesPerSecond: number;
  readonly burstBytes: number;
  /** Smaller is served first. */
  readonly priority: number;
}

export interface HtbClassPlace {
  readonly ifindex: number;
  /** The htb (`1:`) or a class of it. */
  readonly parent: number;
  readonly handle: number;
}

export interface ClassRow extends HtbClassPlace {
  readonly kind: string;
  readonly htb: HtbClass | undefined;
  readonly statistics: QueueStatistics | undefined;
}

// linux/pkt_sched.h
const TCA_HTB_PARMS = 1;
const TCA_HTB_RATE64 = 6;
const TCA_HTB_CEIL64 = 7;
const HTB_OPT_BYTES = 44;
const QUANTUM_MIN_BYTES = 1514; // one full Ethernet frame
const QUANTUM_MAX_BYTES = 200_000; // the kernel warns beyond

/** Makes a class or changes it in place. */
export function replaceHtbClass(place: HtbClassPlace, parameters: HtbClass): Message {
  const { rateBytesPerSecond, ceilBytesPerSecond } = parameters;
  const options = [
    bytes(TCA_HTB_PARMS, encodeOptions(parameters)),
    ...(needsRate64(rateBytesPerSecond) ? [u64(TCA_HTB_RATE64, BigInt(rateBytesPerSecond))] : []),
    ...(needsRate64(ceilBytesPerSecond) ? [u64(TCA_HTB_CEIL64, BigInt(ceilBytesPerSecond))] : []),
  ];
  return {
    deed: `set an htb class on link #${place.ifindex}`,
    type: RTM_NEWTCLASS,
    flags: NLM_F_CREATE | NLM_F_REPLACE,
    body: encodeBody(encodeTcHeader({ ...place, info: 0 }), [text(TCA_KIND, "htb"), nested(TCA_OPTIONS, options)]),
  };
}

/** Deletes a class; EBUSY while classes or filters refer to it. */
export function deleteClass({ ifindex, handle }: Pick<HtbClassPlace, "ifindex" | "handle">): Message {
  const body = encodeTcHeader({ ifindex, handle, parent: 0, info: 0 });
  return { deed: `delete a class of link #${ifindex}`, type: RTM_DELTCLASS, flags: 0, body };
}

/** The classes of one link. */
export function dumpClasses({ ifindex }: { readonly ifindex: number }): Query<ClassRow> {
  const body = encodeTcHeader({ ifindex, handle: 0, parent: 0, info: 0 });
  const message = { deed: `list classes of link #${ifindex}`, type: RTM_GETTCLASS, flags: 0, body };
  return { message, answerType: RTM_NEWTCLASS, decode: readClass };
}

/** Decodes the body of RTM_NEWTCLASS. */
export function readClass(body: Buffer): ClassRow {
  const { ifindex, handle, parent } = readTcHeader(body);
  const attributes = readAttributes(body, TCMSG_BYTES);
  const kind = readText(attributes, TCA_KIND) ?? "";
  return {
    ifindex,
    handle,
    parent,
    kind,
    htb: kind === "htb" ? readOptions(attributes) : undefined,
    statistics: readQueueStatistics(readNested(attributes, TCA_STATS2)),
  };
}

/** struct tc_htb_opt: ratespec rate, ceil; u32 buffer, cbuffer (ticks), quantum, level, priority. */
function encodeOptions({ rateBytesPerSecond, ceilBytesPerSecond, burstBytes, priority }: HtbClass): Buffer {
  checkRate(rateBytesPerSecond);
  checkRate(ceilBytesPerSecond);
  checkSize("burst", burstBytes);
  const options = Buffer.alloc(HTB_OPT_BYTES);
  writeRate(options.subarray(0), rateBytesPerSecond);
  writeRate(options.subarray(12), ceilBytesPerSecond);
  options.writeUInt32LE(bytesToTicks(burstBytes, rateBytesPerSecond), 24);
  options.writeUInt32LE(bytesToTicks(burstBytes, ceilBytesPerSecond), 28);
  const quantumBytes = Math.floor(rateBytesPerSecond / 10);
  options.writeUInt32LE(Math.min(Math.max(quantumBytes, QUANTUM_MIN_BYTES), QUANTUM_MAX_BYTES), 32);
  options.writeUInt32LE(priority, 40);
  return options;
}

function readOptions(attributes: ReturnType<typeof readAttributes>): HtbClass | undefined {
  const options = readNested(attributes, TCA_OPTIONS);
  const fixed = payloadOf(options, TCA_HTB_PARMS, HTB_OPT_BYTES);
  if (fixed === undefined) return undefined;
  const rateBytesPerSecond = readRate(fixed.subarray(0), readU64(options, TCA_HTB_RATE64));
  return {
    rateBytesPerSecond,
    ceilBytesPerSecond: readRate(fixed.subarray(12), readU64(options, TCA_HTB_CEIL64)),
    burstBytes: ticksToBytes(fixed.readUInt32LE(24), rateBytesPerSecond),
    priority: fixed.readUInt32LE(40),
  };
}
