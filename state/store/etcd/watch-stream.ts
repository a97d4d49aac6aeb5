import type { Etcd3, IEvent, IWatchResponse } from "etcd3";
import { NetError } from "../../errors.ts";
import { abortError, within } from "../waiting.ts";
import type { EventQueue } from "./event-queue.ts";
import type { EtcdTimings } from "./options.ts";
import { prefixRange } from "./range.ts";

export interface StreamOptions {
  readonly client: Etcd3;
  readonly prefix: string;
  /** First revision wanted. */
  readonly next: bigint;
  readonly timings: EtcdTimings;
  readonly queue: EventQueue;
  readonly onLive: () => void;
  readonly signal: AbortSignal;
}

/** Why a stream ended in a way that demands a new list; every other end is thrown. */
export type StreamEnd = "compacted" | "overflow";

/** What grpc-js offers beyond etcd3's type of the stream: it is a node stream. */
type WatchStream = Awaited<ReturnType<Etcd3["watchClient"]["watch"]>> & { pause(): void; resume(): void };

/** Opens one watch stream of its own and feeds the queue until the stream ends for whatever reason. */
export async function runStream(options: StreamOptions): Promise<StreamEnd> {
  const { client, prefix, timings, signal } = options;
  const opening = client.watchClient.watch() as Promise<WatchStream>;
  let stream: WatchStream;
  try {
    const doing = `open a watch of "${prefix}"`;
    stream = await within(opening, { timeoutMs: timings.watchAnswerTimeoutMs, signal, doing });
  } catch (error) {
    opening.then(discard, () => undefined);
    throw error;
  }
  return await new Promise<StreamEnd>((resolve, reject) => followStream(stream, options, resolve, reject));
}

function discard(stream: WatchStream): void {
  stream.on("error", () => undefined);
  stream.cancel();
}

function followStream(
  stream: WatchStream,
  { prefix, next, timings, queue, onLive, signal }: StreamOptions,
  resolve: (end: StreamEnd) => void,
  reject: (cause: unknown) => void,
): void {
  const doing = `watch "${prefix}"`;
  let isSettled = false;
  let timer: NodeJS.Timeout | undefined;
  let fragments: IEvent[] = [];

  function finish(settle: () => void): void {
    if (isSettled) return;
    isSettled = true;
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
    queue.onRoom = () => undefined;
    stream.cancel();
    stream.resume(); // a paused stream would never see its end
    settle();
  }
  const fail = (cause: unknown) => finish(() => reject(cause));
  const onAbort = () => fail(abortError(signal, doing));
  const giveUp = (text: string) => fail(new NetError("UNAVAILABLE", `Cannot ${doing}: ${text}`));

  function expectAnswer(text: string): void {
    clearTimeout(timer);
    timer = setTimeout(giveUp, timings.watchAnswerTimeoutMs, `${text} in ${timings.watchAnswerTimeoutMs} ms`);
  }
  function awaitSilence(): void {
    clearTimeout(timer);
    timer = setTimeout(() => {
      stream.write({ progress_request: {} });
      expectAnswer("no answer to a probe");
    }, timings.watchProbeAfterMs);
  }
  function holdBack(): void {
    stream.pause();
    clearTimeout(timer);
    timer = setTimeout(() => finish(() => resolve("overflow")), timings.queueFullMs);
  }
  queue.onRoom = () => {
    stream.resume();
    awaitSilence();
  };

  function receive(answer: IWatchResponse): void {
    if (isSettled) return;
    awaitSilence();
    if (answer.canceled) {
      if (BigInt(answer.compact_revision) > 0n) finish(() => resolve("compacted"));
      else giveUp(`etcd ended it: ${answer.cancel_reason || "without a reason"}`);
      return;
    }
    if (answer.created) onLive();
    fragments.push(...answer.events);
    if (answer.fragment || fragments.length === 0) return;
    const events = fragments;
    fragments = [];
    if (!queue.push(events)) holdBack();
  }

  stream.on("data", receive);
  stream.on("error", fail);
  stream.on("end", () => giveUp("the stream ended"));
  signal.addEventListener("abort", onAbort, { once: true });
  expectAnswer("no watch was created");
  const range = prefixRange(prefix);
  stream.write({
    create_request: { ...range, start_revision: next.toString(), progress_notify: true, fragment: true },
  });
}
