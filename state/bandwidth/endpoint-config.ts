import { z } from "zod";
import { BITS_PER_KILOBYTE, type PodLimits, type RateLimit, rateLimitOf } from "./limits.ts";
import { BandwidthText, BurstKilobytes } from "./notation.ts";

/** What an admin says of one endpoint's bandwidth, in the netprofiles' words and units: bursts in kilobytes. */
export const EndpointBandwidth = z.object({
  /** Of what the pod receives; empty: no limit of its own. */
  ingressBandwidth: BandwidthText.default(""),
  ingressBurst: BurstKilobytes.default(0),
  /** Of what the pod sends. */
  egressBandwidth: BandwidthText.default(""),
  egressBurst: BurstKilobytes.default(0),
});
export type EndpointBandwidth = z.infer<typeof EndpointBandwidth>;

/** Undefined when nothing is limited. */
export function toPodLimits(config: EndpointBandwidth): PodLimits | undefined {
  const podIngress = rateLimitOf(config.ingressBandwidth, config.ingressBurst);
  const podEgress = rateLimitOf(config.egressBandwidth, config.egressBurst);
  if (podIngress === undefined && podEgress === undefined) return undefined;
  return { ...(podIngress && { podIngress }), ...(podEgress && { podEgress }) };
}

/** The inverse, for showing and for merge patches. */
export function fromPodLimits(limits: PodLimits | undefined): EndpointBandwidth {
  const { podIngress, podEgress } = limits ?? {};
  return {
    ingressBandwidth: bandwidthText(podIngress),
    ingressBurst: burstKilobytes(podIngress),
    egressBandwidth: bandwidthText(podEgress),
    egressBurst: burstKilobytes(podEgress),
  };
}

/** In the largest unit that says it exactly; every limit that was parsed is whole kilobits. */
function bandwidthText(limit: RateLimit | undefined): string {
  if (limit === undefined) return "";
  const { rateBitPerSecond } = limit;
  for (const [unit, bits] of [
    ["gbps", 1e9],
    ["mbps", 1e6],
  ] as const) {
    if (rateBitPerSecond % bits === 0) return `${rateBitPerSecond / bits}${unit}`;
  }
  return `${Math.ceil(rateBitPerSecond / 1e3)}kbps`;
}

function burstKilobytes(limit: RateLimit | undefined): number {
  return Math.ceil((limit?.burstBits ?? 0) / BITS_PER_KILOBYTE);
}
