import { BackOff } from "../waiting/back-off.ts";
import { pause } from "../waiting/pause.ts";
import type { MemoryBackend } from "./memory-backend.ts";
import type { Reporter, WatchConsumer, WatchEvent } from "./store.ts";
import { deferred } from "./watch-handle.ts";
import {
  acceptEvents,
  changedPuts,
  newProgress,
  revisionOf,
  vanishedDeletes,
  type WatchProgress,
  wholeRevisions,
} from "./watch-progress.ts";

export interface MemoryWatchOptions {
  readonly backend: MemoryBackend;
  readonly prefix: string;
  readonly consumer: WatchConsumer;
  readonly report: Reporter;
  readonly reachable: () => boolean;
  /** Calls when the link goes up or down. */
  readonly onLink: (listener: () => void) => () => void;
}

const BATCH_EVENTS = 256;
const CONSUMER_BACKOFF = { firstMs: 10, maxMs: 1_000 };

/** Follows a prefix of the backend; the consumer's pace decides, and its exceptions only cost a repetition. */
export async function followMemory(
  options: MemoryWatchOptions,
  signal: AbortSignal,
  onSynced: () => void,
): Promise<void> {
  const progress = newProgress();
  let { generation } = options.backend;
  const backOff = new BackOff(CONSUMER_BACKOFF);
  while (!signal.aborted) {
    const changed = changeOf(options, signal);
    try {
      if (options.reachable() && options.backend.generation !== generation) {
        ({ generation } = options.backend);
        const reset = { kind: "reset", cause: "it was restored" } as const;
        options.report({ kind: "store-replaced", prefix: options.prefix, cause: reset.cause });
        await options.consumer([reset]);
        acceptEvents(progress, [reset]);
      }
      for (const batch of pendingBatches(options, progress)) {
        await options.consumer(batch);
        acceptEvents(progress, batch);
        const last = batch.at(-1);
        if (progress.next !== undefined && last !== undefined) progress.next = revisionOf(last) + 1n;
        if (last?.kind === "synced") onSynced();
        backOff.reset();
        if (signal.aborted) return;
      }
      await changed.happened;
    } catch (cause) {
      options.report({ kind: "consumer-failed", prefix: options.prefix, cause });
      await pause(backOff.nextMs(), signal);
    } finally {
      changed.stop();
    }
  }
}

/** What the consumer has not seen yet: a difference to the full list, or events since. */
function pendingBatches(options: MemoryWatchOptions, progress: WatchProgress): Iterable<readonly WatchEvent[]> {
  if (!options.reachable()) return [];
  const events = progress.next === undefined ? "compacted" : options.backend.eventsFrom(progress.next, options.prefix);
  if (events !== "compacted") return wholeRevisions(events, BATCH_EVENTS, revisionOf);
  progress.next = undefined;
  const { revision, values } = options.backend.list(options.prefix);
  const listed = new Set(values.map((value) => value.key));
  const difference = [...changedPuts(progress, values), ...vanishedDeletes(progress, listed, revision)];
  return [...wholeRevisions(difference, BATCH_EVENTS, (event) => event), [{ kind: "synced" as const, revision }]];
}

/** Starts to listen before the state is read, so that no change falls between. */
function changeOf(options: MemoryWatchOptions, signal: AbortSignal): { happened: Promise<void>; stop: () => void } {
  const { promise, resolve } = deferred();
  const stops = [options.backend.onChange(resolve), options.onLink(resolve)];
  signal.addEventListener("abort", resolve, { once: true });
  return {
    happened: promise,
    stop() {
      for (const stop of stops) stop();
      signal.removeEventListener("abort", resolve);
    },
  };
}
