import { under } from "../../state/waiting/back-off.ts";

/** Asks for a report before its time. Many calls within the delay are one. */
export interface ReportTrigger {
  request(): void;
  /** The report is due so soon after the first call, in milliseconds; somewhat earlier by chance, so that nodes do not speak in chorus. */
  setDelay(delayMs: number): void;
  /** Waits until a report is due, at the latest after `maxMs` or when the signal aborts. */
  due(maxMs: number, signal: AbortSignal): Promise<void>;
}

export function createReportTrigger(initialDelayMs: number): ReportTrigger {
  let delayMs = initialDelayMs;
  let isRequested = false;
  let isDue = false;
  let wake: (() => void) | undefined;

  function fire(): void {
    isRequested = false;
    isDue = true;
    wake?.();
  }

  async function due(maxMs: number, signal: AbortSignal): Promise<void> {
    if (!isDue && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const end = () => {
          clearTimeout(timer);
          signal.removeEventListener("abort", end);
          wake = undefined;
          resolve();
        };
        const timer = setTimeout(end, maxMs);
        signal.addEventListener("abort", end, { once: true });
        wake = end;
      });
    }
    isDue = false;
  }

  return {
    request: () => {
      if (isRequested) return;
      isRequested = true;
      setTimeout(fire, under(delayMs)).unref();
    },
    setDelay: (value) => {
      delayMs = value;
    },
    due,
  };
}
