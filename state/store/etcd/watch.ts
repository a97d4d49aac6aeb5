import type { IEvent } from "etcd3";
import { NetError } from "../../errors.ts";
import { backOffMs } from "../../waiting/back-off.ts";
import { nextTurn, pause } from "../../waiting/pause.ts";
import { onAbort, throwIfAborted } from "../../waiting/signals.ts";
import type { StoredValue, WatchConsumer, WatchEvent } from "../store.ts";
import { deferred } from "../watch-handle.ts";
import {
  acceptEvents,
  changedPuts,
  forgetVersions,
  newProgress,
  reachRevision,
  vanishedDeletes,
  type WatchProgress,
  wholeRevisions,
} from "../watch-progress.ts";
import { attempt, type EtcdLink } from "./calls.ts";
import type { Endpoint } from "./endpoints.ts";
import { EventQueue } from "./event-queue.ts";
import { brokenLineage } from "./lineage.ts";
import { listPages, prefixRange, restartCompacted, storedValue, valuesInTurns } from "./range.ts";
import { verifyRegularly } from "./verify.ts";
import { runStream, type StreamEnd } from "./watch-stream.ts";

export interface FollowOptions {
  readonly link: EtcdLink;
  readonly prefix: string;
  readonly consumer: WatchConsumer;
  readonly anchor?: string | undefined;
  readonly relists?: boolean | undefined;
}

/** One watch over its whole life. */
interface Follower extends FollowOptions {
  readonly progress: WatchProgress;
  readonly signal: AbortSignal;
  readonly onSynced: () => void;
  endpointIndex: number;
  /** In a row, until a stream was live again. */
  failures: number;
  /** In a row, until the consumer accepted something. */
  consumerFailures: number;
}

const BATCH_EVENTS = 256;

/** Lists and watches the prefix until the signal aborts; failures only lead to another member and another try. */
export async function followEtcd(options: FollowOptions, signal: AbortSignal, onSynced: () => void): Promise<void> {
  const { link, prefix } = options;
  const endpointIndex = link.endpoints.randomIndex();
  const follower = {
    ...options,
    progress: newProgress(),
    signal,
    onSynced,
    endpointIndex,
    failures: 0,
    consumerFailures: 0,
  };
  while (!signal.aborted) {
    const endpoint = link.endpoints.at(follower.endpointIndex);
    try {
      if (follower.progress.next === undefined) await listOnce(follower);
      const end = await streamOnce(follower, endpoint);
      link.report({ kind: "watch-down", prefix, endpoint: endpoint.url, cause: end });
      follower.progress.next = undefined;
    } catch (cause) {
      if (signal.aborted) return;
      if (cause instanceof StoreReplaced) await startOver(follower, cause.message);
      if (follower.relists) forgetVersions(follower.progress);
      if (cause instanceof StoreReplaced) continue;
      if (cause instanceof ConsumerFailure) follower.consumerFailures += 1;
      else afterLinkFailure(follower, endpoint, cause);
      const failures = Math.max(follower.failures, follower.consumerFailures);
      await pause(backOffMs(link.timings.watchBackoff, failures), signal);
    }
  }
}

function afterLinkFailure(follower: Follower, endpoint: Endpoint, cause: unknown): void {
  follower.link.report({ kind: "watch-down", prefix: follower.prefix, endpoint: endpoint.url, cause });
  follower.endpointIndex += 1;
  follower.failures += 1;
  endpoint.isCompared = false;
}

/** The store is not the one that the watch began with. */
class StoreReplaced extends Error {}

/** Has the consumer forget all; a consumer that throws is told again with the next list, which it cannot miss. */
async function startOver(follower: Follower, cause: string): Promise<void> {
  const { link, prefix, progress } = follower;
  link.report({ kind: "store-replaced", prefix, cause });
  await deliver(follower, [{ kind: "reset", cause }]).catch(() => forgetVersions(progress));
}

/**
 * Throws unless the member's store goes on from what was complete last. Asked after a stream was opened or a list was read, so that no other
 * store can come between; a restored one would answer as if nothing had happened.
 */
async function verifyStore(follower: Follower, endpoint: Endpoint, signal: AbortSignal): Promise<void> {
  const { link, prefix, anchor: anchorKey, progress } = follower;
  if (progress.proven === undefined) return;
  const cause = await brokenLineage(link, endpoint, { prefix, anchorKey, ...progress.proven, signal });
  if (cause !== undefined) throw new StoreReplaced(cause);
}

/** Brings the consumer to the state of one revision: puts for what differs, deletes for what vanished. */
function listOnce(follower: Follower): Promise<void> {
  const { link, prefix, signal, progress } = follower;
  return restartCompacted(prefix, async () => {
    const listed = progress.known.size > 0 ? new Set<string>() : undefined;
    let revision = 0n;
    let keyCount = 0;
    for await (const page of listPages(link, prefix, { signal })) {
      revision = page.revision;
      keyCount += page.kvs.length;
      for await (const values of valuesInTurns(page)) {
        if (listed) for (const value of values) listed.add(value.key);
        await deliverAll(follower, changedPuts(progress, values));
      }
    }
    if (listed && progress.known.size !== listed.size) {
      await deliverAll(follower, vanishedDeletes(progress, listed, revision));
    }
    await verifyStore(follower, link.endpoints.preferred, signal);
    await deliver(follower, [{ kind: "synced", revision }]);
    link.report({ kind: "watch-listed", prefix, revision, keyCount });
    follower.onSynced();
  });
}

