import { type AddressFamily, type AddressRange, parseIpv4, parseIpv6, parseSubnet, subnetOf } from "./address.ts";

/** The addresses that a rule's `fromIpAddress` or `toIpAddress` stands for. */
export interface RuleAddresses extends AddressRange {
  readonly family: AddressFamily;
}

const IPV4_RULE_PATTERN = /^([0-9.]+)(?:-([0-9]{1,3}))?(?:\/([1-9]|[12][0-9]|3[0-2]))?$/;

/**
 * Parses an address, a prefix, or an IPv4 address with a range of its last octet (`10.1.1.10-20`), contract §6.5 and §13 row 2.
 * A range is matched as it is, also when a length follows. A string says what is wrong.
 */
export function parseRuleAddress(text: string): RuleAddresses | string {
  return text.includes(":") ? parseIpv6Rule(text) : parseIpv4Rule(text);
}

function parseIpv4Rule(text: string): RuleAddresses | string {
  const match = IPV4_RULE_PATTERN.exec(text);
  const address = parseIpv4(match?.[1] ?? "");
  if (match === null || address === undefined) return "must be like 10.1.1.1, 10.1.1.1-9, 10.1.1.0/24 or 2001:db8::/64";
  if (match[2] === undefined) return { ...subnetOf(4, address, Number(match[3] ?? 32)) };
  const lastOctet = Number(match[2]);
  if (lastOctet > 255) return "has a range that ends above 255";
  const last = (address & ~0xffn) | BigInt(lastOctet);
  return address <= last ? { family: 4, first: address, last } : "has a range that ends before it begins";
}

function parseIpv6Rule(text: string): RuleAddresses | string {
  const subnet = parseSubnet(6, text.includes("/") ? text : `${text}/128`);
  if (subnet === undefined || subnet.prefixLength < 1) return "must be like 2001:db8::1 or 2001:db8::/64";
  return subnet;
}

/** The one address that the text names, or undefined when it names several. */
export function singleRuleAddress(
  text: string,
): { readonly family: AddressFamily; readonly address: bigint } | undefined {
  const address = text.includes(":") ? parseIpv6(text) : parseIpv4(text);
  return address === undefined ? undefined : { family: text.includes(":") ? 6 : 4, address };
}
