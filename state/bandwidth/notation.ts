import { z } from "zod";

/** Most that a limit may say, in bit/s: 1 Pbit/s, as Kubernetes has it for its annotations. */
export const RATE_MAX_BIT_PER_SECOND = 1e15;
/** Least that a limit may say, in bit/s: one unit of the contract's notation, and of Kubernetes' range. */
export const RATE_MIN_BIT_PER_SECOND = 1_000;

/** Contract §6.6, with powers of 1000. */
const BANDWIDTH_PATTERN = /^([1-9][0-9]* ?[kmgKMG](bps|b)?)?$/;
const NUMBER_AND_UNIT = /^([0-9]+) ?([kmg])/i;
const BIT_PER_SECOND: Readonly<Record<string, number>> = { k: 1e3, m: 1e6, g: 1e9 };

/** Bandwidth in the contract's notation, powers of 1000: `10Mbps` = 10 000 000 bit/s; empty = no limit. */
export const BandwidthText = z
  .string()
  .regex(BANDWIDTH_PATTERN, "must be a whole number with its unit (kbps, mbps or gbps), like 10Mbps")
  .refine((text) => (parseBandwidth(text) ?? 0) <= RATE_MAX_BIT_PER_SECOND, "must be at most 1000000gbps (1 Pbit/s)");

/** 4 Gbit in kilobytes of 1000 bytes: the largest burst that a port can have. */
const BURST_MAX_KILOBYTES = 500_000;

/** Burst of one direction in kilobytes of 1000; 0: left to this system. */
export const BurstKilobytes = z
  .int()
  .min(0)
  .max(BURST_MAX_KILOBYTES)
  .refine((kilobytes) => kilobytes !== 1, "must not be 1: one kilobyte is less than a frame");

/** Bits per second of a BandwidthText; undefined where it says nothing: no limit. */
export function parseBandwidth(text: string): number | undefined {
  const [, digits, unit] = NUMBER_AND_UNIT.exec(text) ?? [];
  if (digits === undefined || unit === undefined) return undefined;
  return Number(digits) * (BIT_PER_SECOND[unit.toLowerCase()] ?? Number.NaN);
}
