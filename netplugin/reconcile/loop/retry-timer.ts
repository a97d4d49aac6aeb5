export interface RetryTimerOptions {
  readonly act: () => void;
  readonly signal: AbortSignal;
  readonly minMs: number;
  readonly maxMs: number;
  /** Numbers from 0 to 1, so that many nodes do not come at the same moment. */
  readonly random?: () => number;
}

/** Tries again what has failed: later each time, until it is not needed any more. */
export interface RetryTimer {
  /** Is there something to try again? `isHopeful`: something has changed that may help, so the pauses begin anew. */
  look(isNeeded: boolean, isHopeful?: boolean): void;
}

export function createRetryTimer(options: RetryTimerOptions): RetryTimer {
  const { minMs, maxMs, random = Math.random } = options;
  let timer: NodeJS.Timeout | undefined;
  let pauseMs = minMs;
  options.signal.addEventListener("abort", stop, { once: true });

  function stop(): void {
    clearTimeout(timer);
    timer = undefined;
    pauseMs = minMs;
  }

  function fire(): void {
    timer = undefined;
    options.act();
  }

  return {
    look: (isNeeded, isHopeful = false) => {
      if (!isNeeded || isHopeful) stop();
      if (!isNeeded || timer !== undefined || options.signal.aborted) return;
      timer = setTimeout(fire, pauseMs * (0.5 + random())).unref();
      pauseMs = Math.min(pauseMs * 2, maxMs);
    },
  };
}
