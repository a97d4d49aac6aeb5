import type { Logger } from "pino";
import type { OvsDriver } from "../../drivers/ovs/types.ts";

/** Writes one line when something begins to be wrong with an uplink, and one when it is well again. */
export class UplinkLog {
  readonly #driver: Pick<OvsDriver, "uplinks" | "uplinkFailures">;
  readonly #log: Pick<Logger, "warn" | "info">;
  /** Physical network → what was told of it. */
  #told: ReadonlyMap<string, string> = new Map();

  constructor(driver: Pick<OvsDriver, "uplinks" | "uplinkFailures">, log: Pick<Logger, "warn" | "info">) {
    this.#driver = driver;
    this.#log = log;
  }

  look(): void {
    const now = new Map<string, string>();
    for (const { alias, warning } of this.#driver.uplinks().values())
      if (warning !== undefined) now.set(alias, warning);
    for (const [alias, { message }] of this.#driver.uplinkFailures()) now.set(alias, message);
    for (const [alias, reason] of now) {
      if (this.#told.get(alias) !== reason)
        this.#log.warn({ uplink: alias, reason }, "An uplink does not work as it should");
    }
    for (const alias of this.#told.keys()) {
      if (!now.has(alias)) this.#log.info({ uplink: alias }, "The uplink works again");
    }
    this.#told = now;
  }
}
