import type { RateLimit } from "./limits.ts";

/**
 * How a limit is kept. `tbf` queues what exceeds it; `police` (the kernel, per packet as large as segmentation offload makes them)
 * and `meter` (the userspace switch, per frame) drop it, and TCP then needs a burst of about a second to come near the rate.
 */
export type Limiter = "tbf" | "police" | "meter";

export interface BurstInput extends RateLimit {
  readonly limiter: Limiter;
  /** Longest frame of the pod, Ethernet header included. */
  readonly frameBytes: number;
}

export interface Burst {
  readonly burstBits: number;
  /** What is said to the admin when it is not the one stated. */
  readonly note: string | undefined;
}

/** Longest frame that segmentation offload hands to the kernel's policer, in bits. */
const OFFLOAD_FRAME_BITS = 65_536 * 8;
const BURST_MAX_BITS = 4e9;
/** From here on a stated burst means nothing (kubernetes.md: runtimes fill in 4 294 967 295 where nobody stated one). */
const ABSURD_BITS = 2 ** 31;
const FILLER_BITS = 2 ** 32 - 1;
const DROPPING_DEFAULT_S = 1;
/** A shaper needs no more than what arrives between two looks of its timer; more would show in short measurements. */
const SHAPING_DEFAULT_S = 0.01;
const SHAPING_DEFAULT_MIN_BITS = 32_768 * 8;

/** The burst that acts: the stated one, one that works where it cannot, or the default of the limiter. */
export function burstOf({ rateBitPerSecond, burstBits: stated, limiter, frameBytes }: BurstInput): Burst {
  const leastBits = Math.max(frameBytes * 8, limiter === "police" ? OFFLOAD_FRAME_BITS : 0);
  const byDefault = Math.max(defaultBits(rateBitPerSecond, limiter), leastBits);
  if (stated === undefined || stated === FILLER_BITS) return { burstBits: byDefault, note: undefined };
  if (stated >= ABSURD_BITS) return { burstBits: byDefault, note: noteOf(stated, byDefault, "is absurd") };
  if (stated < leastBits) return { burstBits: leastBits, note: noteOf(stated, leastBits, "is less than one frame") };
  return { burstBits: stated, note: undefined };
}

function defaultBits(rateBitPerSecond: number, limiter: Limiter): number {
  const [seconds, least] =
    limiter === "tbf" ? [SHAPING_DEFAULT_S, SHAPING_DEFAULT_MIN_BITS] : [DROPPING_DEFAULT_S, OFFLOAD_FRAME_BITS];
  return Math.min(Math.max(Math.ceil(rateBitPerSecond * seconds), least), BURST_MAX_BITS);
}

function noteOf(stated: number, used: number, why: string): string {
  return `the stated burst of ${stated} bit ${why}; ${used} bit are used`;
}
