import type { LinkRow } from "../../netlink/link-row.ts";
import type { StackGuard } from "../../stack-guard/guard.ts";
import type { NicSettings } from "../../stack-guard/nic.ts";
import type { ClosedLinks } from "../../stack-guard/ruleset.ts";
import { ownBridges, portsOf, type SwitchDatabase } from "../database.ts";
import { NIC_KEY } from "../names.ts";
import { rememberSettings, savedSettings } from "./uplink-memory.ts";

/** UDP port that stands for none: a node that is taken out of service ends no tunnels. */
export const NO_TUNNELS = 0;

/**
 * What the kernel's stack has no part in: NICs that are plugged into our uplink bridges, the kernel's tunnel device, and with the
 * userspace switch tunnels to a bridge's own port, for it has taken out those that are whole.
 */
export function closedLinks(database: SwitchDatabase, vxlanUdpPort: number): Omit<ClosedLinks, "nearEndPrefix"> {
  const nics: string[] = [];
  const ends: string[] = [];
  for (const bridge of ownBridges(database)) {
    const nic = bridge.external_ids.get(NIC_KEY);
    if (nic === undefined) continue;
    if (portsOf(database, bridge).has(nic)) nics.push(nic);
    if (bridge.datapath_type === "netdev") ends.push(bridge.name);
  }
  const tunnelDevice = vxlanUdpPort === NO_TUNNELS ? [] : [`vxlan_sys_${vxlanUdpPort}`]; // lib/dpif-netlink-rtnl.c
  return {
    names: [...nics, ...tunnelDevice],
    tunnels: { names: vxlanUdpPort === NO_TUNNELS ? [] : ends, udpPort: vxlanUdpPort },
  };
}

interface ClosingOptions {
  readonly database: SwitchDatabase;
  readonly guard: StackGuard;
  /** A NIC that was closed has been opened by somebody. */
  readonly note: (found: string) => void;
}

/** Closes a NIC to the kernel's stack once the bridge's own port has its addresses: what comes in there is the switch's. */
export async function closeUplinkNic(nic: LinkRow, { database, guard, note }: ClosingOptions): Promise<void> {
  await guard.keepTables();
  await guard.closeNic(nic, async (before) => {
    if (savedSettings(nic.name, database) !== undefined) return note(`settings of NIC ${nic.name} (${textOf(before)})`);
    await database.transact([...rememberSettings(nic.name, before, database)]);
  });
}

function textOf(settings: NicSettings): string {
  return Object.entries(settings)
    .map(([name, value]) => `${name} ${value}`)
    .join(", ");
}

/** Opens a NIC that has left its bridge; it gets its addresses afterwards. */
export async function openUplinkNic(
  nic: LinkRow,
  before: NicSettings | undefined,
  { guard }: Pick<ClosingOptions, "guard">,
): Promise<void> {
  await guard.keepTables();
  await guard.openNic(nic, before);
}
