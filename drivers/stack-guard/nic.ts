import { asNetError } from "../../state/errors.ts";
import type { LinkRow } from "../netlink/link-row.ts";
import { dumpLinkSettings, setLinkSettings } from "../netlink/link-settings.ts";
import { readSysctl, writeSysctl } from "../netlink/sysctl.ts";
import { CLOSED_IPV4, type LinkParts } from "./links.ts";

/** A NIC's settings that are changed while the switch has it. */
export interface NicSettings {
  readonly disable_ipv6: number;
  readonly arp_ignore: number;
  readonly rp_filter: number;
}

type Nic = Pick<LinkRow, "ifindex" | "name">;

/** ARP itself stays on: links made on top of a NIC inherit that flag. */
const CLOSED_NIC: NicSettings = {
  disable_ipv6: 1,
  arp_ignore: CLOSED_IPV4.arp_ignore,
  rp_filter: CLOSED_IPV4.rp_filter,
};

/** Undefined when there is no such NIC. */
export async function readNicSettings({ ifindex }: Nic, { netlink }: LinkParts): Promise<NicSettings | undefined> {
  const row = (await netlink.dump(dumpLinkSettings())).find(({ link }) => link.ifindex === ifindex);
  if (row?.ipv4 === undefined) return undefined;
  const { arp_ignore, rp_filter } = row.ipv4;
  return { disable_ipv6: row.ipv6?.disable_ipv6 ?? CLOSED_NIC.disable_ipv6, arp_ignore, rp_filter };
}

/** Is it as `closeNic` leaves it? */
export function isClosedNic(settings: NicSettings): boolean {
  return Object.entries(CLOSED_NIC).every(([name, value]) => settings[name as keyof NicSettings] === value);
}

/** Closes a NIC that the switch has. Its addresses must have been moved: those of IPv6 go with this. */
export function closeNic(nic: Nic, parts: LinkParts): Promise<void> {
  return applyNicSettings(nic, CLOSED_NIC, parts);
}

/** Sets what `readNicSettings` told before. */
export async function applyNicSettings(nic: Nic, settings: NicSettings, parts: LinkParts): Promise<void> {
  const { disable_ipv6, ...ipv4 } = settings;
  try {
    await parts.netlink.execute([setLinkSettings(nic.ifindex, { ipv4 })]);
    await writeSysctl(`ipv6/conf/${nic.name}/disable_ipv6`, String(disable_ipv6), parts.netns);
  } catch (error) {
    throw asNetError(error, `change the settings of NIC "${nic.name}"`);
  }
}

/** What a link of this namespace is born with. */
export function defaultNicSettings({ netns }: LinkParts): NicSettings {
  const read = (path: string) => Number(readSysctl(path, netns) ?? 0);
  return {
    disable_ipv6: read("ipv6/conf/default/disable_ipv6"),
    arp_ignore: read("ipv4/conf/default/arp_ignore"),
    rp_filter: read("ipv4/conf/default/rp_filter"),
  };
}
