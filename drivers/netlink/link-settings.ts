import { type AttributeMap, encodeBody, nested, readAttributes, readNested, text, u32 } from "./attributes.ts";
import {
  IFINFO_BYTES,
  IFLA_EXT_MASK,
  IFLA_INFO_KIND,
  IFLA_LINKINFO,
  type LinkRow,
  RTM_GETLINK,
  RTM_NEWLINK,
  RTM_SETLINK,
  readLink,
} from "./link-row.ts";
import type { Message, Query } from "./message.ts";

/*
 * What the kernel's own stack does on a link: net.ipv4.conf.* and net.ipv6.conf.* of it, as link messages carry them (IFLA_AF_SPEC).
 * IPv4's can be set that way too; IPv6's cannot (see sysctl.ts).
 */

/** Settings of net.ipv4.conf.<link> by name. */
export type Ipv4Settings = Partial<Record<keyof typeof IPV4_DEVCONF, number>>;

/** A link with the settings of both families; a family that the kernel lacks is undefined. */
export interface LinkSettingsRow {
  readonly link: LinkRow;
  readonly ipv4: Readonly<Record<keyof typeof IPV4_DEVCONF, number>> | undefined;
  readonly ipv6: { readonly disable_ipv6: number } | undefined;
}

/** linux/if.h: the kernel neither answers nor asks by ARP on it. */
export const IFF_NOARP = 0x80;

const IFLA_AF_SPEC = 26;
const AF_INET = 2;
const AF_INET6 = 10;
const IFLA_INET_CONF = 1;
const IFLA_INET6_CONF = 2;
const RTEXT_FILTER_SKIP_STATS = 8;

/** IPV4_DEVCONF_…, linux/ip.h; the attribute that tells all holds them one after the other, the first at 0. */
const IPV4_DEVCONF = {
  forwarding: 1,
  proxy_arp: 3,
  accept_redirects: 4,
  send_redirects: 6,
  rp_filter: 8,
  accept_source_route: 9,
  arp_ignore: 19,
  accept_local: 23,
  route_localnet: 26,
} as const;
/** DEVCONF_DISABLE_IPV6, linux/ipv6.h. */
const DEVCONF_DISABLE_IPV6 = 26;

/** Changes net.ipv4.conf of a link, and whether it knows ARP. */
export function setLinkSettings(
  ifindex: number,
  settings: { readonly ipv4: Ipv4Settings; readonly arp?: boolean },
): Message {
  const values = Object.entries(settings.ipv4).map(([name, value]) =>
    u32(IPV4_DEVCONF[name as keyof typeof IPV4_DEVCONF], value),
  );
  const header = Buffer.alloc(IFINFO_BYTES);
  header.writeInt32LE(ifindex, 4);
  header.writeUInt32LE(settings.arp === false ? IFF_NOARP : 0, 8);
  header.writeUInt32LE(settings.arp === undefined ? 0 : IFF_NOARP, 12);
  const body = encodeBody(header, [nested(IFLA_AF_SPEC, [nested(AF_INET, [nested(IFLA_INET_CONF, values)])])]);
  return { deed: `change the settings of link #${ifindex}`, type: RTM_SETLINK, flags: 0, body };
}

/** The settings of all links of the namespace, or of one kind. */
export function dumpLinkSettings({ kind }: { readonly kind?: string } = {}): Query<LinkSettingsRow> {
  const attributes = [
    u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS),
    ...(kind === undefined ? [] : [nested(IFLA_LINKINFO, [text(IFLA_INFO_KIND, kind)])]),
  ];
  const body = encodeBody(Buffer.alloc(IFINFO_BYTES), attributes);
  const message = { deed: "list the settings of links", type: RTM_GETLINK, flags: 0, body };
  return { message, answerType: RTM_NEWLINK, decode: readLinkSettings };
}

/** Decodes the body of RTM_NEWLINK. */
export function readLinkSettings(body: Buffer): LinkSettingsRow {
  const link = readLink(body);
  const families = readNested(readAttributes(body, IFINFO_BYTES), IFLA_AF_SPEC);
  const disableIpv6 = valueAt(confOf(families, AF_INET6, IFLA_INET6_CONF), DEVCONF_DISABLE_IPV6);
  return {
    link,
    ipv4: readIpv4(confOf(families, AF_INET, IFLA_INET_CONF)),
    ipv6: disableIpv6 === undefined ? undefined : { disable_ipv6: disableIpv6 },
  };
}

function confOf(families: AttributeMap, family: number, conf: number): Buffer | undefined {
  return readNested(families, family).get(conf);
}

function readIpv4(conf: Buffer | undefined): LinkSettingsRow["ipv4"] {
  if (conf === undefined) return undefined;
  const values = Object.entries(IPV4_DEVCONF).map(([name, id]) => [name, valueAt(conf, id - 1) ?? 0]);
  return Object.fromEntries(values) as Record<keyof typeof IPV4_DEVCONF, number>;
}

/** A kernel of another age has fewer values, or more. */
function valueAt(conf: Buffer | undefined, index: number): number | undefined {
  if (conf === undefined || conf.length < (index + 1) * 4) return undefined;
  return conf.readInt32LE(index * 4);
}
