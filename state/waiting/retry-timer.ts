import { createAlarm } from "./alarm.ts";
import { BackOff, type Random } from "./back-off.ts";

export interface RetryTimerOptions {
  readonly act: () => void;
  readonly signal: AbortSignal;
  readonly minMs: number;
  readonly maxMs: number;
  /** So that many nodes do not come at the same moment. */
  readonly random?: Random;
}

/** Tries again what has failed: later each time, until it is not needed any more. */
export interface RetryTimer {
  /** Is there something to try again? `isHopeful`: something has changed that may help, so the pauses begin anew. */
  look(isNeeded: boolean, isHopeful?: boolean): void;
}

export function createRetryTimer({ act, signal, minMs, maxMs, random }: RetryTimerOptions): RetryTimer {
  const alarm = createAlarm(act, signal);
  const backOff = new BackOff({ firstMs: minMs, maxMs }, random);
  return {
    look: (isNeeded, isHopeful = false) => {
      if (!isNeeded || isHopeful) {
        alarm.cancel();
        backOff.reset();
      }
      if (isNeeded && !alarm.isSet) alarm.soon(backOff.nextMs());
    },
  };
}
