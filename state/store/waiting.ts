import { NetError } from "../errors.ts";
import { type Clock, systemClock } from "./clock.ts";

/** The error of a wait whose signal was aborted; a NetError given as the reason passes unchanged. */
export function abortError(signal: AbortSignal, doing: string): NetError {
  if (signal.reason instanceof NetError) return signal.reason;
  const isTimeout = signal.reason instanceof DOMException && signal.reason.name === "TimeoutError";
  const text = isTimeout ? "the caller's deadline passed" : "it was given up";
  return new NetError(isTimeout ? "TIMEOUT" : "CLOSED", `Cannot ${doing}: ${text}`, { cause: signal.reason });
}

export function throwIfAborted(signal: AbortSignal | undefined, doing: string): void {
  if (signal?.aborted) throw abortError(signal, doing);
}

/** A signal that follows several others, until it is disposed of. (`AbortSignal.any` stays tied to long-lived ones.) */
export interface LinkedSignal extends Disposable {
  readonly signal: AbortSignal;
}

export function linkSignals(...sources: readonly (AbortSignal | undefined)[]): LinkedSignal {
  const controller = new AbortController();
  const unlinks = sources.map((source) => onAbort(source, (reason) => controller.abort(reason)));
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      for (const unlink of unlinks) unlink();
    },
  };
}

/** Calls once when the signal aborts, at once if it has; the result cancels. */
export function onAbort(signal: AbortSignal | undefined, callback: (reason: unknown) => void): () => void {
  if (signal === undefined) return () => undefined;
  const listener = () => callback(signal.reason);
  if (signal.aborted) listener();
  else signal.addEventListener("abort", listener, { once: true });
  return () => signal.removeEventListener("abort", listener);
}

/** Resolves after `delayMs`, or at once when the signal aborts: the caller looks at the signal. */
export function pause(delayMs: number, signal?: AbortSignal, clock: Clock = systemClock): Promise<void> {
  if (signal?.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const finish = () => {
      cancel();
      signal?.removeEventListener("abort", finish);
      resolve();
    };
    const cancel = clock.after(delayMs, finish);
    signal?.addEventListener("abort", finish, { once: true });
  });
}

/** Waits for `work` at most until `timeoutMs` or the abort; what `work` does later is ignored. */
export function within<T>(
  work: Promise<T>,
  options: { readonly timeoutMs: number; readonly signal?: AbortSignal | undefined; readonly doing: string },
): Promise<T> {
  const { timeoutMs, signal, doing } = options;
  work.catch(() => undefined);
  if (signal?.aborted) return Promise.reject(abortError(signal, doing));
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => finish(() => reject(new NetError("TIMEOUT", `Cannot ${doing}: no answer in ${timeoutMs} ms`))),
      timeoutMs,
    );
    const forget = onAbort(signal, () => finish(() => reject(abortError(signal as AbortSignal, doing))));
    function finish(settle: () => void): void {
      clearTimeout(timer);
      forget();
      settle();
    }
    work.then(
      (value) => finish(() => resolve(value)),
      (error: unknown) => finish(() => reject(error)),
    );
  });
}

/** Lets the event loop turn once, timers and sockets included. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

export interface Backoff {
  readonly minMs: number;
  readonly maxMs: number;
}

/** The delay before retry number `attempt` (0, 1, …): doubled each time, with a jitter of 0.5 to 1.5. */
export function backoffMs({ minMs, maxMs }: Backoff, attempt: number): number {
  return Math.min(maxMs, minMs * 2 ** Math.min(attempt, 30)) * (0.5 + Math.random());
}
