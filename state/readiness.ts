import { z } from "zod";
import type { LineLog } from "./daemon-log.ts";

/** How a daemon is; docs/decisions/readiness.md says what each state means. */
export const READY_STATES = ["starting", "ready", "degraded", "not-ready"] as const;
export const ReadyState = z.enum(READY_STATES);
export type ReadyState = z.infer<typeof ReadyState>;

/** Most reasons that are told, and the longest of them, in characters. */
const REASONS_MAX = 20;
const REASON_MAX_CHARACTERS = 2_000;

/** The one value that probes, log, metric, REST and CNI errors of a daemon tell. */
export const Readiness = z.object({
  state: ReadyState,
  reasons: z
    .array(z.string().max(REASON_MAX_CHARACTERS))
    .max(REASONS_MAX)
    .describe("Why it is not ready; cause and next step."),
  since: z.string().describe("Since when it is in this state, RFC 3339."),
});
export type Readiness = Readonly<z.infer<typeof Readiness>>;

/** What is decided from all that is known at one moment. */
export interface Judgement {
  readonly state: ReadyState;
  readonly reasons: readonly string[];
}

export const READY: Judgement = { state: "ready", reasons: [] };

export interface ReadinessWatchOptions {
  /** Name of the daemon, for the log. */
  readonly daemon: string;
  readonly judge: () => Judgement;
  /** Undefined: changes are not logged. */
  readonly log?: LineLog;
  /** State or reasons are others than before. */
  readonly onChange?: () => void;
  /** The time, in milliseconds since 1970. */
  readonly now?: () => number;
}

/** Remembers since when a daemon is in its state, and logs each change of it once. */
export class ReadinessWatch {
  readonly #options: ReadinessWatchOptions;
  readonly #now: () => number;
  #current: Readiness;
  #sinceMs: number;

  constructor(options: ReadinessWatchOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#sinceMs = this.#now();
    this.#current = { ...bounded(options.judge()), since: new Date(this.#sinceMs).toISOString() };
    if (this.#current.state !== "starting") this.#tell({});
  }

  /** Judges anew. */
  look(): Readiness {
    const { state, reasons } = bounded(this.#options.judge());
    const before = this.#current;
    if (state === before.state && isSame(reasons, before.reasons)) return before;
    const beforeMs = this.#now() - this.#sinceMs;
    if (state !== before.state) this.#sinceMs = this.#now();
    this.#current = { state, reasons, since: new Date(this.#sinceMs).toISOString() };
    if (state !== before.state) this.#tell({ previousState: before.state, previousMs: beforeMs });
    else if (state !== "starting" && !isSame(reasons.map(gistOf), before.reasons.map(gistOf)))
      this.#options.log?.info({ state, reasons }, `${this.#options.daemon} is ${state} for another reason`);
    this.#options.onChange?.();
    return this.#current;
  }

  #tell(fields: object): void {
    const { log, daemon } = this.#options;
    const { state, reasons } = this.#current;
    const told = { state, ...(reasons.length === 0 ? {} : { reasons }), ...fields };
    if (state === "ready" || state === "starting") log?.info(told, `${daemon} is ${state}`);
    else log?.warn(told, `${daemon} is ${state}`);
  }
}

function bounded({ state, reasons }: Judgement): { state: ReadyState; reasons: string[] } {
  const texts = reasons.map((reason) => reason.slice(0, REASON_MAX_CHARACTERS));
  if (texts.length <= REASONS_MAX) return { state, reasons: texts };
  const more = texts.length - REASONS_MAX + 1;
  return { state, reasons: [...texts.slice(0, REASONS_MAX - 1), `and ${more} more`] };
}

/** Without the details, which may differ with each attempt. */
function gistOf(reason: string): string {
  return reason.split(": ", 1)[0] ?? reason;
}

function isSame(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((each, index) => each === right[index]);
}
