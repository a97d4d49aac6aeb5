import { z } from "zod";
import { Name } from "../names.ts";

/** Bandwidth in the contract's notation, powers of 1000: `10Mbps` = 10 000 000 bit/s; empty = no limit. */
export const BandwidthText = z.string().regex(/^([1-9][0-9]* ?[kmgKMG](bps|b)?)?$/);

/** What the admin says of a netprofile (contract §6.6). `burst` is in kilobytes, DSCP 0 leaves packets as they are. */
export const Netprofile = z.object({
  profileName: z
    .string()
    .min(1)
    .max(64)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must be refused
    .regex(/^[^:/\u0000-\u001f\u007f]+$/),
  tenantName: Name,
  bandwidth: BandwidthText.default(""),
  DSCP: z.int().min(0).max(63).default(0),
  burst: z
    .int()
    .min(0)
    .max(10_486)
    .refine((kilobytes) => kilobytes !== 1, "must not be 1: one kilobyte is less than a frame")
    .default(0),
});
export type Netprofile = z.infer<typeof Netprofile>;

/** What the store keeps of a netprofile. */
export const NetprofileRecord = z.object({ key: z.string(), config: Netprofile });
export type NetprofileRecord = Readonly<z.infer<typeof NetprofileRecord>>;
