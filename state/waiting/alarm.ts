import { onAbort } from "./signals.ts";

/** Acts once after a time, until the signal; it does not keep the process alive. */
export interface Alarm {
  readonly isSet: boolean;
  /** After so long, unless it is set already. */
  soon(delayMs: number): void;
  /** After so long from now on, whatever was set before. */
  anew(delayMs: number): void;
  /** At that time of `performance.now()`, whatever was set before; undefined: not at all. */
  at(atMs: number | undefined): void;
  cancel(): void;
}

export function createAlarm(act: () => void, signal: AbortSignal): Alarm {
  let timer: NodeJS.Timeout | undefined;
  onAbort(signal, cancel);

  function cancel(): void {
    clearTimeout(timer);
    timer = undefined;
  }

  function soon(delayMs: number): void {
    if (timer !== undefined || signal.aborted) return;
    timer = setTimeout(() => {
      timer = undefined;
      act();
    }, delayMs).unref();
  }

  function anew(delayMs: number): void {
    cancel();
    soon(delayMs);
  }

  return {
    get isSet() {
      return timer !== undefined;
    },
    soon,
    anew,
    at: (atMs) => (atMs === undefined ? cancel() : anew(Math.max(0, Math.ceil(atMs - performance.now())))),
    cancel,
  };
}

/** Acts again and again until the signal, the first time after one interval; it does not keep the process alive. */
export function every(intervalMs: number, act: () => void, signal: AbortSignal): void {
  if (signal.aborted) return;
  const timer = setInterval(act, intervalMs).unref();
  onAbort(signal, () => clearInterval(timer));
}
