import { z } from "zod";
import type { PodLimits, RateLimit } from "./limits.ts";
import { BandwidthText, parseBandwidth } from "./notation.ts";

const BITS_PER_KILOBYTE = 8_000;
const BURST_MAX_KILOBYTES = 500_000;

const Burst = z
  .int()
  .min(0)
  .max(BURST_MAX_KILOBYTES)
  .refine((kilobytes) => kilobytes !== 1, "must not be 1: one kilobyte is less than a frame")
  .default(0);

/** What an admin says of one endpoint's bandwidth, in the netprofiles' words and units: bursts in kilobytes. */
export const EndpointBandwidth = z.object({
  /** Of what the pod receives; empty: no limit of its own. */
  ingressBandwidth: BandwidthText.default(""),
  ingressBurst: Burst,
  /** Of what the pod sends. */
  egressBandwidth: BandwidthText.default(""),
  egressBurst: Burst,
});
export type EndpointBandwidth = z.infer<typeof EndpointBandwidth>;

/** Undefined when nothing is limited. */
export function toPodLimits(config: EndpointBandwidth): PodLimits | undefined {
  const podIngress = limitOf(config.ingressBandwidth, config.ingressBurst);
  const podEgress = limitOf(config.egressBandwidth, config.egressBurst);
  if (podIngress === undefined && podEgress === undefined) return undefined;
  return { ...(podIngress && { podIngress }), ...(podEgress && { podEgress }) };
}

function limitOf(text: string, burstKilobytes: number): RateLimit | undefined {
  const rateBitPerSecond = parseBandwidth(text);
  if (rateBitPerSecond === undefined) return undefined;
  return burstKilobytes === 0
    ? { rateBitPerSecond }
    : { rateBitPerSecond, burstBits: burstKilobytes * BITS_PER_KILOBYTE };
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
