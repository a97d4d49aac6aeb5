import { around } from "../../../state/waiting/back-off.ts";
import { pause } from "../../../state/waiting/pause.ts";

export interface RegularComparison {
  readonly intervalMs: number;
  /** Each begins a comparison, and does not wait for it. */
  readonly compare: readonly (() => void)[];
  readonly signal: AbortSignal;
}

/** All flows, ports and links are compared now and then, whatever the events say; by chance somewhat earlier or later. */
export async function compareRegularly({ intervalMs, compare, signal }: RegularComparison): Promise<void> {
  while (!signal.aborted) {
    await pause(around(intervalMs, 0.1), signal);
    if (signal.aborted) return;
    for (const each of compare) each();
  }
}
