import type { OpenOvsDriver } from "../../../drivers/ovs/switch.ts";
import { NetError } from "../../../state/errors.ts";
import { addressTowards } from "../../node-client/address-towards.ts";

export interface VtepAddressOptions {
  readonly driver: Pick<OpenOvsDriver, "uplinks" | "uplinkFailures">;
  /** `--vtep-ip`. */
  readonly given: string | undefined;
  readonly netmasterUrls: readonly string[];
}

/**
 * The address that peers send their tunnels to: the one that was given, else the default uplink's. While there is none, the address by
 * which this machine reaches netmaster stands in, so that the node is registered, serves VLAN networks and can tell what is wrong.
 */
export class VtepAddress {
  readonly #options: VtepAddressOptions;
  /** While an uplink has failed its address stays this node's: peers must not forget it, and it comes back with the uplink. */
  #last = "";
  #standIn: string | undefined;
  #looking: Promise<void> | undefined;

  constructor(options: VtepAddressOptions) {
    this.#options = options;
  }

  /** Empty while there is none. */
  current(): string {
    return this.#own() || (this.#standIn ?? "");
  }

  /** Why tunnels cannot end here, and what to do; undefined when this node has a tunnel address. */
  missing(): string | undefined {
    if (this.#own() !== "") return undefined;
    const { driver } = this.#options;
    const failed = [...driver.uplinkFailures()].map(([alias, { message }]) => `uplink "${alias}": ${message}`);
    const bare = [...driver.uplinks().values()].map(
      ({ alias, nic }) => `uplink "${alias}": NIC "${nic}" has no address`,
    );
    const cause = [...failed, ...bare].join("; ") || "no uplink is given";
    const standIn =
      this.#standIn === undefined ? "" : `; it is registered with ${this.#standIn}, which reaches netmaster`;
    return `this node has no tunnel address (${cause}), so its VXLAN networks do not reach other nodes${standIn}; give --uplink default=<NIC with an address>, or name the address with --vtep-ip`;
  }

  /** The address to register with. @throws NetError INVALID when nothing can stand in for a tunnel address */
  async registrable(): Promise<string> {
    const missing = this.missing();
    if (missing === undefined) return this.#own();
    this.#looking ??= this.#look();
    // Names may take long to resolve: what is known already is not held up by that, and no heartbeat either.
    if (this.#standIn === undefined) await this.#looking;
    if (this.#own() === "" && this.#standIn === undefined)
      throw new NetError("INVALID", missing, { field: "vtepIp", reason: "no-tunnel-address" });
    return this.current();
  }

  async #look(): Promise<void> {
    // What cannot be looked up now is looked up with the next heartbeat.
    const found = await addressTowards(this.#options.netmasterUrls).catch(() => undefined);
    this.#standIn = found ?? this.#standIn;
    this.#looking = undefined;
  }

  #own(): string {
    const { driver, given } = this.#options;
    const uplinks = driver.uplinks();
    const uplink = uplinks.get("default") ?? [...uplinks.values()][0];
    this.#last = given ?? uplink?.addresses[0]?.split("/")[0] ?? this.#last;
    return this.#last;
  }
}
