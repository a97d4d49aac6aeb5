import { z } from "zod";
import { BandwidthText, BurstKilobytes } from "../bandwidth/notation.ts";
import { Name } from "../names.ts";

/**
 * What the admin says of a netprofile (contract §6.6). `burst` is in kilobytes, DSCP 0 leaves packets as they are. The members
 * after `burst` are this release's own: limits of one direction (seen from the pod), and how they are kept.
 */
export const Netprofile = z.object({
  profileName: z
    .string()
    .min(1)
    .max(64)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must be refused
    .regex(/^[^:/\u0000-\u001f\u007f]+$/, 'may hold anything but ":", "/" and control characters'),
  tenantName: Name,
  bandwidth: BandwidthText.default(""),
  DSCP: z.int().min(0).max(63).default(0),
  burst: BurstKilobytes.max(10_486).default(0),
  /** Of what the pod receives, in place of `bandwidth` and `burst`. */
  ingressBandwidth: BandwidthText.default(""),
  ingressBurst: BurstKilobytes.default(0),
  /** Of what the pod sends. */
  egressBandwidth: BandwidthText.default(""),
  egressBurst: BurstKilobytes.default(0),
  /** Drop or queue what the pod sends beyond its limit; empty: the node's choice. */
  egressMode: z.enum(["", "police", "shape"]).default(""),
  /** Refuse pods on nodes that cannot honour this profile, instead of warning. */
  strict: z.boolean().default(false),
});
export type Netprofile = z.infer<typeof Netprofile>;

/** What the store keeps of a netprofile. */
export const NetprofileRecord = z.object({ key: z.string(), config: Netprofile });
export type NetprofileRecord = Readonly<z.infer<typeof NetprofileRecord>>;
