/** The smallest value that at least `share` of the values do not exceed. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** From the start of the first to the end of the last. */
export function wallMs(timings: readonly { readonly startMs: number; readonly durationMs: number }[]): number {
  const start = Math.min(...timings.map((each) => each.startMs));
  return Math.max(...timings.map((each) => each.startMs + each.durationMs)) - start;
}
