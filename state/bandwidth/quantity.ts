import { RATE_MAX_BIT_PER_SECOND, RATE_MIN_BIT_PER_SECOND } from "./notation.ts";

/** Powers of ten and of two of the suffixes of a Kubernetes quantity (apimachinery, pkg/api/resource/suffix.go). */
const SUFFIXES: Readonly<Record<string, { readonly ten: number; readonly two: number }>> = {
  n: { ten: -9, two: 0 },
  u: { ten: -6, two: 0 },
  m: { ten: -3, two: 0 },
  "": { ten: 0, two: 0 },
  k: { ten: 3, two: 0 },
  M: { ten: 6, two: 0 },
  G: { ten: 9, two: 0 },
  T: { ten: 12, two: 0 },
  P: { ten: 15, two: 0 },
  E: { ten: 18, two: 0 },
  Ki: { ten: 0, two: 10 },
  Mi: { ten: 0, two: 20 },
  Gi: { ten: 0, two: 30 },
  Ti: { ten: 0, two: 40 },
  Pi: { ten: 0, two: 50 },
  Ei: { ten: 0, two: 60 },
};
const QUANTITY = /^\+?(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,3})|([numkMGTPE]|[KMGTPE]i)?)$/;
const LENGTH_MAX = 64;

/**
 * Reads the bit/s of a bandwidth annotation, a Kubernetes quantity: `10M` = 10 000 000, `1Mi` = 1 048 576; a fraction of a bit is
 * rounded up, as Kubernetes does. Out of 1k to 1P, or no quantity: the reason, which completes "<field> …".
 */
export function parseBandwidthQuantity(text: string): number | string {
  const parts = text.length > LENGTH_MAX ? null : QUANTITY.exec(text);
  const [, whole = "", fraction = "", exponent, suffix = ""] = parts ?? [];
  if (parts === null || whole + fraction === "") return `is no quantity of bit/s, such as 10M: ${shown(text)}`;
  const { ten, two } =
    exponent === undefined ? (SUFFIXES[suffix] ?? { ten: 0, two: 0 }) : { ten: Number(exponent), two: 0 };
  const bitPerSecond = scaled(BigInt(whole + fraction), ten - fraction.length, two);
  if (bitPerSecond < RATE_MIN_BIT_PER_SECOND || bitPerSecond > RATE_MAX_BIT_PER_SECOND) {
    return `must be 1k to 1P (bit/s), not ${shown(text)}`;
  }
  return Number(bitPerSecond);
}

/** digits × 10^ten × 2^two, rounded up. */
function scaled(digits: bigint, ten: number, two: number): bigint {
  const product = digits * 2n ** BigInt(two) * (ten > 0 ? 10n ** BigInt(ten) : 1n);
  const divisor = ten < 0 ? 10n ** BigInt(-ten) : 1n;
  return (product + divisor - 1n) / divisor;
}

function shown(text: string): string {
  return JSON.stringify(text.slice(0, LENGTH_MAX));
}
