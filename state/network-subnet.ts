import { type AddressRange, contains, parseIpv4, parseSubnet, type Subnet, subnetOf } from "./address.ts";

/** A network's `subnet`: the whole prefix, and the admin's range within it when one was given. */
export interface NetworkSubnet {
  readonly subnet: Subnet;
  readonly range: AddressRange | undefined;
}

const IPV4_SUBNET_PATTERN = /^([0-9.]+)(?:-([0-9.]+))?\/(0|[1-9][0-9]?)$/;

/** Parses `a.b.c.d/len` or `a.b.c.d-e.f.g.h/len` with a length of 8 to 31 (contract §6.2); a string says what is wrong. */
export function parseNetworkSubnet(text: string): NetworkSubnet | string {
  const match = IPV4_SUBNET_PATTERN.exec(text);
  const first = parseIpv4(match?.[1] ?? "");
  const last = match?.[2] === undefined ? undefined : parseIpv4(match[2]);
  if (match === null || first === undefined || (match[2] !== undefined && last === undefined)) {
    return "must be like 10.1.1.0/24 or 10.1.1.10-10.1.1.20/24";
  }
  const prefixLength = Number(match[3]);
  if (prefixLength < 8 || prefixLength > 31) return "must have a length of 8 to 31";
  const subnet = subnetOf(4, first, prefixLength);
  if (last === undefined) return { subnet, range: undefined };
  if (last < first) return "has a range that ends before it begins";
  return contains(subnet, last) ? { subnet, range: { first, last } } : "has a range that leaves the subnet";
}

/** Parses `addr/len` with a length of 1 to 127 (contract §6.2, §13 row 10); a string says what is wrong. */
export function parseIpv6Subnet(text: string): Subnet | string {
  const subnet = parseSubnet(6, text);
  if (subnet === undefined) return "must be like 2001:db8::/64";
  return subnet.prefixLength >= 1 && subnet.prefixLength <= 127 ? subnet : "must have a length of 1 to 127";
}

/** Parses `a.b.c.d` or `a.b.c.d-e.f.g.h`, the addresses of a group (contract §6.3); a string says what is wrong. */
export function parsePool(text: string): AddressRange | string {
  const [firstText = "", lastText = firstText, ...rest] = text.split("-");
  const [first, last] = [parseIpv4(firstText), parseIpv4(lastText)];
  if (first === undefined || last === undefined || rest.length > 0) {
    return "must be like 10.1.1.10-10.1.1.20 or 10.1.1.10";
  }
  return first <= last ? { first, last } : "ends before it begins";
}
