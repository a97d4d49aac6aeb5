import { z } from "zod";
import type { PrefixText } from "../../state/address-codec.ts";
import { IpRequest, PlainIp, UnicastMac } from "./addresses.ts";
import { cniFault } from "./errors.ts";
import { isBlank, isObject, listOf, parseMember, shortJson, stringMap, withCanonicalNames } from "./json.ts";
import { BANDWIDTH_NAMES } from "./own-names.ts";

/** One direction's limit, as CNI says it: bits, not bytes; 1000, not 1024. */
export interface BandwidthLimit {
  readonly rateBitPerSecond: number;
  /** undefined: the runtime left it open. containerd 1.6 always sends 4 294 967 295. */
  readonly burstBits: number | undefined;
}

/** Limits as the pod sees them: ingress is towards the pod. */
export interface PodBandwidth {
  readonly podIngress: BandwidthLimit | undefined;
  readonly podEgress: BandwidthLimit | undefined;
}

export interface DnsConfig {
  readonly nameservers: readonly string[];
  readonly domain: string | undefined;
  readonly search: readonly string[];
  readonly options: readonly string[];
}

/** What the runtime asks for by capability (CONVENTIONS.md, "Dynamic Plugin specific fields"). */
export interface RuntimeConfig {
  readonly bandwidth: PodBandwidth;
  readonly ips: readonly PrefixText[];
  readonly mac: string | undefined;
  readonly dns: DnsConfig | undefined;
  /** PCI address or the like, for SR-IOV. */
  readonly deviceId: string | undefined;
  /** `io.kubernetes.cri.pod-annotations` */
  readonly podAnnotations: ReadonlyMap<string, string>;
}

export const ANNOTATION_KEY_MAX_LENGTH = 317;
export const ANNOTATION_VALUE_MAX_LENGTH = 262_144;

const CAPABILITY_NAMES = ["bandwidth", "ips", "mac", "dns", "deviceID", "io.kubernetes.cri.pod-annotations"];

const Amount = z.int().nonnegative().nullish();

const Bandwidth = z
  .preprocess(
    withCanonicalNames(BANDWIDTH_NAMES),
    z.object({ ingressRate: Amount, ingressBurst: Amount, egressRate: Amount, egressBurst: Amount }),
  )
  .refine((limits) => limits.ingressRate || !limits.ingressBurst, "ingressBurst (bits) needs ingressRate (bit/s)")
  .refine((limits) => limits.egressRate || !limits.egressBurst, "egressBurst (bits) needs egressRate (bit/s)");

const Dns = z.preprocess(
  withCanonicalNames(["servers", "searches", "options"]),
  z.object({
    servers: listOf(PlainIp, 32),
    searches: listOf(z.string().max(253), 64),
    options: listOf(z.string().max(253), 64),
  }),
);

/** At most one per family: an endpoint has one IPv4 and one IPv6 address. */
export const RequestedIps = listOf(IpRequest, 2).refine(
  (ips) => new Set(ips.map((ip) => ip.family)).size === ips.length,
  "must hold at most one IPv4 and one IPv6 address",
);

const RuntimeMembers = z.object({
  bandwidth: Bandwidth.nullish(),
  ips: RequestedIps,
  mac: z.union([z.literal("").transform(() => undefined), UnicastMac]).nullish(),
  dns: Dns.nullish(),
  deviceID: z.string().max(253).nullish(),
  "io.kubernetes.cri.pod-annotations": stringMap(ANNOTATION_KEY_MAX_LENGTH, ANNOTATION_VALUE_MAX_LENGTH),
});

/** Reads `runtimeConfig`. @throws NetError with CNI code 7, or 2 for a capability that this plugin cannot fulfil */
export function parseRuntimeConfig(value: unknown): RuntimeConfig {
  const members = withCanonicalNames(CAPABILITY_NAMES)(value ?? {});
  if (isObject(members)) rejectUnknown(members);
  const parsed = parseMember(RuntimeMembers, members, "runtimeConfig");
  return {
    bandwidth: {
      podIngress: limitOf(parsed.bandwidth?.ingressRate, parsed.bandwidth?.ingressBurst),
      podEgress: limitOf(parsed.bandwidth?.egressRate, parsed.bandwidth?.egressBurst),
    },
    ips: parsed.ips,
    mac: parsed.mac ?? undefined,
    dns: dnsOf(parsed.dns ?? undefined),
    deviceId: parsed.deviceID || undefined,
    podAnnotations: parsed["io.kubernetes.cri.pod-annotations"],
  };
}

/** A runtime sends only what the plugin's configuration declares, and a declared capability must act or fail. */
function rejectUnknown(members: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(members)) {
    if (CAPABILITY_NAMES.includes(name) || isBlank(value)) continue;
    const remedy = `remove "${name}" from the capabilities of plugin contiv, or declare it on the plugin that provides it`;
    const message = `Network configuration: "runtimeConfig.${name}": ${shortJson(value)} is not supported; ${remedy}`;
    throw cniFault("unsupported-field", message, { field: `runtimeConfig.${name}` });
  }
}

function limitOf(rate: number | null | undefined, burst: number | null | undefined): BandwidthLimit | undefined {
  return rate ? { rateBitPerSecond: rate, burstBits: burst || undefined } : undefined;
}

function dnsOf(dns: z.infer<typeof Dns> | undefined): DnsConfig | undefined {
  if (dns === undefined || (dns.servers.length === 0 && dns.searches.length === 0 && dns.options.length === 0))
    return undefined;
  return { nameservers: dns.servers, domain: undefined, search: dns.searches, options: dns.options };
}
