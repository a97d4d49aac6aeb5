import { setMaxListeners } from "node:events";
import { NetError } from "../errors.ts";

export type LateCode = "TIMEOUT" | "CLOSED";

/** The error of a wait whose signal was aborted; a NetError given as the reason passes unchanged. `lateCode`: after a deadline. */
export function abortError(signal: AbortSignal, doing: string, lateCode: LateCode = "TIMEOUT"): NetError {
  if (signal.reason instanceof NetError) return signal.reason;
  const isTimeout = signal.reason instanceof DOMException && signal.reason.name === "TimeoutError";
  const text = isTimeout ? "the caller's deadline passed" : "the caller gave up";
  return new NetError(isTimeout ? lateCode : "CLOSED", `Cannot ${doing}: ${text}`, { cause: signal.reason });
}

export function throwIfAborted(signal: AbortSignal | undefined, doing: string): void {
  if (signal?.aborted) throw abortError(signal, doing);
}

/** Calls once when the signal aborts, at once if it has; the result cancels. Any number of waits may end with one signal. */
export function onAbort(signal: AbortSignal | undefined, callback: (reason: unknown) => void): () => void {
  if (signal === undefined) return () => undefined;
  const listener = () => callback(signal.reason);
  if (signal.aborted) {
    listener();
    return () => undefined;
  }
  setMaxListeners(0, signal); // Node warns of a leak from the eleventh concurrent wait on
  signal.addEventListener("abort", listener, { once: true });
  return () => signal.removeEventListener("abort", listener);
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

/** Resolves when the signal aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
