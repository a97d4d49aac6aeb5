import { NetError } from "../../state/errors.ts";
import type { FrozenView } from "../view/cluster-view.ts";
import type { ClusterView, IntentContext, Plan } from "../view/types.ts";

/** What a request has come to. */
export interface Committed<Reply> {
  readonly reply: Reply;
  /** The store revision that holds it; the local view shows it already. */
  readonly revision: bigint;
  /** The view that showed it first. */
  readonly view: ClusterView;
}

/** A request on its way: first in the queue, then in a group, then settled once. */
export interface Pending {
  readonly plan: (view: FrozenView) => Plan<unknown>;
  /** Did the plan's own commit fail already, so often? */
  attempts: number;
  isSent: boolean;
  readonly isSettled: () => boolean;
  readonly resolve: (committed: Committed<unknown>) => void;
  readonly reject: (error: NetError) => void;
}

export interface RequestLimits {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** The requests that wait for the next group, bounded, each with its deadline. */
export class RequestQueue {
  readonly #limit: number;
  #waiting: Pending[] = [];
  #arrived: () => void = () => undefined;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get depth(): number {
    return this.#waiting.length;
  }

  /** Queues a request. Rejects with UNAVAILABLE when the queue is full, or the deadline passes before it was sent. */
  add<Reply>(
    plan: (view: ClusterView, context: IntentContext) => Plan<Reply>,
    context: IntentContext,
    limits: RequestLimits,
  ): Promise<Committed<Reply>> {
    if (this.#waiting.length >= this.#limit) {
      const message = `Too many requests are waiting (${this.#waiting.length}); nothing was changed, try again shortly`;
      return Promise.reject(new NetError("UNAVAILABLE", message, { reason: "overloaded" }));
    }
    return new Promise((resolve, reject) => {
      const pending = pendingRequest((view) => plan(view, context), limits, { resolve, reject });
      this.#waiting.push(pending as Pending);
      this.#arrived();
    });
  }

  /** Resolves when there is something to take, or the signal aborts. */
  async arrival(signal: AbortSignal): Promise<void> {
    this.#waiting = this.#waiting.filter((pending) => !pending.isSettled());
    if (this.#waiting.length > 0 || signal.aborted) return;
    await new Promise<void>((resolve) => {
      const arrived = () => {
        signal.removeEventListener("abort", arrived);
        resolve();
      };
      signal.addEventListener("abort", arrived, { once: true });
      this.#arrived = arrived;
    });
  }

  /** The oldest request that is still wanted; it stays in the queue until `shift`. */
  peek(): Pending | undefined {
    while (this.#waiting[0]?.isSettled()) this.#waiting.shift();
    return this.#waiting[0];
  }

  shift(): void {
    this.#waiting.shift();
  }

  /** Puts requests back to the front, in this order. */
  unshift(pending: readonly Pending[]): void {
    this.#waiting.unshift(...pending);
  }

  rejectAll(error: NetError): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const pending of waiting) pending.reject(error);
  }
}

interface Ends<Reply> {
  readonly resolve: (committed: Committed<Reply>) => void;
  readonly reject: (error: NetError) => void;
}

function pendingRequest<Reply>(
  plan: (view: FrozenView) => Plan<Reply>,
  { timeoutMs, signal }: RequestLimits,
  ends: Ends<Reply>,
): Omit<Pending, "resolve"> & { readonly resolve: (committed: Committed<Reply>) => void } {
  let isSettled = false;
  const timer = setTimeout(() => pending.reject(lateError(pending.isSent, timeoutMs)), timeoutMs);
  const onAbort = () => pending.reject(new NetError("CLOSED", "The caller gave up", { cause: signal?.reason }));
  function settle(end: () => void): void {
    if (isSettled) return;
    isSettled = true;
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
    end();
  }
  const pending = {
    plan,
    attempts: 0,
    isSent: false,
    isSettled: () => isSettled,
    resolve: (committed: Committed<Reply>) => settle(() => ends.resolve(committed)),
    reject: (error: NetError) => settle(() => ends.reject(error)),
  };
  if (signal?.aborted) onAbort();
  signal?.addEventListener("abort", onAbort, { once: true });
  return pending;
}

function lateError(isSent: boolean, timeoutMs: number): NetError {
  if (!isSent) {
    return new NetError(
      "UNAVAILABLE",
      `The request waited ${timeoutMs} ms for its turn and was not started; nothing was changed, try again`,
    );
  }
  return new NetError(
    "TIMEOUT",
    `The store did not confirm the change in ${timeoutMs} ms; it may have been made: read the object before you try again`,
  );
}
