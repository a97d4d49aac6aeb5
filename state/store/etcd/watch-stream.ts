import type { Etcd3, IEvent, IWatchResponse } from "etcd3";
import { NetError } from "../../errors.ts";
import { within } from "../../waiting/limit.ts";
import { abortError, onAbort } from "../../waiting/signals.ts";
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
  return await new Promise<StreamEnd>((resolve, reject) => new StreamRun(stream, options, resolve, reject).start());
}

function discard(stream: WatchStream): void {
  stream.on("error", () => undefined);
  stream.cancel();
}

/** One stream from its create request to its end, which comes exactly once, with every timer cleared. */
class StreamRun {
  readonly #stream: WatchStream;
  readonly #options: StreamOptions;
  readonly #resolve: (end: StreamEnd) => void;
  readonly #reject: (cause: unknown) => void;
  readonly #doing: string;
  #isSettled = false;
  #timer: NodeJS.Timeout | undefined;
  #forgetAbort: () => void = () => undefined;
  #fragments: IEvent[] = [];

  constructor(
    stream: WatchStream,
    options: StreamOptions,
    resolve: (end: StreamEnd) => void,
    reject: (cause: unknown) => void,
  ) {
    this.#stream = stream;
    this.#options = options;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#doing = `watch "${options.prefix}"`;
  }

  start(): void {
    const { prefix, next, queue, signal } = this.#options;
    this.#stream.on("data", (answer) => this.#receive(answer));
    this.#stream.on("error", (error) => this.#fail(error));
    this.#stream.on("end", () => this.#giveUp("the stream ended"));
    queue.onRoom = () => {
      this.#stream.resume();
      this.#awaitSilence();
    };
    this.#expectAnswer("no watch was created");
    this.#forgetAbort = onAbort(signal, () => this.#fail(abortError(signal, this.#doing)));
    if (this.#isSettled) return;
    const start = { start_revision: next.toString(), progress_notify: true, fragment: true };
    this.#stream.write({ create_request: { ...prefixRange(prefix), ...start } });
  }

  #receive(answer: IWatchResponse): void {
    if (this.#isSettled) return;
    this.#awaitSilence();
    if (answer.canceled) {
      if (BigInt(answer.compact_revision) > 0n) this.#finish(() => this.#resolve("compacted"));
      else this.#giveUp(`etcd ended it: ${answer.cancel_reason || "without a reason"}`);
      return;
    }
    if (answer.created) this.#options.onLive(); // its revision says nothing about what was delivered
    for (const event of answer.events) this.#fragments.push(event);
    if (answer.fragment || this.#fragments.length === 0) return;
    const events = this.#fragments;
    this.#fragments = [];
    if (!this.#options.queue.push(events)) this.#holdBack();
  }

  /** The queue is full: the stream is not read, and so cannot answer probes either. */
  #holdBack(): void {
    this.#stream.pause();
    this.#arm(this.#options.timings.queueFullMs, () => this.#finish(() => this.#resolve("overflow")));
  }

  #expectAnswer(trouble: string): void {
    const { watchAnswerTimeoutMs } = this.#options.timings;
    this.#arm(watchAnswerTimeoutMs, () => this.#giveUp(`${trouble} in ${watchAnswerTimeoutMs} ms`));
  }

  /** A quiet stream is asked for a sign of life: the answer proves the link and this stream, and moves nothing. */
  #awaitSilence(): void {
    this.#arm(this.#options.timings.watchProbeAfterMs, () => {
      this.#stream.write({ progress_request: {} });
      this.#expectAnswer("no answer to a probe");
    });
  }

  #arm(delayMs: number, callback: () => void): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(callback, delayMs);
  }

  #giveUp(text: string): void {
    this.#fail(new NetError("UNAVAILABLE", `Cannot ${this.#doing}: ${text}`));
  }

  #fail(cause: unknown): void {
    this.#finish(() => this.#reject(cause));
  }

  #finish(settle: () => void): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    clearTimeout(this.#timer);
    this.#forgetAbort();
    this.#options.queue.onRoom = () => undefined;
    this.#stream.cancel();
    this.#stream.resume(); // a paused stream would never see its end
    settle();
  }
}
