import { onAbort } from "./signals.ts";

/** A signal that follows others and ends by itself after a time, until it is disposed of. */
export interface Deadline extends Disposable {
  readonly signal: AbortSignal;
}

/**
 * Aborts with its sources, or with a TimeoutError after `timeoutMs`. It stands in place of `AbortSignal.any([…, AbortSignal.timeout()])`,
 * which in Node 20 loses its timeout when memory is collected: the wait then never ends.
 */
export function deadline(timeoutMs: number, ...sources: readonly (AbortSignal | undefined)[]): Deadline {
  const controller = new AbortController();
  const unlinks = sources.map((source) => onAbort(source, (reason) => controller.abort(reason)));
  const expire = () => controller.abort(new DOMException("The operation was aborted due to timeout", "TimeoutError"));
  const timer = setTimeout(expire, timeoutMs).unref();
  return {
    signal: controller.signal,
    [Symbol.dispose]: () => {
      clearTimeout(timer);
      for (const unlink of unlinks) unlink();
    },
  };
}
