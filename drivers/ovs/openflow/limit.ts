import { NetError } from "../../../state/errors.ts";

/** How long a call may take and who may end it early. */
export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
}

/** The bound of one call, shared by all the waits in it. `doing` completes "Cannot …". */
export interface Limit {
  readonly doing: string;
  readonly signal: AbortSignal | undefined;
  readonly timeoutMs: number;
  readonly expiresAtMs: number;
}

export function limitOf(doing: string, options: CallOptions, defaultTimeoutMs: number): Limit {
  const timeoutMs = options.timeoutMs ?? defaultTimeoutMs;
  return { doing, signal: options.signal, timeoutMs, expiresAtMs: performance.now() + timeoutMs };
}

export function checkLimit(limit: Limit): void {
  if (limit.signal?.aborted) throw aborted(limit);
  if (performance.now() > limit.expiresAtMs) throw expired(limit);
}

function aborted(limit: Limit): NetError {
  const reason: unknown = limit.signal?.reason;
  if (reason instanceof NetError) return reason;
  const isDeadline = reason instanceof DOMException && reason.name === "TimeoutError";
  const text = isDeadline ? "the caller's deadline passed" : "the caller gave up";
  return new NetError(isDeadline ? "TIMEOUT" : "CLOSED", `Cannot ${limit.doing}: ${text}`, { cause: reason });
}

function expired(limit: Limit): NetError {
  return new NetError("TIMEOUT", `Cannot ${limit.doing}: no answer within ${limit.timeoutMs} ms`);
}

/** Starts a wait and returns what ends it. */
export type StartWait<T> = (done: (value: T) => void, fail: (error: unknown) => void) => () => void;

/** Waits until `start` calls back, the limit's time is over or its signal aborts; `start`'s result is always called last. */
export function waitFor<T>(limit: Limit, start: StartWait<T>): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    if (limit.signal?.aborted) {
      reject(aborted(limit));
      return;
    }
    const onAbort = () => finish(() => reject(aborted(limit)));
    const timer = setTimeout(() => finish(() => reject(expired(limit))), limit.expiresAtMs - performance.now());
    limit.signal?.addEventListener("abort", onAbort, { once: true });
    let isOver = false;
    let stop: (() => void) | undefined;
    function finish(settle: () => void): void {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      limit.signal?.removeEventListener("abort", onAbort);
      stop?.();
      settle();
    }
    stop = start(
      (value) => finish(() => resolve(value)),
      (error) => finish(() => reject(error)),
    );
    if (isOver) stop();
  });
}

/** Lets timers and other sockets have their turn. */
export function yieldToLoop(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
