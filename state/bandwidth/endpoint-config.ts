import { z } from "zod";
import { BITS_PER_KILOBYTE, type PodLimits, type RateLimit, rateLimitOf } from "./limits.ts";
import { BandwidthText, BurstKilobytes } from "./notation.ts";

/** What an admin says of one endpoint's bandwidth, in the netprofiles' words and units: bursts in kilobytes. */
export const EndpointBandwidth = z.object({
  ingressBandwidth: BandwidthText.default("").describe(
    'Limit of what the pod receives, like "10Mbps" (10 000 000 bit/s); empty: that of its group.',
  ),
  ingressBurst: BurstKilobytes.default(0).describe(
    "Burst of what the pod receives in kilobytes of 1000 bytes, 2-500000; 0: chosen by the node.",
  ),
  egressBandwidth: BandwidthText.default("").describe("Limit of what the pod sends; empty: that of its group."),
  egressBurst: BurstKilobytes.default(0).describe(
    "Burst of what the pod sends in kilobytes of 1000 bytes, 2-500000; 0: chosen by the node.",
  ),
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
