import { isErrno } from "../netlink/errno.ts";
import type { LinkRow } from "../netlink/link-row.ts";
import { IFF_NOARP, type Ipv4Settings, type LinkSettingsRow, setLinkSettings } from "../netlink/link-settings.ts";
import type { NetnsHandle } from "../netlink/netns.ts";
import type { SocketPool } from "../netlink/pool.ts";
import { writeSysctl } from "../netlink/sysctl.ts";

export interface LinkParts {
  readonly netlink: SocketPool;
  /** The namespace of the links; this process's own when absent. */
  readonly netns?: NetnsHandle | undefined;
}

/**
 * A link without address on which the kernel drops what it can without a packet filter (Documentation/networking/ip-sysctl): with
 * `rp_filter` every IPv4 packet, for no route leads back there; only broadcasts and local multicasts from 0.0.0.0 still arrive.
 */
export const CLOSED_IPV4 = {
  forwarding: 0,
  proxy_arp: 0,
  accept_redirects: 0,
  send_redirects: 0,
  rp_filter: 1,
  accept_source_route: 0,
  arp_ignore: 8, // answers for no address
  accept_local: 0,
  route_localnet: 0,
} as const satisfies Ipv4Settings;

/** Closes near ends of pods' ports to the stack; before they are up, nothing has reached it. */
export async function closeNearEnds(
  links: readonly Pick<LinkRow, "ifindex" | "name">[],
  parts: LinkParts,
): Promise<void> {
  await Promise.all(links.map(({ name }) => disableIpv6(name, parts.netns)));
  const messages = links.map(({ ifindex }) => setLinkSettings(ifindex, { ipv4: CLOSED_IPV4, arp: false }));
  const outcomes = await parts.netlink.use((socket) => socket.settle(messages));
  const failed = outcomes.find(({ error }) => error !== undefined && !isErrno(error, "ENODEV")); // gone meanwhile
  if (failed?.error !== undefined) throw failed.error;
}

/** A kernel without IPv6 has no such file. */
async function disableIpv6(name: string, netns: NetnsHandle | undefined): Promise<void> {
  await writeSysctl(`ipv6/conf/${name}/disable_ipv6`, "1", netns);
}

/** In which ways a near end is open, as `sysctl` and `ip link` name them. */
export function openings({ link, ipv4, ipv6 }: LinkSettingsRow): readonly string[] {
  const arp = (link.flags & IFF_NOARP) === 0 ? ["ARP is on"] : [];
  const six = ipv6 !== undefined && ipv6.disable_ipv6 !== 1 ? ["IPv6 is on"] : [];
  const four = Object.entries(CLOSED_IPV4).filter(
    ([name, value]) => ipv4?.[name as keyof typeof CLOSED_IPV4] !== value,
  );
  return [
    ...arp,
    ...six,
    ...(ipv4 === undefined ? [] : four.map(([name]) => `${name} is ${ipv4[name as keyof typeof CLOSED_IPV4]}`)),
  ];
}
