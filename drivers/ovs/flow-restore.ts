import type { SwitchDatabase } from "./database.ts";
import { mutate } from "./ovsdb-client/operations.ts";

/**
 * While this key of the root row's other_config is "true", a switch that starts forwards nothing (ovs-vswitchd.conf.db(5)). ovs-ctl sets it
 * for the seconds between the start of a switch and the return of the flows that it has saved; one that is killed meanwhile leaves it behind.
 */
const KEY = "flow-restore-wait";
/** Whoever restores flows has so much time. */
const GRACE_MS = 10_000;

export interface FlowRestoreOptions {
  readonly database: Pick<SwitchDatabase, "rows" | "transact">;
  /** Can the switch be spoken to? Before that nobody can restore flows. */
  readonly isConnected: () => boolean;
  /** The grace is over: called so that `look` is, too. */
  readonly wake: () => void;
  readonly signal: AbortSignal;
}

/** Sees that the switch is not kept waiting for flows for good. */
export class FlowRestoreWait {
  readonly #options: FlowRestoreOptions;
  #sinceMs: number | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: FlowRestoreOptions) {
    this.#options = options;
  }

  /** What keeps the switch from forwarding, for people; undefined when nothing does. */
  fault(): string | undefined {
    if (this.#value() === undefined) return undefined;
    return `Open vSwitch forwards nothing after a start while other_config:${KEY} is set in its database; ovs-ctl sets and removes it while it restarts the switch; what is left of it is removed after ${GRACE_MS / 1_000} s`;
  }

  /** Removes the key once it has been there for long enough; what was found then. */
  async look(): Promise<readonly string[]> {
    const { database, isConnected, signal } = this.#options;
    const value = this.#value();
    if (value === undefined || !isConnected()) {
      this.restart();
      return [];
    }
    this.#sinceMs ??= this.#begin();
    if (performance.now() - this.#sinceMs < GRACE_MS) return [];
    await database.transact([mutate("Open_vSwitch", [], [["other_config", "delete", { [KEY]: value }]])], { signal });
    this.restart();
    return [`other_config:${KEY} of the switch, which forwards nothing with it`];
  }

  /** The grace begins anew with the next look: the switch has just started. Also ends the timer. */
  restart(): void {
    clearTimeout(this.#timer);
    this.#sinceMs = undefined;
  }

  #begin(): number {
    this.#timer = setTimeout(this.#options.wake, GRACE_MS + 1).unref(); // a timer may be a fraction of a millisecond early
    return performance.now();
  }

  /** The key's value where it is in effect; the switch takes any other text for "false". */
  #value(): string | undefined {
    const [root] = this.#options.database.rows("Open_vSwitch").values(); // none while a new database is being set up
    const value = root?.other_config.get(KEY);
    return value?.toLowerCase() === "true" ? value : undefined;
  }
}
