import { type AddressFamily, type AddressRange, contains, formatRange, hostRange } from "../../state/address.ts";
import type { Network } from "../../state/kinds/network.ts";
import { type FamilyRanges, networkRanges } from "../../state/network-ranges.ts";
import { specialUseOf } from "../../state/special-addresses.ts";
import { invalid } from "./errors.ts";

interface FamilyFields {
  readonly subnet: "subnet" | "ipv6Subnet";
  readonly gateway: "gateway" | "ipv6Gateway";
  readonly example: string;
}

const FIELDS: Readonly<Record<AddressFamily, FamilyFields>> = {
  4: { subnet: "subnet", gateway: "gateway", example: "10.1.1.0/24" },
  6: { subnet: "ipv6Subnet", gateway: "ipv6Gateway", example: "fd00:1::/64" },
};

/** Refuses subnets whose addresses no host may have. Stored networks of earlier releases are not asked. */
export function checkSubnets(config: Network): void {
  for (const ranges of rangesOf(config)) {
    const { family } = ranges.subnet;
    const { subnet: field, example } = FIELDS[family];
    const problem = specialUseOf(family, ranges.subnet) ?? emptiness(ranges);
    if (problem !== undefined) throw invalid(field, `${config[field]} ${problem}; use another one, such as ${example}`);
  }
}

/** Refuses gateways that are outside of their subnet, or that no host of it may have. */
export function checkGateways(config: Network): void {
  for (const { subnet, gateway } of rangesOf(config)) {
    if (gateway === undefined) continue;
    const { gateway: field, subnet: subnetField } = FIELDS[subnet.family];
    const text = `${config[field]} is`;
    if (!contains(subnet, gateway)) throw invalid(field, `${text} outside the subnet ${config[subnetField]}`);
    const hosts = hostRange(subnet);
    if (contains(hosts, gateway)) continue;
    const what = gateway === subnet.first ? firstAddressName(subnet.family) : "the broadcast address";
    throw invalid(
      field,
      `${text} ${what} of ${config[subnetField]}; choose one of ${formatRange(subnet.family, hosts)}`,
    );
  }
}

function firstAddressName(family: AddressFamily): string {
  return family === 4 ? "the network address" : "the subnet-router anycast address";
}

function rangesOf(config: Network): readonly FamilyRanges[] {
  const { ipv4, ipv6 } = networkRanges(config);
  return ipv6 === undefined ? [ipv4] : [ipv4, ipv6];
}

/** A network that could never give an address to an endpoint. */
function emptiness({ bounds, gateway }: FamilyRanges): string | undefined {
  if (bounds.first > bounds.last) return "holds only the network or broadcast address, so no endpoint could have one";
  return isOnly(bounds, gateway) ? "holds only the gateway's address, so no endpoint could have one" : undefined;
}

function isOnly({ first, last }: AddressRange, address: bigint | undefined): boolean {
  return first === last && first === address;
}
