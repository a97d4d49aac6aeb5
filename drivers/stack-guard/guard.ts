import { asNetError, type NetError } from "../../state/errors.ts";
import type { LinkRow } from "../netlink/link-row.ts";
import { dumpLinkSettings } from "../netlink/link-settings.ts";
import type { TableFamily } from "../netlink/nftables/table.ts";
import { closeNearEnds, type LinkParts, openings } from "./links.ts";
import {
  applyNicSettings,
  closeNic,
  defaultNicSettings,
  isClosedNic,
  type NicSettings,
  readNicSettings,
} from "./nic.ts";
import { type ClosedLinks, closingTable } from "./ruleset.ts";
import { ensureTable, removeTable, type TableOutcome } from "./tables.ts";

export interface StackGuardOptions extends LinkParts {
  readonly nearEnds: {
    /** Their names begin so. */
    readonly prefix: string;
    /** And their alias begins with this. */
    readonly alias: string;
  };
  /** What else is closed now. */
  readonly closed: () => Omit<ClosedLinks, "nearEndPrefix">;
}

/** What is undefined holds. */
export interface GuardFaults {
  /** Of nftables. */
  readonly tables: string | undefined;
  /** Of links' settings. */
  readonly links: string | undefined;
}

const FAMILIES: readonly TableFamily[] = ["inet", "arp"];
/** A second hold where the kernel has the family: near ends are taken out of others' bridges anyhow. */
const EXTRA_FAMILIES: readonly TableFamily[] = ["bridge"];

/**
 * Keeps what belongs to the switch from the stack of the node's own kernel. Near ends of pods' ports and uplink NICs lie in the node's
 * namespace; with the userspace datapath the kernel takes in every frame that the switch reads there, with the kernel's it does while a
 * port is not in the datapath. Tables of nftables drop them; settings of each link do so where there are none.
 */
export class StackGuard {
  readonly #options: StackGuardOptions;
  readonly #outcomes = new Map<TableFamily, TableOutcome | NetError>();
  #linkFault: NetError | undefined;
  /** What the tables were made from last. */
  #wanted: string | undefined;
  readonly #repaired = new Set<string>();

  constructor(options: StackGuardOptions) {
    this.#options = options;
  }

  /** Brings the tables to what they should be now. Never rejects: see `faults`. */
  async keepTables(): Promise<void> {
    const { closed, nearEnds, netns } = this.#options;
    const links = { ...closed(), nearEndPrefix: nearEnds.prefix };
    const wanted = JSON.stringify(links);
    const isDrift = this.#wanted === undefined || this.#wanted === wanted; // what we want anew was not open before
    this.#wanted = wanted;
    for (const family of [...FAMILIES, ...EXTRA_FAMILIES]) {
      const outcome = await ensureTable(closingTable(family, links), netns).catch((error: unknown) =>
        asNetError(error, `set up table ${family} of nftables`),
      );
      this.#outcomes.set(family, outcome);
      if (outcome === "repaired" && isDrift) this.#repaired.add(`nftables table ${family}`);
    }
  }

  /** The same; tells what somebody had changed, whoever has repaired it since this was called last. */
  async repairTables(): Promise<readonly string[]> {
    await this.keepTables();
    const repaired = [...this.#repaired];
    this.#repaired.clear();
    return repaired;
  }

  /** The same for the settings of all near ends. */
  async repairLinks(): Promise<readonly string[]> {
    const { netlink, nearEnds } = this.#options;
    const rows = await netlink.dump(dumpLinkSettings({ kind: "veth" }));
    const open = rows
      .filter(({ link }) => link.alias?.startsWith(nearEnds.alias) === true && link.name.startsWith(nearEnds.prefix))
      .map((row) => ({ link: row.link, openings: openings(row) }))
      .filter((each) => each.openings.length > 0);
    await this.closeNearEnds(open.map(({ link }) => link));
    return open.map(({ link, openings: found }) => `${link.name}: ${found.join(", ")}`);
  }

  /** Before new near ends are up. Rejects when neither the tables nor the links' settings would keep them closed. */
  async closeNearEnds(links: readonly Pick<LinkRow, "ifindex" | "name">[]): Promise<void> {
    if (links.length === 0) return;
    try {
      await closeNearEnds(links, this.#options);
      this.#linkFault = undefined;
    } catch (error) {
      this.#linkFault = asNetError(error, "close near ends of ports to this node's kernel");
      if (!this.#tablesHold()) throw this.#linkFault;
    }
  }

  /** Closes a NIC that the switch has, unless it is closed. `remember` gets what it was before. */
  async closeNic(
    nic: Pick<LinkRow, "ifindex" | "name">,
    remember: (before: NicSettings) => Promise<void>,
  ): Promise<void> {
    const before = await readNicSettings(nic, this.#options);
    if (before === undefined || isClosedNic(before)) return;
    await remember(before);
    try {
      await closeNic(nic, this.#options);
    } catch (error) {
      this.#linkFault = asNetError(error, `close NIC "${nic.name}" to this node's kernel`);
    }
  }

  /** Gives a NIC the settings that it had, or what links are born with when nobody knows any more. */
  async openNic(nic: Pick<LinkRow, "ifindex" | "name">, before: NicSettings | undefined): Promise<void> {
    const present = await readNicSettings(nic, this.#options);
    if (present === undefined || !isClosedNic(present)) return;
    await applyNicSettings(nic, before ?? defaultNicSettings(this.#options), this.#options);
  }

  /** Why one of the two, or both, do not keep the kernel's stack from what is the switch's. */
  faults(): GuardFaults {
    return { tables: this.#tableFault(), links: this.#linkFault?.message };
  }

  #tableFault(): string | undefined {
    for (const family of FAMILIES) {
      const outcome = this.#outcomes.get(family);
      if (outcome === undefined) continue;
      if (typeof outcome !== "string") return outcome.message;
      if (outcome === "absent from this kernel") return `this kernel has no nftables of family ${family}`;
    }
    return undefined;
  }

  /** Takes the tables away, when nothing is left that they close. */
  async remove(): Promise<void> {
    for (const family of [...FAMILIES, ...EXTRA_FAMILIES]) {
      await removeTable(
        closingTable(family, { ...this.#options.closed(), nearEndPrefix: "" }).address,
        this.#options.netns,
      );
    }
  }

  #tablesHold(): boolean {
    return FAMILIES.every((family) => {
      const outcome = this.#outcomes.get(family);
      return outcome === "as wanted" || outcome === "repaired";
    });
  }
}