async function deliverAll(follower: Follower, events: readonly WatchEvent[]): Promise<void> {
  for (let start = 0; start < events.length; start += BATCH_EVENTS) {
    if (start > 0) await nextTurn();
    await deliver(follower, events.slice(start, start + BATCH_EVENTS));
  }
}

class ConsumerFailure extends Error {}

async function deliver(follower: Follower, events: readonly WatchEvent[]): Promise<void> {
  const { link, prefix, consumer, progress, signal } = follower;
  throwIfAborted(signal, `watch "${prefix}"`);
  try {
    await consumer(events);
  } catch (cause) {
    link.report({ kind: "consumer-failed", prefix, cause });
    throw new ConsumerFailure("the consumer threw", { cause });
  }
  follower.consumerFailures = 0;
  acceptEvents(progress, events, follower.anchor);
}

/** Runs one stream, the delivery of its events and the regular comparison side by side; the first to end ends all. */
async function streamOnce(follower: Follower, endpoint: Endpoint): Promise<StreamEnd> {
  const { link, prefix, progress, signal } = follower;
  if (link.endpoints.hasAuth) await renewToken(follower, endpoint);
  const { next } = progress;
  if (next === undefined) throw new NetError("INTERNAL", `Watch of "${prefix}" has no revision to start from`);
  const ended = new AbortController();
  const stop = () => ended.abort(signal.reason);
  throwIfAborted(signal, `watch "${prefix}"`);
  signal.addEventListener("abort", stop, { once: true });
  const { timings } = link;
  const queue = new EventQueue({ events: timings.queueEvents, bytes: timings.queueBytes });
  const live = deferred();
  live.promise.catch(() => undefined);
  const verified = live.promise.then(async () => {
    await verifyStore(follower, endpoint, ended.signal);
    follower.failures = 0;
    link.report({ kind: "watch-live", prefix, endpoint: endpoint.url });
  });
  const onLive = live.resolve;
  const parts = [
    runStream({ client: endpoint.client, prefix, next, timings, queue, onLive, signal: ended.signal }),
    verified.then(() => pump(follower, queue, ended.signal)),
    verifyRegularly(link, prefix, progress, ended.signal),
    untilDiverged(endpoint, ended.signal),
  ] as const;
  try {
    return await Promise.race(parts);
  } finally {
    signal.removeEventListener("abort", stop);
    ended.abort();
    live.reject(new NetError("CLOSED", `The stream of "${prefix}" has ended`));
    await Promise.allSettled(parts); // the consumer's present call too: never two at a time
  }
}

/** Ends when the member turns out to hold other data than most: what it has told may never have been. */
function untilDiverged(endpoint: Endpoint, signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const unlink = onAbort(endpoint.distrusted, (why) => reject(new StoreReplaced(`etcd ${endpoint.url} ${why}`)));
    onAbort(signal, (reason) => {
      unlink();
      reject(reason);
    });
  });
}

/** An expired token is renewed for unary calls only: one such call before the stream takes the present token. */
async function renewToken({ link, prefix, signal }: Follower, endpoint: Endpoint): Promise<void> {
  const options = { doing: `watch "${prefix}"`, signal, timeoutMs: link.timings.watchAnswerTimeoutMs };
  await attempt(link, endpoint, options, (client, callOptions) =>
    client.kv.range({ ...prefixRange(prefix), limit: 1, keys_only: true }, callOptions),
  );
}

/** Takes answers from the queue to the consumer, whole revisions at a time; ends only by failure or abort. */
async function pump(follower: Follower, queue: EventQueue, signal: AbortSignal): Promise<never> {
  const { progress, prefix } = follower;
  for (;;) {
    const answer = await queue.next(signal);
    for (const events of wholeRevisions(answer ?? [], BATCH_EVENTS, (event) => event.kv.mod_revision)) {
      throwIfAborted(signal, `watch "${prefix}"`);
      const next = progress.next ?? 0n;
      const fresh = events.filter((event) => BigInt(event.kv.mod_revision) >= next).map(watchEvent);
      if (fresh.length > 0) await deliver(follower, fresh);
      const last = events.at(-1);
      if (last !== undefined && BigInt(last.kv.mod_revision) >= next)
        reachRevision(progress, BigInt(last.kv.mod_revision));
      queue.done(events);
      await nextTurn();
    }
    throwIfAborted(signal, `watch "${prefix}"`);
  }
}

function watchEvent(event: IEvent): WatchEvent {
  const isDelete = String(event.type).toUpperCase() === "DELETE"; // the wire says DELETE, etcd3's type says Delete
  if (!isDelete) return { kind: "put", value: storedValue(event.kv) satisfies StoredValue };
  return { kind: "delete", key: event.kv.key.toString("utf8"), modRevision: BigInt(event.kv.mod_revision) };
}
