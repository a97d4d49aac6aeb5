import type { LineLog } from "./daemon-log.ts";
import { textOf } from "./errors.ts";
import { type Clock, systemClock } from "./waiting/clock.ts";

export interface LossLogOptions {
  readonly log: LineLog;
  /** What is written when it is lost, as a sentence with the next step. */
  readonly lost: string;
  /** What is written when it is there again. */
  readonly back: string;
  readonly clock?: Clock;
}

/** One line when something that a daemon depends on is lost, and one when it is back, with how long it was away; failures in between are debug lines. */
export class LossLog {
  readonly #options: LossLogOptions;
  readonly #clock: Clock;
  #sinceMs: number | undefined;

  constructor(options: LossLogOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  get isLost(): boolean {
    return this.#sinceMs !== undefined;
  }

  /** Says it once until it is back, however often it is called. */
  lost(cause: unknown, fields: object = {}): void {
    const { log, lost } = this.#options;
    const told = { ...fields, cause: textOf(cause) };
    if (this.#sinceMs === undefined) log.warn(told, lost);
    else log.debug(told, `${lost} (still)`);
    this.#sinceMs ??= this.#clock.nowMs();
  }

  /** `untilMs`: since when it is back, by the same clock; now unless given. */
  back(fields: object = {}, untilMs: number = this.#clock.nowMs()): void {
    if (this.#sinceMs === undefined) return;
    const lostMs = Math.max(0, Math.round(untilMs - this.#sinceMs));
    this.#sinceMs = undefined;
    this.#options.log.info({ ...fields, lostMs }, this.#options.back);
  }
}
