import type { Logger } from "pino";
import { dumpAddresses } from "../../../drivers/netlink/address.ts";
import { connectSwitch } from "../../../drivers/ovs/openflow/connection.ts";
import type { PacketOut } from "../../../drivers/ovs/openflow/packet.ts";
import type { OpenOvsDriver } from "../../../drivers/ovs/switch.ts";
import type { Uplink } from "../../../drivers/ovs/types.ts";
import { findLink } from "../../../drivers/ovs/uplinks/uplink-state.ts";
import { asNetError } from "../../../state/errors.ts";
import { deadline } from "../../../state/waiting/deadline.ts";
import { gratuitousArp, unsolicitedAdvertisement } from "./frame.ts";

export interface UplinkAnnouncerOptions {
  readonly driver: Pick<OpenOvsDriver, "uplinks" | "netlink">;
  /** The switch's run directory, where the bridges' management sockets are. */
  readonly runDirectory: string;
  readonly log: Pick<Logger, "info" | "warn">;
  readonly signal: AbortSignal;
}

/** Address of this node → the MAC that it has, and how often the others are still to be told. */
export type Told = ReadonlyMap<string, { readonly mac: string; readonly remaining: number }>;

/** A frame may be lost, the more so on a link whose MAC has changed; one goes out with each look at the uplinks. */
const ANNOUNCEMENTS = 3;
const SEND_TIMEOUT_MS = 2_000;

/** What is to be told: an address that is new or has another MAC. What is there at the first sight is nobody's news. */
export function toTell(before: Told | undefined, addresses: readonly string[], mac: string): Told {
  const remainingOf = (address: string): number => {
    if (before === undefined) return 0;
    const known = before.get(address);
    return known?.mac === mac ? known.remaining : ANNOUNCEMENTS;
  };
  return new Map(addresses.map((address) => [address, { mac, remaining: remainingOf(address) }]));
}

/**
 * Announces this node's own addresses on the underlay when they or their MAC have changed. The kernel does not: who knows an
 * address by an earlier MAC, netmaster or a peer of the tunnels, sends there until its neighbour table finds out, which takes up to a minute.
 */
export class UplinkAnnouncer {
  readonly #options: UplinkAnnouncerOptions;
  /** By physical network; kept while an uplink has failed, for its NIC may come back as another. */
  readonly #told = new Map<string, Told>();

  constructor(options: UplinkAnnouncerOptions) {
    this.#options = options;
  }

  /** To be called after each look at the uplinks; finds by itself what is new. What cannot be sent is told, and no failure of the look. */
  async look(): Promise<void> {
    const { driver, log, signal } = this.#options;
    for (const uplink of driver.uplinks().values()) {
      try {
        await this.#lookAt(uplink);
      } catch (error) {
        signal.throwIfAborted();
        const { code, message } = asNetError(error, `announce the addresses of ${uplink.bridge}`);
        log.warn({ code, error: message }, "The addresses of this node cannot be announced to the underlay");
      }
    }
  }

  async #lookAt({ alias, bridge, addresses: prefixes }: Uplink): Promise<void> {
    const { driver, log } = this.#options;
    const device = await findLink(driver.netlink, bridge);
    if (device === undefined) return;
    const { mac, ifindex } = device;
    const told = toTell(this.#told.get(alias), prefixes.map(addressOf), mac);
    this.#told.set(alias, told);
    const due = [...told].filter(([, { remaining }]) => remaining > 0).map(([address]) => address);
    const addresses = due.length === 0 ? [] : await this.#usable(due, ifindex);
    if (addresses.length === 0) return;
    this.#told.set(alias, counted(told, addresses)); // what fails counts, too: it is tried as often as it would be sent
    await this.#send(bridge, addresses, mac);
    if (addresses.some((address) => told.get(address)?.remaining === ANNOUNCEMENTS))
      log.info({ uplink: alias, addresses, mac }, "The addresses of this node were announced to the underlay");
  }

  /** Addresses that are gone, or not known to be unique yet (RFC 4862 §5.4), are nobody's to announce. */
  async #usable(addresses: readonly string[], ifindex: number): Promise<readonly string[]> {
    const rows = await this.#options.driver.netlink.dump(dumpAddresses({ ifindex }));
    const usable = new Set(rows.filter((row) => !row.tentative && !row.duplicate).map(({ address }) => address));
    return addresses.filter((address) => usable.has(address));
  }

  async #send(bridge: string, addresses: readonly string[], mac: string): Promise<void> {
    const { runDirectory, signal } = this.#options;
    using limit = deadline(SEND_TIMEOUT_MS, signal);
    await using connection = await connectSwitch(`${runDirectory}/${bridge}.mgmt`, { signal: limit.signal });
    for (const address of addresses) await connection.packetOut(fromNode(mac, address), { signal: limit.signal });
    await connection.echo({ signal: limit.signal }); // the switch has taken what was sent before
  }
}

/** Each of these addresses has been told once more. */
function counted(told: Told, addresses: readonly string[]): Told {
  const entries = [...told].map(([address, { mac, remaining }]) => {
    return [address, { mac, remaining: addresses.includes(address) ? remaining - 1 : remaining }] as const;
  });
  return new Map(entries);
}

function addressOf(prefix: string): string {
  return prefix.split("/")[0] ?? prefix;
}

/** As if the kernel had sent it: the bridge floods it, in the VLAN of its own port where that has one. */
function fromNode(mac: string, address: string): PacketOut {
  const data = address.includes(":") ? unsolicitedAdvertisement(mac, address) : gratuitousArp(mac, address);
  return { inPort: "local", actions: [{ kind: "output", port: "normal" }], data };
}
