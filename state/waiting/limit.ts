import { NetError } from "../errors.ts";
import { abortError, type LateCode, onAbort } from "./signals.ts";

/** How long a call may take and who may end it early. */
export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
}

/** The bound of one call, shared by all the waits in it. `doing` completes "Cannot …". */
export interface Limit {
  readonly doing: string;
  readonly signal: AbortSignal | undefined;
  /** Infinity: only the signal ends it. */
  readonly timeoutMs: number;
  readonly expiresAtMs: number;
  /** What was missing when the time is over; "no answer" unless given. */
  readonly lacking?: string | undefined;
  /** What it is called that the caller's deadline has passed, which came with its signal; TIMEOUT unless given. */
  readonly lateCode?: LateCode | undefined;
}

export function limitOf(doing: string, options: CallOptions, defaultTimeoutMs: number): Limit {
  const timeoutMs = options.timeoutMs ?? defaultTimeoutMs;
  return { doing, signal: options.signal, timeoutMs, expiresAtMs: performance.now() + timeoutMs };
}

/** @throws NetError TIMEOUT or CLOSED when the call is over already */
export function checkLimit(limit: Limit): void {
  if (limit.signal?.aborted) throw aborted(limit, limit.signal);
  if (performance.now() > limit.expiresAtMs) throw expired(limit);
}

function aborted({ doing, lateCode }: Limit, signal: AbortSignal): NetError {
  return abortError(signal, doing, lateCode);
}

function expired({ doing, timeoutMs, lacking = "no answer" }: Limit): NetError {
  return new NetError("TIMEOUT", `Cannot ${doing}: ${lacking} within ${timeoutMs} ms`);
}

/** Starts a wait and returns what ends it, where something must. */
export type StartWait<T> = (done: (value: T) => void, fail: (error: unknown) => void) => (() => void) | undefined;

/** Waits until `start` calls back or throws, the limit's time is over or its signal aborts; `start`'s result is always called last. */
export function waitFor<T>(limit: Limit, start: StartWait<T>): Promise<T> {
  const { signal } = limit;
  if (signal?.aborted) return Promise.reject(aborted(limit, signal));
  return new Promise<T>((resolve, reject) => {
    let isOver = false;
    let stop: (() => void) | undefined;
    function finish(settle: () => void): void {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      ignore();
      stop?.();
      settle();
    }
    const timer = timerOf(limit, () => finish(() => reject(expired(limit))));
    const ignore = onAbort(signal, () => finish(() => reject(aborted(limit, signal as AbortSignal))));
    try {
      stop = start(
        (value) => finish(() => resolve(value)),
        (error) => finish(() => reject(error)),
      );
    } catch (error) {
      finish(() => reject(error));
    }
    if (isOver) stop?.();
  });
}

function timerOf({ expiresAtMs }: Limit, callback: () => void): NodeJS.Timeout | undefined {
  return expiresAtMs === Number.POSITIVE_INFINITY ? undefined : setTimeout(callback, expiresAtMs - performance.now());
}

/** Waits for `work` at most until `timeoutMs` or the abort; what `work` does later is ignored. */
export function within<T>(
  work: Promise<T>,
  options: { readonly timeoutMs: number; readonly signal?: AbortSignal | undefined; readonly doing: string },
): Promise<T> {
  work.catch(() => undefined);
  return waitFor<T>(limitOf(options.doing, options, options.timeoutMs), (done, fail) => {
    work.then(done, fail);
    return undefined;
  });
}
