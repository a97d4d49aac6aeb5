import type { Logger } from "pino";
import type { OvsDriver } from "../../drivers/ovs/types.ts";

type Told = Pick<OvsDriver, "uplinks" | "uplinkFailures" | "leftOverUplinks">;

const SENTENCES = {
  uplinks: { begins: "An uplink does not work as it should", ends: "The uplink works again" },
  leftOvers: {
    begins: "An uplink of an earlier configuration is still there",
    ends: "The uplink of an earlier configuration is gone",
  },
} as const;
type What = keyof typeof SENTENCES;

/** Writes one line when something begins to be wrong with an uplink, and one when it is well again. */
export class UplinkLog {
  readonly #driver: Told;
  readonly #log: Pick<Logger, "warn" | "info">;
  /** Physical network, or NIC → what was told of it. */
  readonly #told: Record<What, ReadonlyMap<string, string>> = { uplinks: new Map(), leftOvers: new Map() };

  constructor(driver: Told, log: Pick<Logger, "warn" | "info">) {
    this.#driver = driver;
    this.#log = log;
  }

  look(): void {
    const { uplinks, uplinkFailures, leftOverUplinks } = this.#driver;
    const now = new Map<string, string>();
    for (const { alias, warning } of uplinks().values()) if (warning !== undefined) now.set(alias, warning);
    for (const [alias, { message }] of uplinkFailures()) now.set(alias, message);
    this.#tell("uplinks", now);
    this.#tell("leftOvers", new Map(leftOverUplinks().map(({ nic, warning }) => [nic, warning])));
  }

  #tell(what: What, now: ReadonlyMap<string, string>): void {
    const before = this.#told[what];
    const { begins, ends } = SENTENCES[what];
    for (const [uplink, reason] of now) {
      if (before.get(uplink) !== reason) this.#log.warn({ uplink, reason }, begins);
    }
    for (const uplink of before.keys()) {
      if (!now.has(uplink)) this.#log.info({ uplink }, ends);
    }
    this.#told[what] = now;
  }
}
