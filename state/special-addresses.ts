import { type AddressFamily, type AddressRange, overlaps, parseSubnet } from "./address.ts";
import { NetError } from "./errors.ts";

/** Addresses that no host of a network may have. */
interface SpecialBlock {
  readonly text: string;
  readonly family: AddressFamily;
  readonly range: AddressRange;
  /** Completes "is reserved for …". */
  readonly purpose: string;
}

/** RFC 6890 and the IANA registries of special addresses: those that a kernel, switch or router treats in a way of its own. */
const SPECIAL_BLOCKS: readonly SpecialBlock[] = [
  block(4, "0.0.0.0/8", "hosts that have no address yet"),
  block(4, "127.0.0.0/8", "loopback"),
  block(4, "169.254.0.0/16", "link-local addresses"),
  block(4, "224.0.0.0/4", "multicast"),
  block(4, "240.0.0.0/4", "future use and broadcast"),
  block(6, "::ffff:0:0/96", "IPv4 addresses in IPv6 form"),
  block(6, "::1/128", "loopback"),
  block(6, "::/8", "the unspecified address, loopback and IPv4 in IPv6 form"),
  block(6, "fe80::/10", "link-local addresses"),
  block(6, "ff00::/8", "multicast"),
];

function block(family: AddressFamily, text: string, purpose: string): SpecialBlock {
  const range = parseSubnet(family, text);
  if (range === undefined) throw new NetError("INTERNAL", `Cannot read the special block ${text}`);
  return { text, family, range, purpose };
}

/** Why hosts cannot have all addresses of the range; undefined when they can. Completes "<field> <value> …". */
export function specialUseOf(family: AddressFamily, range: AddressRange): string | undefined {
  const special = SPECIAL_BLOCKS.find((one) => one.family === family && overlaps(one.range, range));
  if (special === undefined) return undefined;
  const isInside = special.range.first <= range.first && range.last <= special.range.last;
  return `${isInside ? "lies in" : "includes"} ${special.text}, which is reserved for ${special.purpose}`;
}
