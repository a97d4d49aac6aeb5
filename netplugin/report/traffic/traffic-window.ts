/** Counters of one endpoint's port at one moment; they only grow. */
export interface TrafficSample {
  readonly atMs: number;
  /** Delivered to the pod, and taken from it, in bytes. */
  readonly ingressBytes: number;
  readonly egressBytes: number;
}

export interface TrafficRates {
  readonly overMs: number;
  readonly ingressBitPerSecond: number;
  readonly egressBitPerSecond: number;
}

/** How far back rates are measured. */
export const WINDOW_MS = 10_000;
const BITS_PER_BYTE = 8;
const MS_PER_SECOND = 1_000;

/** Adds a sample; what is older than the window goes, but for one that the window's first part is measured with. */
export function addSample(samples: readonly TrafficSample[], sample: TrafficSample): readonly TrafficSample[] {
  const last = samples.at(-1);
  const isAnew =
    last !== undefined && (sample.ingressBytes < last.ingressBytes || sample.egressBytes < last.egressBytes);
  if (isAnew) return [sample];
  const firstKept = samples.findLastIndex(({ atMs }) => atMs <= sample.atMs - WINDOW_MS);
  return [...samples.slice(Math.max(firstKept, 0)), sample];
}

/** Mean rates over the samples; undefined before there are two. */
export function ratesOf(samples: readonly TrafficSample[]): TrafficRates | undefined {
  const [first, last] = [samples[0], samples.at(-1)];
  if (first === undefined || last === undefined || last.atMs <= first.atMs) return undefined;
  const overMs = last.atMs - first.atMs;
  const rate = (bytes: number) => Math.round((Math.max(bytes, 0) * BITS_PER_BYTE * MS_PER_SECOND) / overMs);
  return {
    overMs: Math.round(overMs),
    ingressBitPerSecond: rate(last.ingressBytes - first.ingressBytes),
    egressBitPerSecond: rate(last.egressBytes - first.egressBytes),
  };
}
