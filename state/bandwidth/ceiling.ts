import { type PodLimits, rateLimitOf } from "./limits.ts";
import { BandwidthText, BurstKilobytes } from "./notation.ts";

/**
 * Members of a group or a tenant: what all its pods on one node may receive and send together, over their own limits. Absent or empty:
 * no ceiling.
 */
export const CEILING_MEMBERS = {
  ingressCeiling: BandwidthText.optional().describe(
    'Most that all its pods on one node receive together, like "200mbps"; empty: no ceiling.',
  ),
  ingressCeilingBurst: BurstKilobytes.optional().describe(
    "Burst of ingressCeiling in kilobytes of 1000 bytes, 2-500000; absent or 0: one second of the rate.",
  ),
  egressCeiling: BandwidthText.optional().describe(
    'Most that all its pods on one node send together, like "100mbps"; empty: no ceiling.',
  ),
  egressCeilingBurst: BurstKilobytes.optional().describe(
    "Burst of egressCeiling in kilobytes of 1000 bytes, 2-500000; absent or 0: one second of the rate.",
  ),
} as const;

/** The same, parsed. */
export interface CeilingConfig {
  readonly ingressCeiling?: string | undefined;
  readonly ingressCeilingBurst?: number | undefined;
  readonly egressCeiling?: string | undefined;
  readonly egressCeilingBurst?: number | undefined;
}

/** The kinds of objects whose pods can have a ceiling. */
export const CEILING_KINDS = ["endpointGroup", "tenant"] as const;
export type CeilingKind = (typeof CEILING_KINDS)[number];

/** Empty when there is none. */
export function ceilingsIn(config: CeilingConfig): PodLimits {
  const podIngress = rateLimitOf(config.ingressCeiling ?? "", config.ingressCeilingBurst ?? 0);
  const podEgress = rateLimitOf(config.egressCeiling ?? "", config.egressCeilingBurst ?? 0);
  return { ...(podIngress && { podIngress }), ...(podEgress && { podEgress }) };
}

/** What somebody asks for who may not know of ceilings: members that he does not name stay as they are stored. */
export function keepCeilings<C extends CeilingConfig>(asked: C, stored: CeilingConfig): C {
  const names = Object.keys(CEILING_MEMBERS) as (keyof CeilingConfig)[];
  const kept = names.filter((name) => stored[name] !== undefined).map((name) => [name, stored[name]]);
  return { ...Object.fromEntries(kept), ...asked };
}
