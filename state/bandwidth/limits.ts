import { z } from "zod";
import { parseBandwidth, RATE_MAX_BIT_PER_SECOND, RATE_MIN_BIT_PER_SECOND } from "./notation.ts";

/** Largest burst that anything here can hold, in bits: the runtimes' "no idea" 4 294 967 295 included. */
const BURST_STATED_MAX_BITS = Number.MAX_SAFE_INTEGER;

/** One direction's limit as somebody stated it. Bits of 1 and bursts in bits, as CNI and Kubernetes speak. */
export const RateLimit = z.object({
  rateBitPerSecond: z.int().min(RATE_MIN_BIT_PER_SECOND).max(RATE_MAX_BIT_PER_SECOND),
  /** Absent: left to this system. Absurd ones are stored as stated and clamped where they act (burst.ts). */
  burstBits: z.int().min(1).max(BURST_STATED_MAX_BITS).optional(),
});
export type RateLimit = Readonly<z.infer<typeof RateLimit>>;

export const BITS_PER_KILOBYTE = 8_000;

/** A limit in an admin's words: `bandwidth` as BandwidthText, burst in kilobytes. Undefined when it says nothing. */
export function rateLimitOf(bandwidth: string, burstKilobytes: number): RateLimit | undefined {
  const rateBitPerSecond = parseBandwidth(bandwidth);
  if (rateBitPerSecond === undefined) return undefined;
  return burstKilobytes === 0
    ? { rateBitPerSecond }
    : { rateBitPerSecond, burstBits: burstKilobytes * BITS_PER_KILOBYTE };
}

/** Limits of one source, seen from the pod: ingress is what it receives, egress what it sends. */
export const PodLimits = z.object({ podIngress: RateLimit.optional(), podEgress: RateLimit.optional() });
export type PodLimits = Readonly<z.infer<typeof PodLimits>>;

/** What has been stated for one endpoint alone, by who stated it. */
export const StatedLimits = z.object({
  /** An admin, by REST, for this endpoint. */
  rest: PodLimits.optional(),
  /** The runtime, by CNI's `runtimeConfig.bandwidth`, for this interface. */
  runtime: PodLimits.optional(),
  /** The pod's annotations, for its `eth0`. */
  annotation: PodLimits.optional(),
});
export type StatedLimits = Readonly<z.infer<typeof StatedLimits>>;

/** Who may state a limit, the strongest first: each direction has the limit of the first one that speaks of it. */
export const LIMIT_SOURCES = ["rest", "runtime", "annotation", "netprofile"] as const;
export type LimitSource = (typeof LIMIT_SOURCES)[number];
