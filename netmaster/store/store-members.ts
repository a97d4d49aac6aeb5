import type { Logger } from "pino";
import type { Reporter } from "../../state/store/store.ts";
import type { Condition } from "./condition.ts";

const REPLACE = "stop that member of etcd, remove it from the cluster, and add it anew, empty (docs/upgrade.md)";
const NOBODY_IS_RIGHT = `no majority shows which is right, so all of them are used; find the one that was restored, and ${REPLACE}`;

/** Members of the store whose data differ from each other's: told in the log, and for as long as it lasts. */
export class StoreMembers {
  readonly #log: Logger;
  readonly #diverged = new Map<string, string>();
  readonly #undecided = new Set<string>();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** How many are not used. */
  get divergedCount(): number {
    return this.#diverged.size;
  }

  readonly report: Reporter = (report) => {
    switch (report.kind) {
      case "member-diverged": {
        const { endpoint, cause } = report;
        if (this.#diverged.has(endpoint)) break; // the store was opened anew
        this.#undecided.delete(endpoint);
        this.#diverged.set(endpoint, `etcd ${endpoint} ${cause} and is not used: ${REPLACE}`);
        this.#log.error({ endpoint, cause }, `A member of etcd holds other data than most and is not used: ${REPLACE}`);
        break;
      }
      case "members-undecided": {
        const { endpoints } = report;
        for (const endpoint of endpoints) this.#undecided.add(endpoint);
        this.#log.error({ endpoints }, `Members of etcd hold different data; ${NOBODY_IS_RIGHT}`);
        break;
      }
      case "member-agrees": {
        const { endpoint } = report;
        const wasDiverged = this.#diverged.delete(endpoint);
        if (this.#undecided.delete(endpoint) || wasDiverged)
          this.#log.info({ endpoint }, "A member of etcd holds the same data as most others again and is used");
        break;
      }
      case "members-not-compared": {
        const cause = report.cause instanceof Error ? report.cause.message : String(report.cause);
        this.#log.info(
          { cause },
          "The members of etcd are not compared: etcd refuses HashKV, which needs the role root",
        );
        break;
      }
      default:
    }
  };

  conditions(): readonly Condition[] {
    const found: Condition[] = [...this.#diverged.values()].map((message) => ({
      name: "store-member-diverged",
      message,
    }));
    if (this.#undecided.size === 0) return found;
    const message = `etcd ${[...this.#undecided].sort().join(" and ")} hold different data; ${NOBODY_IS_RIGHT}`;
    return [...found, { name: "store-members-differ", message }];
  }
}
