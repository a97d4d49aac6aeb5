import { isIP } from "node:net";
import type { Logger } from "pino";
import { dumpAddresses } from "../../drivers/netlink/address.ts";
import type { SocketPool } from "../../drivers/netlink/pool.ts";

export interface TunnelAddressOptions {
  readonly netlink: SocketPool;
  /** Empty while there is none. */
  readonly vtepIp: () => string;
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
    const { netlink, vtepIp, log } = this.#options;
    const wanted = vtepIp();
    const present = wanted === "" ? [] : (await netlink.dump(dumpAddresses())).map(({ address }) => address);
    const fault = wanted === "" || present.some((each) => isSame(each, wanted)) ? undefined : faultOf(wanted, present);
    if (fault !== undefined && fault !== this.#fault) log.warn({ reason: fault }, "this node's tunnels do not work");
    if (fault === undefined && this.#fault !== undefined)
      log.info({ vtepIp: wanted }, "the tunnel address is there again");
    this.#fault = fault;
  }

  /** Why tunnels cannot end here; undefined when they can. */
  fault(): string | undefined {
    return this.#fault;
  }
}

/** Addresses of IPv6 can be written in many ways; the kernel's is the short one. */
function isSame(present: string, wanted: string): boolean {
  if (present === wanted) return true;
  return isIP(wanted) === 6 && new URL(`http://[${wanted}]`).hostname === `[${present}]`;
}

function faultOf(wanted: string, present: readonly string[]): string {
  const others = present.filter((each) => !each.startsWith("127.") && each !== "::1" && !each.startsWith("fe80:"));
  const shown = others.length === 0 ? "none" : others.slice(0, NAMED_MAX).join(", ");
  return `tunnel address ${wanted} is on no link of this node (it has: ${shown}); peers send there in vain; put it back, or start netplugin with --vtep-ip and another one`;
}
