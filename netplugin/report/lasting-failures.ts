import { type Clock, systemClock } from "../../state/waiting/clock.ts";
import { NO_PORT } from "../desired/forwarding/endpoint.ts";

/** An ADD that takes longer is told: 64 of them at once take about a second. */
const ATTACHING_MS = 5_000;

/** Keeps apart what cannot be enforced and what is only being attached: between lease and port each new pod has no flows for a moment. */
export class LastingFailures {
  readonly #clock: Clock;
  readonly #sinceMs = new Map<string, number>();

  constructor(clock: Clock = systemClock) {
    this.#clock = clock;
  }

  /** Those of the failures (object → reason) that are no pod which is just being attached. */
  of(failures: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
    for (const object of this.#sinceMs.keys()) if (failures.get(object) !== NO_PORT) this.#sinceMs.delete(object);
    const nowMs = this.#clock.nowMs();
    return new Map([...failures].filter(([object, reason]) => reason !== NO_PORT || this.#isOld(object, nowMs)));
  }

  #isOld(object: string, nowMs: number): boolean {
    const sinceMs = this.#sinceMs.get(object) ?? nowMs;
    this.#sinceMs.set(object, sinceMs);
    return nowMs - sinceMs >= ATTACHING_MS;
  }
}
