import { isIPv6 } from "node:net";
import type { DnsConfig } from "./runtime-config.ts";
import { type CniVersion, isAtLeast } from "./versions.ts";

/** One interface that was made; `sandbox` is the pod's namespace, undefined on the host's side. */
export interface CniInterface {
  readonly name: string;
  readonly mac: string | undefined;
  readonly mtuBytes: number | undefined;
  readonly sandbox: string | undefined;
  readonly socketPath?: string | undefined;
  readonly pciId?: string | undefined;
}

export interface CniIp {
  /** With prefix length, `10.1.2.3/24`. */
  readonly address: string;
  readonly gateway: string | undefined;
  /** Index in `interfaces` of the one that has it. */
  readonly interfaceIndex: number | undefined;
}

/** A route in the pod; without `gateway` the address's gateway applies. Table, scope and priority as in `ip route`. */
export interface CniRoute {
  readonly destination: string;
  readonly gateway: string | undefined;
  readonly mtuBytes?: number | undefined;
  readonly advmssBytes?: number | undefined;
  readonly priority?: number | undefined;
  readonly table?: number | undefined;
  readonly scope?: number | undefined;
}

/** What ADD has done, in no version's shape. */
export interface CniResult {
  readonly interfaces: readonly CniInterface[];
  readonly ips: readonly CniIp[];
  readonly routes: readonly CniRoute[];
  readonly dns: DnsConfig;
}

export const NO_DNS: DnsConfig = { nameservers: [], domain: undefined, search: [], options: [] };

/** The result of a chain: what earlier plugins did, followed by what we did. Our DNS settings, if any, replace theirs. */
export function mergeResults(previous: CniResult | undefined, own: CniResult): CniResult {
  if (previous === undefined) return own;
  const offset = previous.interfaces.length;
  const ips = own.ips.map((ip) => ({
    ...ip,
    interfaceIndex: ip.interfaceIndex === undefined ? undefined : ip.interfaceIndex + offset,
  }));
  return {
    interfaces: [...previous.interfaces, ...own.interfaces],
    ips: [...previous.ips, ...ips],
    routes: [...previous.routes, ...own.routes],
    dns: isNoDns(own.dns) ? previous.dns : own.dns,
  };
}

/** True when a result says nothing of DNS. */
export function isNoDns(dns: DnsConfig): boolean {
  return dns.nameservers.length + dns.search.length + dns.options.length === 0 && !dns.domain;
}

/** The JSON document of a version; members that this version does not know are left out. */
export function renderResult(result: CniResult, version: CniVersion): object {
  if (!isAtLeast(version, "0.3.0")) return renderByFamily(result, version);
  return {
    cniVersion: version,
    interfaces: result.interfaces.map((link) => renderInterface(link, version)),
    ips: result.ips.map((ip) => renderIp(ip, version)),
    routes: result.routes.map((route) => renderRoute(route, version)),
    dns: renderDns(result.dns),
  };
}

/** 0.1.0 and 0.2.0 know one address of each family and no interfaces. */
function renderByFamily(result: CniResult, version: CniVersion): object {
  return omitUndefined({
    cniVersion: version,
    ip4: renderFamily(result, false),
    ip6: renderFamily(result, true),
    dns: renderDns(result.dns),
  });
}

function renderFamily(result: CniResult, isV6: boolean): object | undefined {
  const ip = result.ips.find((candidate) => isV6Cidr(candidate.address) === isV6);
  if (ip === undefined) return undefined;
  const routes = result.routes.filter((route) => isV6Cidr(route.destination) === isV6);
  return omitUndefined({
    ip: ip.address,
    gateway: ip.gateway,
    routes: routes.map((route) => renderRoute(route, "0.2.0")),
  });
}

function renderInterface(link: CniInterface, version: CniVersion): object {
  const common = { name: link.name, mac: link.mac, sandbox: link.sandbox };
  if (!isAtLeast(version, "1.1.0")) return omitUndefined(common);
  return omitUndefined({ ...common, mtu: link.mtuBytes, socketPath: link.socketPath, pciID: link.pciId });
}

function renderIp(ip: CniIp, version: CniVersion): object {
  const family = isV6Cidr(ip.address) ? "6" : "4";
  return omitUndefined({
    version: isAtLeast(version, "1.0.0") ? undefined : family,
    address: ip.address,
    gateway: ip.gateway,
    interface: ip.interfaceIndex,
  });
}

function renderRoute(route: CniRoute, version: CniVersion): object {
  const common = { dst: route.destination, gw: route.gateway };
  if (!isAtLeast(version, "1.1.0")) return omitUndefined(common);
  const { mtuBytes: mtu, advmssBytes: advmss, priority, table, scope } = route;
  return omitUndefined({ ...common, mtu, advmss, priority, table, scope });
}

function renderDns(dns: DnsConfig): object {
  const orNothing = (list: readonly string[]): readonly string[] | undefined => (list.length === 0 ? undefined : list);
  return omitUndefined({
    nameservers: orNothing(dns.nameservers),
    domain: dns.domain || undefined,
    search: orNothing(dns.search),
    options: orNothing(dns.options),
  });
}

function omitUndefined(members: Readonly<Record<string, unknown>>): object {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}

function isV6Cidr(cidr: string): boolean {
  return isIPv6(cidr.split("/")[0] ?? "");
}
