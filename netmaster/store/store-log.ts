import type { Logger } from "pino";
import type { Reporter, StoreReport } from "../../state/store/store.ts";
import { type Clock, systemClock } from "../../state/waiting/clock.ts";

/** etcd counts as well again when nothing has failed for this long and every watch is live. */
const QUIET_MS = 3_000;

/** Logs what the store reports: one line when etcd fails, one when it is well again; the single failures between are debug lines. */
export class StoreLog {
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #brokenWatches = new Set<string>();
  #downSinceMs: number | undefined;
  #cancelQuiet: () => void = () => undefined;

  constructor(log: Logger, clock: Clock = systemClock) {
    this.#log = log;
    this.#clock = clock;
  }

  readonly report: Reporter = (report) => {
    switch (report.kind) {
      case "watch-live":
        this.#brokenWatches.delete(report.prefix);
        this.#log.debug({ prefix: report.prefix, endpoint: report.endpoint }, "a watch is live");
        break;
      case "watch-listed": {
        const { prefix, keyCount, revision } = report;
        this.#log.debug({ prefix, keyCount, revision: String(revision) }, "a prefix was listed");
        break;
      }
      case "store-replaced":
        this.#log.error(
          { prefix: report.prefix, cause: report.cause },
          "the store was restored or replaced; it is read anew",
        );
        break;
      case "watch-drift":
        this.#log.error(
          { prefix: report.prefix, keys: report.keys },
          "a watch had lost events; the prefix is listed anew",
        );
        break;
      case "consumer-failed":
        this.#log.error(
          { prefix: report.prefix, cause: textOf(report.cause) },
          "a change of the store was not taken in",
        );
        break;
      case "lease-lost":
        this.#log.warn({ lease: report.id, cause: textOf(report.cause) }, "a lease was lost");
        break;
      case "lease-thread-failed":
        this.#log.error(
          { cause: textOf(report.cause) },
          "the thread that keeps the leader's lease failed; the main thread keeps it until a new one has started",
        );
        break;
      case "watch-down":
        this.#brokenWatches.add(report.prefix);
        this.#failed(report, `watch "${report.prefix}"`);
        break;
      case "call-failed":
        this.#failed(report, report.call);
        break;
      case "member-diverged":
      case "members-undecided":
      case "member-agrees":
      case "members-not-compared":
        break; // see StoreMembers
      default:
        report satisfies never;
    }
  };

  close(): void {
    this.#cancelQuiet();
  }

  #failed(
    { endpoint, cause }: Extract<StoreReport, { readonly endpoint: string; readonly cause: unknown }>,
    call: string,
  ): void {
    const told = { endpoint, call, cause: textOf(cause) };
    if (this.#downSinceMs === undefined) {
      this.#downSinceMs = this.#clock.nowMs();
      this.#log.warn(told, "etcd fails; trying again until it answers");
    } else this.#log.debug(told, "etcd fails still");
    this.#awaitQuiet();
  }

  #awaitQuiet(): void {
    this.#cancelQuiet();
    this.#cancelQuiet = this.#clock.after(QUIET_MS, () => {
      if (this.#brokenWatches.size > 0) this.#awaitQuiet();
      else this.#recovered();
    });
  }

  #recovered(): void {
    const seconds = Math.round((this.#clock.nowMs() - (this.#downSinceMs ?? 0)) / 100) / 10;
    this.#downSinceMs = undefined;
    this.#log.info({ failingSeconds: seconds }, "etcd answers again");
  }
}

function textOf(cause: unknown): string {
  const text = cause instanceof Error ? cause.message : String(cause);
  return text === "" ? "no reason was given" : text;
}
