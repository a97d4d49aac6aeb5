import { type Clock, systemClock } from "./clock.ts";
import { onAbort } from "./signals.ts";

/** Resolves after `delayMs`, or at once when the signal aborts; never rejects: the caller looks at the signal. */
export function pause(delayMs: number, signal?: AbortSignal, clock: Clock = systemClock): Promise<void> {
  if (signal?.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const finish = () => {
      cancel();
      ignore();
      resolve();
    };
    const cancel = clock.after(delayMs, finish);
    const ignore = onAbort(signal, finish);
  });
}

/** Lets the event loop turn once, timers and sockets included. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
