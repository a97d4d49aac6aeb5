import { z } from "zod";
import { Cidr, PlainIp } from "./addresses.ts";
import { listOf, parseMember } from "./json.ts";
import { type CniIp, type CniResult, type CniRoute, NO_DNS } from "./result.ts";
import { type CniVersion, isAtLeast } from "./versions.ts";

const ITEMS_MAX = 4_096;
const Text = z.string().max(4_096);
/** Go writes "" for an address that was not set. */
const Gateway = z.union([z.literal("").transform(() => undefined), PlainIp]).nullish();
const Count = z.int().nonnegative().nullish();

const Interface = z.object({
  name: Text.min(1),
  mac: Text.nullish(),
  mtu: Count,
  sandbox: Text.nullish(),
  socketPath: Text.nullish(),
  pciID: Text.nullish(),
});

const Route = z.object({
  dst: Cidr,
  gw: Gateway,
  mtu: Count,
  advmss: Count,
  priority: Count,
  table: Count,
  scope: Count,
});
const Ip = z.object({ address: Cidr, gateway: Gateway, interface: z.int().nullish() });
const Dns = z
  .object({
    nameservers: listOf(Text, ITEMS_MAX),
    domain: Text.nullish(),
    search: listOf(Text, ITEMS_MAX),
    options: listOf(Text, ITEMS_MAX),
  })
  .nullish();

const ListResult = z
  .object({
    interfaces: listOf(Interface, ITEMS_MAX),
    ips: listOf(Ip, ITEMS_MAX),
    routes: listOf(Route, ITEMS_MAX),
    dns: Dns,
  })
  .refine(
    ({ interfaces, ips }) => ips.every((ip) => (ip.interface ?? -1) < interfaces.length),
    "an address names an interface that is not in the list",
  );

const FamilyResult = z.object({ ip: Cidr, gateway: Gateway, routes: listOf(Route, ITEMS_MAX) }).nullish();
const ByFamilyResult = z.object({ ip4: FamilyResult, ip6: FamilyResult, dns: Dns });

/** Reads a result in the shape of the version, or undefined when there is none. @throws NetError with CNI code 7 */
export function parseResult(value: unknown, version: CniVersion, member = "prevResult"): CniResult | undefined {
  if (value === undefined || value === null) return undefined;
  return isAtLeast(version, "0.3.0") ? readList(value, member) : readByFamily(value, member);
}

function readList(value: unknown, member: string): CniResult {
  const parsed = parseMember(ListResult, value, member);
  return {
    interfaces: parsed.interfaces.map(readInterface),
    ips: parsed.ips.map((ip) => readIp(ip.address, ip.gateway, ip.interface)),
    routes: parsed.routes.map(readRoute),
    dns: readDns(parsed.dns),
  };
}

function readByFamily(value: unknown, member: string): CniResult {
  const parsed = parseMember(ByFamilyResult, value, member);
  const families = [parsed.ip4, parsed.ip6].filter((family) => family !== undefined && family !== null);
  return {
    interfaces: [],
    ips: families.map((family) => readIp(family.ip, family.gateway, undefined)),
    routes: families.flatMap((family) => family.routes.map(readRoute)),
    dns: readDns(parsed.dns),
  };
}

function readInterface(link: z.infer<typeof Interface>) {
  return {
    name: link.name,
    mac: link.mac?.toLowerCase() || undefined,
    mtuBytes: link.mtu || undefined,
    sandbox: link.sandbox || undefined,
    socketPath: link.socketPath || undefined,
    pciId: link.pciID || undefined,
  };
}

/** -1 and absent both mean "no interface" (libcni). */
function readIp(address: string, gateway: string | null | undefined, index: number | null | undefined): CniIp {
  const interfaceIndex = index === undefined || index === null || index < 0 ? undefined : index;
  return { address, gateway: gateway ?? undefined, interfaceIndex };
}

function readRoute(route: z.infer<typeof Route>): CniRoute {
  return {
    destination: route.dst,
    gateway: route.gw ?? undefined,
    mtuBytes: route.mtu ?? undefined,
    advmssBytes: route.advmss ?? undefined,
    priority: route.priority ?? undefined,
    table: route.table ?? undefined,
    scope: route.scope ?? undefined,
  };
}

function readDns(dns: z.infer<typeof Dns>) {
  if (dns === undefined || dns === null) return NO_DNS;
  return { nameservers: dns.nameservers, domain: dns.domain || undefined, search: dns.search, options: dns.options };
}
