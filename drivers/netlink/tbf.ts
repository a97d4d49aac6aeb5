import { type Attribute, type AttributeMap, bytes, payloadOf, readU64, u32, u64 } from "./attributes.ts";
import {
  bytesToTicks,
  checkRate,
  checkSize,
  needsRate64,
  readRate,
  tickBytes,
  ticksToBytes,
  writeRate,
} from "./traffic-control.ts";

/** A token bucket: so many bytes per second, bursts of so many bytes, a queue of at most so many bytes. */
export interface TbfParameters {
  readonly rateBytesPerSecond: number;
  readonly burstBytes: number;
  readonly limitBytes: number;
}

// linux/pkt_sched.h
const TCA_TBF_PARMS = 1;
const TCA_TBF_RATE64 = 4;
const TCA_TBF_BURST = 6;
const QOPT_BYTES = 36;
const QUEUE_LATENCY_MS = 25;

/** `limitBytes` for a queue that holds the traffic of `latencyMs` beside the burst. */
export function tbfLimitBytes(rateBytesPerSecond: number, burstBytes: number, latencyMs = QUEUE_LATENCY_MS): number {
  return Math.min(Math.floor((rateBytesPerSecond * latencyMs) / 1000) + burstBytes, 0xffffffff);
}

/** True when the kernel's parameters are those wanted, as far as its clock of 64 ns can tell them. */
export function sameTbf(wanted: TbfParameters, actual: TbfParameters): boolean {
  const offBytes = Math.abs(wanted.burstBytes - actual.burstBytes);
  return (
    wanted.rateBytesPerSecond === actual.rateBytesPerSecond &&
    wanted.limitBytes === actual.limitBytes &&
    offBytes <= tickBytes(wanted.rateBytesPerSecond) + 1
  );
}

/** struct tc_tbf_qopt: ratespec rate, ratespec peakrate, u32 limit, u32 buffer in ticks, u32 mtu. */
export function tbfAttributes({ rateBytesPerSecond, burstBytes, limitBytes }: TbfParameters): readonly Attribute[] {
  checkRate(rateBytesPerSecond);
  checkSize("burst", burstBytes);
  checkSize("queue limit", limitBytes);
  const options = Buffer.alloc(QOPT_BYTES);
  writeRate(options, rateBytesPerSecond);
  options.writeUInt32LE(limitBytes, 24);
  options.writeUInt32LE(bytesToTicks(burstBytes, rateBytesPerSecond), 28);
  const wide = needsRate64(rateBytesPerSecond) ? [u64(TCA_TBF_RATE64, BigInt(rateBytesPerSecond))] : [];
  return [bytes(TCA_TBF_PARMS, options), ...wide, u32(TCA_TBF_BURST, burstBytes)];
}

/** Reads TCA_OPTIONS of a tbf. */
export function readTbf(options: AttributeMap): TbfParameters | undefined {
  const qopt = payloadOf(options, TCA_TBF_PARMS, QOPT_BYTES);
  if (qopt === undefined) return undefined;
  const rateBytesPerSecond = readRate(qopt, readU64(options, TCA_TBF_RATE64));
  return {
    rateBytesPerSecond,
    burstBytes: ticksToBytes(qopt.readUInt32LE(28), rateBytesPerSecond),
    limitBytes: qopt.readUInt32LE(24),
  };
}
