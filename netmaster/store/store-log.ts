import type { Logger } from "pino";
import { textOf } from "../../state/errors.ts";
import { LossLog } from "../../state/loss-log.ts";
import type { Reporter, StoreReport } from "../../state/store/store.ts";
import { type Clock, systemClock } from "../../state/waiting/clock.ts";

/** etcd counts as well again when nothing has failed for this long and every watch is live. */
const QUIET_MS = 3_000;
/** A watch that is broken goes on at another member of etcd sooner than that. */
const DEAF_AFTER_MS = 2_000;
export const ETCD_LOST = "etcd does not answer; netmaster tries again until it does";

/** Logs what the store reports: one line when etcd fails, one when it is well again; the single failures between are debug lines. */
export class StoreLog {
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #loss: LossLog;
  /** By prefix: since when. */
  readonly #brokenWatches = new Map<string, { readonly sinceMs: number; readonly cause: string }>();
  /** When something failed, or was mended, the last time. */
  #lastTroubleMs = 0;
  #lastCause = "";
  #cancelQuiet: () => void = () => undefined;

  constructor(log: Logger, clock: Clock = systemClock) {
    this.#log = log;
    this.#clock = clock;
    this.#loss = new LossLog({ log, clock, lost: ETCD_LOST, back: "etcd answers again" });
  }

  /** Is something failing, or was it a moment ago? */
  get isFailing(): boolean {
    return this.#loss.isLost;
  }

  /** What failed last while something is failing. */
  get failure(): string | undefined {
    return this.#loss.isLost ? this.#lastCause : undefined;
  }

  /** Why changes of the store do not come in, when that has been so for a while; one member of etcd that ends is no reason. */
  get deafness(): string | undefined {
    for (const { sinceMs, cause } of this.#brokenWatches.values())
      if (this.#clock.nowMs() - sinceMs >= DEAF_AFTER_MS) return cause;
    return undefined;
  }

  readonly report: Reporter = (report) => {
    switch (report.kind) {
      case "watch-live":
        if (this.#brokenWatches.delete(report.prefix)) this.#lastTroubleMs = this.#clock.nowMs();
        this.#log.debug({ prefix: report.prefix, endpoint: report.endpoint }, "A watch of etcd is live");
        break;
      case "watch-listed": {
        const { prefix, keyCount, revision } = report;
        this.#log.debug({ prefix, keyCount, revision: String(revision) }, "A prefix of etcd was listed");
        break;
      }
      case "store-replaced":
        this.#log.error(
          { prefix: report.prefix, cause: report.cause },
          "etcd was restored or replaced; all objects are read anew",
        );
        break;
      case "watch-drift":
        this.#log.error(
          { prefix: report.prefix, keys: report.keys },
          "A watch of etcd had lost changes; the keys below this prefix are read anew",
        );
        break;
      case "consumer-failed":
        this.#log.error(
          { prefix: report.prefix, cause: textOf(report.cause) },
          "A change in etcd could not be processed",
        );
        break;
      case "lease-lost":
        this.#log[this.isFailing ? "debug" : "warn"](
          { lease: report.id, cause: textOf(report.cause) },
          "A lease in etcd was lost",
        );
        break;
      case "lease-thread-failed":
        this.#log.error(
          { cause: textOf(report.cause) },
          "The thread that renews the leader's lease failed; the main thread renews it until a new thread runs",
        );
        break;
      case "watch-down":
        this.#failed(report, `watch "${report.prefix}"`);
        if (!this.#brokenWatches.has(report.prefix))
          this.#brokenWatches.set(report.prefix, { sinceMs: this.#lastTroubleMs, cause: textOf(report.cause) });
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
    this.#lastTroubleMs = this.#clock.nowMs();
    this.#lastCause = textOf(cause);
    this.#loss.lost(cause, { endpoint, call });
    this.#awaitQuiet();
  }

  #awaitQuiet(): void {
    this.#cancelQuiet();
    this.#cancelQuiet = this.#clock.after(QUIET_MS, () => {
      if (this.#brokenWatches.size > 0) this.#awaitQuiet();
      else this.#loss.back({}, this.#lastTroubleMs);
    });
  }
}
