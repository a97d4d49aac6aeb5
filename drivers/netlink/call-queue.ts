import { NetError } from "../../state/errors.ts";
import { onAbort } from "../../state/waiting/signals.ts";

/** Runs at most so many calls at a time; the others wait in order of arrival, up to a bound. */
export interface CallQueue {
  /** `start` runs when a place is free. An abort takes a waiting call out; one that runs is awaited. */
  run<T>(start: () => Promise<T>, options?: { readonly signal?: AbortSignal | undefined }): Promise<T>;
}

export interface CallQueueLimits {
  readonly runningMax: number;
  readonly waitingMax: number;
}

/** Makes an empty queue. */
export function createCallQueue({ runningMax, waitingMax }: CallQueueLimits): CallQueue {
  const waiting = new Set<() => void>();
  let running = 0;

  function leave(): void {
    const [next] = waiting;
    if (next === undefined) {
      running--;
      return;
    }
    waiting.delete(next);
    next(); // inherits the place
  }

  function enter(signal: AbortSignal | undefined): Promise<void> | undefined {
    if (signal?.aborted) throw aborted(signal);
    if (running < runningMax) {
      running++;
      return undefined;
    }
    if (waiting.size >= waitingMax) {
      throw new NetError("UNAVAILABLE", `${waiting.size} calls wait for a thread already`, { reason: "queue-full" });
    }
    return new Promise((resolve, reject) => {
      const onTurn = () => {
        unlink();
        resolve();
      };
      const unlink = onAbort(signal, () => {
        if (waiting.delete(onTurn) && signal !== undefined) reject(aborted(signal));
      });
      waiting.add(onTurn);
    });
  }

  return {
    async run(start, { signal } = {}) {
      await enter(signal);
      try {
        return await start();
      } finally {
        leave();
      }
    },
  };
}

/** What an aborted wait throws: TIMEOUT for `AbortSignal.timeout`, otherwise CLOSED. */
export function aborted(signal: AbortSignal, doing = "finish the call"): NetError {
  const reason: unknown = signal.reason;
  if (reason instanceof NetError) return reason;
  const timedOut = reason instanceof Error && reason.name === "TimeoutError";
  return new NetError(timedOut ? "TIMEOUT" : "CLOSED", `Cannot ${doing}: ${String(reason)}`, { cause: reason });
}
