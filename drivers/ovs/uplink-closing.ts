import { z } from "zod";
import type { LinkRow } from "../netlink/link-row.ts";
import type { StackGuard } from "../stack-guard/guard.ts";
import type { NicSettings } from "../stack-guard/nic.ts";
import type { ClosedLinks } from "../stack-guard/ruleset.ts";
import { type BridgeRow, findBridge, ownBridges, portsOf, type SwitchDatabase } from "./database.ts";
import { NIC_KEY, uplinkBridgeName } from "./names.ts";
import { byUuid, mutate } from "./ovsdb-client/operations.ts";

/** What a NIC's settings were before it was closed, written down in its bridge's external_ids. */
const SAVED_SETTINGS_KEY = "contiv-nic-settings";

const NicSettingsText = z.object({ disable_ipv6: z.int(), arp_ignore: z.int(), rp_filter: z.int() });

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
}

/** Closes a NIC to the kernel's stack once the bridge's own port has its addresses: what comes in there is the switch's. */
export async function closeUplinkNic(nic: LinkRow, { database, guard }: ClosingOptions): Promise<void> {
  await guard.repairTables();
  await guard.closeNic(nic, async (before) => {
    const bridge = findBridge(database, uplinkBridgeName(nic.name));
    if (bridge !== undefined && savedSettings(bridge) === undefined) await save(bridge, before, database);
  });
}

/** Opens a NIC that has left its bridge; it gets its addresses afterwards. */
export async function openUplinkNic(
  nic: LinkRow,
  bridge: BridgeRow | undefined,
  { guard }: Pick<ClosingOptions, "guard">,
): Promise<void> {
  await guard.repairTables();
  await guard.openNic(nic, savedSettings(bridge));
}

async function save(bridge: BridgeRow, settings: NicSettings, database: SwitchDatabase): Promise<void> {
  const entry = { [SAVED_SETTINGS_KEY]: JSON.stringify(settings) };
  await database.transact([mutate("Bridge", byUuid(bridge.uuid), [["external_ids", "insert", entry]])]);
}

function savedSettings(bridge: BridgeRow | undefined): NicSettings | undefined {
  const text = bridge?.external_ids.get(SAVED_SETTINGS_KEY);
  return text === undefined ? undefined : NicSettingsText.parse(JSON.parse(text));
}
