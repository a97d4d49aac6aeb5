import { around, backOffMs, type Random } from "../../../state/waiting/back-off.ts";

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

const PAUSES = { firstMs: 250, maxMs: 15_000 };

interface Waiting {
  readonly atMs: number;
  readonly failures: number;
}

/** `random` gives numbers from 0 to 1, so that many nodes do not come at the same moment. */
export function createRetries(random?: Random): Retries {
  const waiting = new Map<string, Waiting>();
  return {
    isDue: (key, nowMs) => (waiting.get(key)?.atMs ?? nowMs) <= nowMs,
    failed: (key, nowMs) => {
      const failures = (waiting.get(key)?.failures ?? 0) + 1;
      waiting.set(key, { atMs: nowMs + backOffMs(PAUSES, failures, random), failures });
    },
    hold: (key, nowMs, pauseMs) => {
      waiting.set(key, { atMs: nowMs + around(pauseMs, 0.5, random), failures: 1 });
    },
    succeeded: (key) => waiting.delete(key),
    keep: (keys) => {
      for (const key of waiting.keys()) if (!keys.has(key)) waiting.delete(key);
    },
    nextAtMs: () => (waiting.size === 0 ? undefined : Math.min(...[...waiting.values()].map(({ atMs }) => atMs))),
  };
}
