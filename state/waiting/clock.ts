/** Monotonic time and timers, so that tests can own them. */
export interface Clock {
  /** Milliseconds of a clock that never goes back and is the same for all threads of the process. */
  nowMs(): number;
  /** Calls once after `delayMs`; the result cancels. */
  after(delayMs: number, callback: () => void): () => void;
}

export const systemClock: Clock = {
  // Not `performance.now()`: that may count from the start of the thread.
  nowMs() {
    const [seconds, nanoseconds] = process.hrtime();
    return seconds * 1_000 + nanoseconds / 1_000_000;
  },
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};

export interface ManualClock extends Clock {
  /** Moves time forward and runs what falls due, in order. */
  advance(byMs: number): void;
}

/** A clock that stands still until it is moved. */
export function manualClock(): ManualClock {
  let nowMs = 0;
  const timers = new Set<{ readonly atMs: number; readonly callback: () => void }>();
  function nextDue(limitMs: number): { readonly atMs: number; readonly callback: () => void } | undefined {
    let next: { readonly atMs: number; readonly callback: () => void } | undefined;
    for (const timer of timers) {
      if (timer.atMs <= limitMs && (next === undefined || timer.atMs < next.atMs)) next = timer;
    }
    return next;
  }
  return {
    nowMs: () => nowMs,
    after(delayMs, callback) {
      const timer = { atMs: nowMs + Math.max(0, delayMs), callback };
      timers.add(timer);
      return () => timers.delete(timer);
    },
    advance(byMs) {
      const untilMs = nowMs + byMs;
      for (let timer = nextDue(untilMs); timer !== undefined; timer = nextDue(untilMs)) {
        timers.delete(timer);
        nowMs = timer.atMs;
        timer.callback();
      }
      nowMs = untilMs;
    },
  };
}
