/** When what has failed is tried again: later each time. */
export interface Retries {
  /** May it be tried now? */
  isDue(key: string, nowMs: number): boolean;
  failed(key: string, nowMs: number): void;
  /** Not before so many milliseconds have passed, whatever happened so far. */
  hold(key: string, nowMs: number, pauseMs: number): void;
  succeeded(key: string): void;
  /** Only these are still of interest. */
  keep(keys: ReadonlySet<string>): void;
  nextAtMs(): number | undefined;
}

const PAUSE_MIN_MS = 250;
const PAUSE_MAX_MS = 15_000;

interface Waiting {
  readonly atMs: number;
  readonly pauseMs: number;
}

/** `random` gives numbers from 0 to 1, so that many nodes do not come at the same moment. */
export function createRetries(random: () => number = Math.random): Retries {
  const waiting = new Map<string, Waiting>();
  const spread = (pauseMs: number) => pauseMs * (0.5 + random());
  return {
    isDue: (key, nowMs) => (waiting.get(key)?.atMs ?? nowMs) <= nowMs,
    failed: (key, nowMs) => {
      const pauseMs = Math.min((waiting.get(key)?.pauseMs ?? PAUSE_MIN_MS / 2) * 2, PAUSE_MAX_MS);
      waiting.set(key, { atMs: nowMs + spread(pauseMs), pauseMs });
    },
    hold: (key, nowMs, pauseMs) => {
      waiting.set(key, { atMs: nowMs + spread(pauseMs), pauseMs: PAUSE_MIN_MS });
    },
    succeeded: (key) => waiting.delete(key),
    keep: (keys) => {
      for (const key of waiting.keys()) if (!keys.has(key)) waiting.delete(key);
    },
    nextAtMs: () => (waiting.size === 0 ? undefined : Math.min(...[...waiting.values()].map(({ atMs }) => atMs))),
  };
}
