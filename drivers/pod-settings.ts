import type { NetnsHandle } from "./netlink/netns.ts";
import { writeSysctlsNow } from "./netlink/sysctl.ts";

/**
 * A pod takes no address, route or MTU from routers of its network: what is not leased would be dropped, and IPv6 with it
 * (Documentation/networking/ip-sysctl). For IPv4 the kernel takes redirects when either `all` or the link says so. With an IPv6 address
 * the interface speaks IPv6, though the namespace has it switched off.
 */
export function settlePodLink(netns: NetnsHandle, ifName: string, hasIpv6: boolean): void {
  const ours = `ipv6/conf/${ifName}`;
  const settings = {
    ...(hasIpv6 ? { [`${ours}/disable_ipv6`]: "0" } : {}),
    [`${ours}/accept_ra`]: "0",
    [`${ours}/autoconf`]: "0",
    [`${ours}/accept_redirects`]: "0",
    [`ipv4/conf/${ifName}/accept_redirects`]: "0",
    "ipv4/conf/all/accept_redirects": "0",
  };
  writeSysctlsNow(settings, netns);
}
