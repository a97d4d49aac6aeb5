import type { IEvent } from "etcd3";
import { deferred } from "../watch-handle.ts";

export interface QueueLimits {
  readonly events: number;
  readonly bytes: number;
}

/** Undelivered watch answers, bounded: the reader of the stream stops while it is full. */
export class EventQueue {
  readonly #limits: QueueLimits;
  #answers: (readonly IEvent[])[] = [];
  #eventCount = 0;
  #byteCount = 0;
  #arrival = deferred();
  /** Called when a full queue has become half empty. */
  onRoom: () => void = () => undefined;
  #wasFull = false;

  constructor(limits: QueueLimits) {
    this.#limits = limits;
  }

  get isFull(): boolean {
    return this.#eventCount >= this.#limits.events || this.#byteCount >= this.#limits.bytes;
  }

  /** Adds one whole answer. Returns false when the queue is full now: add no more before `onRoom`. */
  push(events: readonly IEvent[]): boolean {
    this.#answers.push(events);
    this.#eventCount += events.length;
    this.#byteCount += byteCount(events);
    this.#wasFull ||= this.isFull;
    this.#arrival.resolve();
    return !this.isFull;
  }

  /** The oldest answer, waiting for one; undefined once the signal aborts. It counts until `done` is called. */
  async next(signal: AbortSignal): Promise<readonly IEvent[] | undefined> {
    while (this.#answers.length === 0 && !signal.aborted) {
      this.#arrival = deferred();
      const { promise, resolve } = this.#arrival;
      signal.addEventListener("abort", resolve, { once: true });
      await promise;
      signal.removeEventListener("abort", resolve);
    }
    return signal.aborted ? undefined : this.#answers.shift();
  }

  /** These events of an answer from `next` were delivered. */
  done(events: readonly IEvent[]): void {
    this.#eventCount -= events.length;
    this.#byteCount -= byteCount(events);
    const hasRoom = this.#eventCount * 2 <= this.#limits.events && this.#byteCount * 2 <= this.#limits.bytes;
    if (!this.#wasFull || !hasRoom) return;
    this.#wasFull = false;
    this.onRoom();
  }
}

function byteCount(events: readonly IEvent[]): number {
  let bytes = 0;
  for (const { kv } of events) bytes += kv.key.length + kv.value.length;
  return bytes;
}
