import type { Logger } from "pino";
import type { Counter } from "prom-client";
import { isErrno } from "../../../drivers/netlink/errno.ts";
import { type Ethtool, type FeatureRow, openEthtool, TX_CHECKSUM_FEATURES } from "../../../drivers/netlink/ethtool.ts";
import { dumpLinks } from "../../../drivers/netlink/link.ts";
import type { Panel } from "../../../drivers/ovs/pod-ports/panel.ts";
import { hostNameOf } from "../../../drivers/ovs/pod-ports/port-pool.ts";
import type { PortDriver } from "../../../drivers/ovs/types.ts";
import { startTicketLoop, type TicketLoop } from "../loop/ticket-loop.ts";

export interface ChecksumKeeperOptions {
  readonly panel: Pick<Panel, "netns" | "netlink">;
  readonly ports: Pick<PortDriver, "read">;
  /** Does the switch need finished checksums from the pod (userspace datapath)? */
  readonly isNeeded: boolean;
  /** Counts what had to be repaired. */
  readonly repairs: Pick<Counter<"kind">, "inc">;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

const NAMED_MAX = 5;

/**
 * Sees that far ends of ports go on finishing checksums: without it a pod pings and its TCP is dead. Reading one link's features takes
 * 0.3 ms, so all are compared with the regular comparison only, and single ones when their links change.
 */
export class ChecksumKeeper {
  readonly #options: ChecksumKeeperOptions;
  readonly #loop: TicketLoop | undefined;
  #touched = new Set<number>();

  constructor(options: ChecksumKeeperOptions) {
    this.#options = options;
    if (!options.isNeeded) return;
    this.#loop = startTicketLoop({
      work: (full, signal) => this.#work(full, signal),
      signal: options.signal,
      report: (error) =>
        options.log.error(
          { error: error.message },
          "Checksum settings of pods' ports cannot be compared; netplugin tries again",
        ),
    });
  }

  get ended(): Promise<void> {
    return this.#loop?.ended ?? Promise.resolve();
  }

  /** Compares all soon. */
  compare(): void {
    this.#loop?.kick({ full: true });
  }

  /** Links of ports have changed, by their indexes in the panel; those of other namespaces may be among them. */
  onLinks(ifindexes: Iterable<number>): void {
    if (this.#loop === undefined) return;
    for (const ifindex of ifindexes) this.#touched.add(ifindex);
    this.#loop.kick();
  }

  async #work(full: boolean, signal: AbortSignal): Promise<void> {
    const { panel, repairs, log } = this.#options;
    const touched = this.#touched;
    this.#touched = new Set();
    using ethtool = openEthtool({ netns: panel.netns });
    const repaired: string[] = [];
    for (const ifindex of full ? await this.#allLinks(signal) : touched) {
      const portName = await this.#repair(ethtool, ifindex, signal);
      if (portName !== undefined) repaired.push(portName);
    }
    if (repaired.length === 0) return;
    repairs.inc({ kind: "link" }, repaired.length);
    log.warn(
      { count: repaired.length, ports: repaired.slice(0, NAMED_MAX) },
      "Checksum offloading was on at pods' ports where the switch needs it off; it is off again",
    );
  }

  async #allLinks(signal: AbortSignal): Promise<readonly number[]> {
    const links = await this.#options.panel.netlink.dump(dumpLinks({ kind: "veth" }), { signal });
    return links.map(({ ifindex }) => ifindex);
  }

  /** The port's name when its far end had to be put right. */
  async #repair(ethtool: Ethtool, ifindex: number, signal: AbortSignal): Promise<string | undefined> {
    try {
      const row = await ethtool.readFeatures(ifindex, { signal });
      const portName = this.#portOf(row);
      if (portName === undefined || !TX_CHECKSUM_FEATURES.some((feature) => row.active.has(feature))) return undefined;
      await ethtool.disableTxChecksum(ifindex, { signal });
      return portName;
    } catch (error) {
      if (isErrno(error, "ENODEV")) return undefined; // gone meanwhile, or of another namespace
      throw error;
    }
  }

  /** Ports that are not plugged in yet are in the making. */
  #portOf({ name }: FeatureRow): string | undefined {
    const portName = hostNameOf(name);
    return portName !== undefined && this.#options.ports.read().has(portName) ? portName : undefined;
  }
}
