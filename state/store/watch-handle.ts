import { NetError } from "../errors.ts";
import { abortError } from "../waiting/signals.ts";
import type { Watch } from "./store.ts";

export interface WatchHandleOptions {
  readonly prefix: string;
  readonly signal: AbortSignal | undefined;
  /** Follows the prefix until the signal aborts; must not throw. */
  readonly run: (signal: AbortSignal, onSynced: () => void) => Promise<void>;
  /** Calls once, after the last call of the consumer. */
  readonly onEnd: () => void;
}

/** Starts a watch and gives the caller its end of it. */
export function startWatch({ prefix, signal, run, onEnd }: WatchHandleOptions): Watch {
  const ended = new AbortController();
  const synced = deferred();
  synced.promise.catch(() => undefined);
  const follow = () => ended.abort(signal?.reason);
  if (signal?.aborted) follow();
  signal?.addEventListener("abort", follow, { once: true });
  const done = run(ended.signal, synced.resolve).finally(() => {
    signal?.removeEventListener("abort", follow);
    synced.reject(abortError(ended.signal, `watch "${prefix}"`));
    onEnd();
  });
  async function close(): Promise<void> {
    ended.abort(new NetError("CLOSED", `The watch of "${prefix}" was closed`));
    await done;
  }
  return { synced: synced.promise, close, [Symbol.asyncDispose]: close };
}

export interface Deferred {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (cause: unknown) => void;
}

/** A promise with its two ends (Node 20 has no `Promise.withResolvers`). */
export function deferred(): Deferred {
  let resolve: () => void = () => undefined;
  let reject: (cause: unknown) => void = () => undefined;
  const promise = new Promise<void>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
}
