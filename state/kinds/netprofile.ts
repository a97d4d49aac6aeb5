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
    .regex(/^[^:/\u0000-\u001f\u007f]+$/, 'may hold anything but ":", "/" and control characters')
    .describe("Name of the netprofile, unique in its tenant."),
  tenantName: Name.describe("Tenant that it belongs to."),
  bandwidth: BandwidthText.default("").describe(
    'Limit of each direction of each endpoint, like "10Mbps" (10 000 000 bit/s); empty: none.',
  ),
  DSCP: z
    .int()
    .min(0)
    .max(63)
    .default(0)
    .describe("Differentiated services code point written into what pods send; 0: packets stay as they are."),
  burst: BurstKilobytes.max(10_486)
    .default(0)
    .describe("Burst of each direction in kilobytes of 1000 bytes, 2-10486; 0: chosen by the node."),
  ingressBandwidth: BandwidthText.default("").describe(
    "Limit of what each pod receives, in place of bandwidth; empty: bandwidth.",
  ),
  ingressBurst: BurstKilobytes.default(0).describe(
    "Burst of what each pod receives, in place of burst: kilobytes of 1000 bytes, 2-500000; 0: burst.",
  ),
  egressBandwidth: BandwidthText.default("").describe(
    "Limit of what each pod sends, in place of bandwidth; empty: bandwidth.",
  ),
  egressBurst: BurstKilobytes.default(0).describe(
    "Burst of what each pod sends, in place of burst: kilobytes of 1000 bytes, 2-500000; 0: burst.",
  ),
  egressMode: z
    .enum(["", "police", "shape"])
    .default("")
    .describe("What pods send beyond the limit is dropped (police) or queued (shape); empty: the node's choice."),
  strict: z
    .boolean()
    .default(false)
    .describe("true: nodes that cannot keep these limits refuse pods. false: they warn."),
});
export type Netprofile = z.infer<typeof Netprofile>;

/** What the store keeps of a netprofile. */
export const NetprofileRecord = z.object({ key: z.string(), config: Netprofile });
export type NetprofileRecord = Readonly<z.infer<typeof NetprofileRecord>>;
