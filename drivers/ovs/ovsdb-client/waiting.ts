import { setMaxListeners } from "node:events";
import { NetError } from "../../../state/errors.ts";

/** Ends of a wait besides its success. */
export interface Bounds {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
}

/**
 * A promise that also ends by signal (CLOSED) or deadline (TIMEOUT); `deed` completes "Cannot …".
 * `start` runs at once; what it throws is the outcome.
 */
export function waitFor<T>(
  deed: string,
  { signal, timeoutMs }: Bounds,
  start: (resolve: (value: T) => void, reject: (reason: unknown) => void) => void,
): Promise<T> {
  return new Promise<T>((resolvePromise, rejectPromise) => {
    if (signal?.aborted) return rejectPromise(abandoned(deed, "the caller gave up", signal.reason));
    const timer = timeoutMs === undefined ? undefined : setTimeout(onDeadline, timeoutMs);
    const ignore = whenAborted(signal, onAbort);

    function onDeadline(): void {
      reject(new NetError("TIMEOUT", `Cannot ${deed}: no success within ${timeoutMs} ms`));
    }
    function onAbort(): void {
      reject(abandoned(deed, "the caller gave up", signal?.reason));
    }
    function release(): void {
      clearTimeout(timer);
      ignore();
    }
    function resolve(value: T): void {
      release();
      resolvePromise(value);
    }
    function reject(reason: unknown): void {
      release();
      rejectPromise(reason);
    }
    try {
      start(resolve, reject);
    } catch (thrown) {
      reject(thrown);
    }
  });
}

/** Calls back when the signal comes and returns what calls that off. Many waits may share one signal. */
export function whenAborted(signal: AbortSignal | undefined, listener: () => void): () => void {
  if (signal === undefined) return () => {};
  setMaxListeners(0, signal); // Node 20 warns of a leak from the eleventh concurrent wait on
  signal.addEventListener("abort", listener, { once: true });
  return () => signal.removeEventListener("abort", listener);
}

/** The error of a wait that was given up on purpose. */
export function abandoned(deed: string, why: string, cause?: unknown): NetError {
  if (cause instanceof NetError) return cause;
  return new NetError("CLOSED", `Cannot ${deed}: ${why}`, { cause });
}

/** Waits that long, or until the signal; tells neither apart and never rejects. */
export function pause(durationMs: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(done, durationMs);
    const ignore = whenAborted(signal, done);
    function done(): void {
      clearTimeout(timer);
      ignore();
      resolve();
    }
  });
}
