/** Pause before a further attempt. */
export interface Backoff {
  /** Pause of the first attempt's failure. */
  readonly firstMs: number;
  /** No pause is longer. */
  readonly maxMs: number;
}

/**
 * The pause after `failures` failures in a row: doubled each time up to the bound, of which a random half is taken off,
 * so that many clients do not return at once. `random` gives [0, 1).
 */
export function backoffMs(backoff: Backoff, failures: number, random: () => number): number {
  const fullMs = Math.min(backoff.maxMs, backoff.firstMs * 2 ** Math.max(0, failures - 1));
  return fullMs / 2 + (random() * fullMs) / 2;
}
