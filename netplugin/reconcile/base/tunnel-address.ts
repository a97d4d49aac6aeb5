import type { Logger } from "pino";
import { dumpAddresses } from "../../../drivers/netlink/address.ts";
import type { SocketPool } from "../../../drivers/netlink/pool.ts";
import { canonicalIpv6 } from "../../../state/address-codec.ts";

export interface TunnelAddressOptions {
  readonly netlink: SocketPool;
  /** Empty while there is none. */
  readonly vtepIp: () => string;
  /** Why there is none of this node's own; undefined when there is one. */
  readonly missing: () => string | undefined;
  readonly log: Logger;
}

const NAMED_MAX = 5;

/** Looks whether the address that peers send their tunnels to is an address of this node. */
export class TunnelAddress {
  readonly #options: TunnelAddressOptions;
  #fault: string | undefined;

  constructor(options: TunnelAddressOptions) {
    this.#options = options;
  }

  /** Compares with the machine; one line in the log when it is lost, one when it is back. */
  async look(): Promise<void> {
    const { vtepIp, missing, log } = this.#options;
    const wanted = vtepIp();
    const absence = missing();
    const fault = absence ?? (await this.#faultOf(wanted));
    // Why there is none is told by the uplinks, each time that it changes.
    const isNew = this.#fault === undefined || (absence === undefined && fault !== this.#fault);
    if (fault !== undefined && isNew) log.warn({ reason: fault }, "Tunnels of this node do not work");
    if (fault === undefined && this.#fault !== undefined)
      log.info({ vtepIp: wanted }, "The tunnel address exists again");
    this.#fault = fault;
  }

  async #faultOf(wanted: string): Promise<string | undefined> {
    const present = (await this.#options.netlink.dump(dumpAddresses())).map(({ address }) => address);
    return present.some((each) => isSame(each, wanted)) ? undefined : faultOf(wanted, present);
  }

  /** Why tunnels cannot end here; undefined when they can. */
  fault(): string | undefined {
    return this.#options.missing() ?? this.#fault;
  }
}

/** Addresses of IPv6 can be written in many ways; the kernel's is the short one. */
function isSame(present: string, wanted: string): boolean {
  return present === wanted || present === canonicalIpv6(wanted);
}

function faultOf(wanted: string, present: readonly string[]): string {
  const others = present.filter((each) => !each.startsWith("127.") && each !== "::1" && !each.startsWith("fe80:"));
  const shown = others.length === 0 ? "none" : others.slice(0, NAMED_MAX).join(", ");
  return `tunnel address ${wanted} is on no link of this node (it has: ${shown}); peers send there in vain; put it back, or start netplugin with --vtep-ip and another one`;
}
