import { setTimeout as sleep } from "node:timers/promises";

export interface RegularComparison {
  readonly intervalMs: number;
  /** Each begins a comparison, and does not wait for it. */
  readonly compare: readonly (() => void)[];
  readonly signal: AbortSignal;
}

/** All flows, ports and links are compared now and then, whatever the events say; by chance somewhat earlier or later. */
export async function compareRegularly({ intervalMs, compare, signal }: RegularComparison): Promise<void> {
  while (!signal.aborted) {
    const pauseMs = intervalMs * (0.9 + 0.2 * Math.random());
    await sleep(pauseMs, undefined, { signal }).catch(() => {}); // ends with the signal
    if (signal.aborted) return;
    for (const each of compare) each();
  }
}
