import {
  LIMIT_SOURCES,
  type LimitSource,
  type PodLimits,
  type RateLimit,
  rateLimitOf,
  type StatedLimits,
} from "./bandwidth/limits.ts";
import type { Netprofile } from "./kinds/netprofile.ts";

export interface EffectiveLimit extends RateLimit {
  readonly source: LimitSource;
}

/** What holds for one endpoint after precedence. */
export interface EffectiveLimits {
  /** Of what the pod receives; undefined: unlimited. */
  readonly podIngress: EffectiveLimit | undefined;
  /** Of what the pod sends. */
  readonly podEgress: EffectiveLimit | undefined;
  /** Of what the pod sends; 0 leaves packets as they are. */
  readonly dscp: number;
  /** How the pod's sending is to be limited; undefined: the node's choice. */
  readonly egressMode: "police" | "shape" | undefined;
  /** A node that cannot honour it refuses the pod. */
  readonly isStrict: boolean;
}

/** The limits of an endpoint: for each direction that of the strongest source that speaks of it (LIMIT_SOURCES). */
export function effectiveLimits(stated: StatedLimits | undefined, profile: Netprofile | undefined): EffectiveLimits {
  const all: Partial<Record<LimitSource, PodLimits | undefined>> = {
    ...stated,
    netprofile: profile === undefined ? undefined : profileLimits(profile),
  };
  return {
    podIngress: strongest(all, "podIngress"),
    podEgress: strongest(all, "podEgress"),
    dscp: profile?.DSCP ?? 0,
    egressMode: profile?.egressMode || undefined,
    isStrict: profile?.strict ?? false,
  };
}

function strongest(
  all: Partial<Record<LimitSource, PodLimits | undefined>>,
  direction: keyof PodLimits,
): EffectiveLimit | undefined {
  for (const source of LIMIT_SOURCES) {
    const limit = all[source]?.[direction];
    if (limit !== undefined) return { ...limit, source };
  }
  return undefined;
}

/** A netprofile's own limits: `bandwidth` and `burst` for both directions, unless a direction has its own. */
export function profileLimits(profile: Netprofile): PodLimits {
  const { bandwidth, burst } = profile;
  const podIngress = rateLimitOf(profile.ingressBandwidth || bandwidth, profile.ingressBurst || burst);
  const podEgress = rateLimitOf(profile.egressBandwidth || bandwidth, profile.egressBurst || burst);
  return { ...(podIngress && { podIngress }), ...(podEgress && { podEgress }) };
}
