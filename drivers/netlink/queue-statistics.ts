import { type AttributeMap, payloadOf } from "./attributes.ts";

/** Counters of a qdisc, a class or an action since it was made. */
export interface QueueStatistics {
  readonly sentBytes: bigint;
  readonly sentPackets: number;
  /** Waiting now. */
  readonly queuedPackets: number;
  readonly backlogBytes: number;
  readonly droppedPackets: number;
  readonly requeuedPackets: number;
  /** Times that a packet had to wait for tokens. */
  readonly overlimits: number;
}

// linux/gen_stats.h
const TCA_STATS_BASIC = 1;
const TCA_STATS_QUEUE = 3;
const BASIC_BYTES = 12; // struct gnet_stats_basic: u64 bytes, u32 packets
const QUEUE_BYTES = 20; // struct gnet_stats_queue: u32 qlen, backlog, drops, requeues, overlimits

/** Reads TCA_STATS2 or TCA_ACT_STATS. */
export function readQueueStatistics(attributes: AttributeMap): QueueStatistics | undefined {
  const basic = payloadOf(attributes, TCA_STATS_BASIC, BASIC_BYTES);
  const queue = payloadOf(attributes, TCA_STATS_QUEUE, QUEUE_BYTES);
  if (basic === undefined || queue === undefined) return undefined;
  return {
    sentBytes: basic.readBigUInt64LE(0),
    sentPackets: basic.readUInt32LE(8),
    queuedPackets: queue.readUInt32LE(0),
    backlogBytes: queue.readUInt32LE(4),
    droppedPackets: queue.readUInt32LE(8),
    requeuedPackets: queue.readUInt32LE(12),
    overlimits: queue.readUInt32LE(16),
  };
}
