import { asNetError, type NetError } from "../errors.ts";
import { pause } from "./pause.ts";

export interface RepeatOptions {
  /** Pause between two times; a function is asked before each. */
  readonly everyMs: number | (() => number);
  /** What is done, for the error: completes "Cannot …". */
  readonly doing: string;
  readonly signal: AbortSignal;
  readonly report: (error: NetError) => void;
}

/** Works now, and again after each pause, until the signal; what fails is reported and ends nothing. Never rejects. */
export async function repeat(work: () => void | Promise<void>, options: RepeatOptions): Promise<void> {
  const { everyMs, doing, signal, report } = options;
  while (!signal.aborted) {
    try {
      await work();
    } catch (thrown) {
      if (!signal.aborted) report(asNetError(thrown, doing));
    }
    await pause(typeof everyMs === "number" ? everyMs : everyMs(), signal);
  }
}

export interface PollOptions {
  readonly everyMs: number;
  /** Without it only the signal ends the questions. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
}

/** Asks until there is an answer; undefined when there is none in time. @throws what `ask` throws, and the signal's reason */
export async function poll<T>(
  ask: () => T | undefined | Promise<T | undefined>,
  { everyMs, timeoutMs = Number.POSITIVE_INFINITY, signal }: PollOptions,
): Promise<T | undefined> {
  const untilMs = performance.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined || performance.now() > untilMs) return answer;
    await pause(everyMs, signal);
    signal?.throwIfAborted();
  }
}

export interface RetryOptions {
  readonly pauseMs: number;
  /** False: the error is the outcome. */
  readonly mayRetry: (error: unknown) => boolean;
  readonly signal?: AbortSignal | undefined;
}

/** Attempts until it works; after the signal no more. @throws the last attempt's error */
export async function retry<T>(attempt: () => Promise<T>, { pauseMs, mayRetry, signal }: RetryOptions): Promise<T> {
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (signal?.aborted || !mayRetry(error)) throw error;
      await pause(pauseMs, signal);
    }
  }
}
