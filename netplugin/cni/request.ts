import { z } from "zod";
import { type PrefixText, parsePrefix } from "../../state/address-codec.ts";
import { UnicastMac } from "./addresses.ts";
import { type CniArgs, type PodIdentity, parseCniArgs, readPodIdentity } from "./cni-args.ts";
import { type CniEnvironment, isCniId, isIfName, parseEnvironment } from "./environment.ts";
import { cniFault } from "./errors.ts";
import { isObject, parseMember, shortJson } from "./json.ts";
import { type ConfigArgs, type Placement, parseConfigArgs, placementOf } from "./labels.ts";
import { refuseAlmostOurs } from "./own-names.ts";
import { parseResult } from "./prev-result.ts";
import type { CniFrame } from "./protocol.ts";
import type { CniResult } from "./result.ts";
import {
  type DnsConfig,
  type PodBandwidth,
  parseRuntimeConfig,
  RequestedIps,
  type RuntimeConfig,
} from "./runtime-config.ts";
import { CNI_VERSIONS, type CniVersion, DEFAULT_CNI_VERSION, findCniVersion, isAtLeast } from "./versions.ts";

/** One interface of one container: the key of everything that a plugin keeps. */
export interface Attachment {
  readonly containerId: string;
  readonly ifName: string;
}

/** What every call but VERSION says. */
interface NetworkCall {
  readonly cniVersion: CniVersion;
  /** `name` of the network configuration (not a network of ours). */
  readonly configName: string;
}

/** What ADD and CHECK say of a pod. */
interface PodCall extends NetworkCall, Attachment {
  /** Path of the pod's network namespace. */
  readonly netns: string;
  readonly mayBeOwnNetns: boolean;
  readonly pod: PodIdentity;
  readonly placement: Placement;
  readonly labels: ReadonlyMap<string, string>;
  /** `args.annotations` of the configuration. */
  readonly annotations: ReadonlyMap<string, string>;
  /** The pod's annotations in Kubernetes, where the conflist declares io.kubernetes.cri.pod-annotations. */
  readonly podAnnotations: ReadonlyMap<string, string>;
  /** At most one of each family. */
  readonly requestedIps: readonly PrefixText[];
  readonly requestedMac: string | undefined;
  /** `mtu` of the configuration; undefined: derive it from the underlay. */
  readonly mtuBytes: number | undefined;
  readonly bandwidth: PodBandwidth;
  readonly dns: DnsConfig | undefined;
  readonly deviceId: string | undefined;
}

export interface AddRequest extends PodCall {
  readonly command: "ADD";
  /** What earlier plugins of the chain did. */
  readonly prevResult: CniResult | undefined;
}

export interface CheckRequest extends PodCall {
  readonly command: "CHECK";
  /** What the whole chain's ADD did. */
  readonly prevResult: CniResult;
}

/** Names little, because DEL must succeed whatever has gone before it. */
export interface DelRequest extends NetworkCall, Attachment {
  readonly command: "DEL";
  /** undefined when the namespace is gone. */
  readonly netns: string | undefined;
  readonly pod: PodIdentity;
}

export interface GcRequest extends NetworkCall {
  readonly command: "GC";
  /** Every attachment of `configName` that is not among these is to go. */
  readonly validAttachments: readonly Attachment[];
}

export interface StatusRequest extends NetworkCall {
  readonly command: "STATUS";
}

export interface VersionRequest {
  readonly command: "VERSION";
  readonly cniVersion: string;
}

export type CniRequest = AddRequest | DelRequest | CheckRequest | GcRequest | StatusRequest | VersionRequest;

type Config = Readonly<Record<string, unknown>>;

/** First version of the specification with the command. */
const COMMAND_SINCE = { ADD: "0.1.0", DEL: "0.1.0", CHECK: "0.4.0", GC: "1.1.0", STATUS: "1.1.0" } as const;

/** RFC 791: 68 bytes must always pass; 65535 is the largest IP packet. 0 means the plugin's choice. */
const Mtu = z
  .int()
  .refine((mtu) => mtu === 0 || (mtu >= 68 && mtu <= 65_535), "must be 0 (derive) or 68-65535 bytes")
  .nullish();

const ATTACHMENTS_MAX = 100_000;
const Attachments = z
  .array(
    z.object({
      containerID: z.string().refine(isCniId, "is no container id"),
      ifname: z.string().refine(isIfName, "is no interface name"),
    }),
  )
  .max(ATTACHMENTS_MAX);

/** Reads a call: variables first, then the configuration. @throws NetError with the CNI code of the specification */
export function parseRequest(frame: CniFrame): CniRequest {
  const environment = parseEnvironment(frame.env);
  const { command } = environment;
  if (command === "VERSION") return { command, cniVersion: versionText(frame.stdin) };
  const config = decodeConfig(frame.stdin);
  const call = { configName: configNameOf(config), cniVersion: versionOf(config, command) };
  switch (command) {
    case "ADD":
      return { command, ...podCallOf(environment, config, call), prevResult: prevResultOf(config, call.cniVersion) };
    case "CHECK":
      return {
        command,
        ...podCallOf(environment, config, call),
        prevResult: requiredPrevResultOf(config, call.cniVersion),
      };
    case "DEL":
      return {
        command,
        ...call,
        ...attachmentOf(environment),
        netns: environment.netns || undefined,
        pod: readPodIdentity(environment.args),
      };
    case "GC":
      return { command, ...call, validAttachments: validAttachmentsOf(config) };
    case "STATUS":
      return { command, ...call };
  }
}

/** The configuration's `cniVersion` for an error object, whatever else is wrong with the configuration. */
export function versionText(stdin: Buffer): string {
  try {
    const { cniVersion } = decodeConfig(stdin);
    return typeof cniVersion === "string" && /^[0-9A-Za-z.+-]{1,32}$/.test(cniVersion)
      ? cniVersion
      : DEFAULT_CNI_VERSION;
  } catch {
    return DEFAULT_CNI_VERSION;
  }
}

function decodeConfig(stdin: Buffer): Config {
  const text = stdin.toString("utf8");
  if (text.trim() === "") throw undecodable("is empty; send the network configuration");
  const config = parseJson(text);
  if (!isObject(config)) throw undecodable("is no JSON object; correct it");
  return config;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw undecodable("is no valid JSON; correct it", cause);
  }
}

function undecodable(problem: string, cause?: unknown): Error {
  return cniFault("undecodable", `The network configuration on stdin ${problem}`, { cause, field: "stdin" });
}

function configNameOf(config: Config): string {
  const { name } = config;
  if (typeof name === "string" && isCniId(name)) return name;
  const rule = 'letters, digits, "_", "." and "-" only, beginning with a letter or digit';
  const problem = name === undefined || name === "" ? "is missing" : `${shortJson(name)} is invalid`;
  throw cniFault("invalid-config", `Network configuration: "name" ${problem}; use ${rule}`, { field: "name" });
}

function versionOf(config: Config, command: keyof typeof COMMAND_SINCE): CniVersion {
  const text = config.cniVersion ?? "";
  const version = text === "" ? DEFAULT_CNI_VERSION : typeof text === "string" ? findCniVersion(text) : undefined;
  const supported = CNI_VERSIONS.filter((known) => isAtLeast(known, COMMAND_SINCE[command]));
  if (version !== undefined && supported.includes(version)) return version;
  const message = `incompatible CNI versions: "cniVersion" is ${shortJson(text)}, but ${command} needs one of ${supported.join(", ")}`;
  throw cniFault("incompatible-version", `${message}; correct the conflist`, { field: "cniVersion" });
}

function attachmentOf({ containerId, ifName }: CniEnvironment): Attachment {
  return { containerId, ifName };
}

function podCallOf(environment: CniEnvironment, config: Config, call: NetworkCall): PodCall {
  const cniArgs = parseCniArgs(environment.args);
  const args = parseConfigArgs(config.args);
  const runtime = parseRuntimeConfig(config.runtimeConfig);
  refuseAlmostOurs(config);
  return {
    ...call,
    ...attachmentOf(environment),
    netns: environment.netns,
    mayBeOwnNetns: environment.mayBeOwnNetns,
    pod: cniArgs.pod,
    placement: placementOf(args.labels),
    labels: args.labels,
    annotations: args.annotations,
    podAnnotations: runtime.podAnnotations,
    requestedIps: requestedIpsOf(runtime, args, cniArgs),
    requestedMac: runtime.mac ?? requestedMacOf(cniArgs),
    mtuBytes: parseMember(Mtu, config.mtu, "mtu") || undefined,
    bandwidth: runtime.bandwidth,
    dns: runtime.dns,
    deviceId: runtime.deviceId,
  };
}

/** CONVENTIONS.md: capabilities before `args`, `args` before CNI_ARGS. */
function requestedIpsOf(runtime: RuntimeConfig, args: ConfigArgs, cniArgs: CniArgs): readonly PrefixText[] {
  if (runtime.ips.length > 0) return runtime.ips;
  if (args.ips.length > 0) return args.ips;
  const ips = cniArgs.ips.map((text) => parsePrefix(text));
  const parsed = RequestedIps.safeParse(cniArgs.ips);
  if (parsed.success && ips.every((ip) => ip !== undefined)) return parsed.data;
  const message = `CNI_ARGS has IP=${cniArgs.ips.join(",").slice(0, 100)}; use at most one IPv4 and one IPv6 address`;
  throw cniFault("invalid-environment", message, { field: "CNI_ARGS" });
}

function requestedMacOf({ mac }: CniArgs): string | undefined {
  if (mac === undefined) return undefined;
  const parsed = UnicastMac.safeParse(mac);
  if (parsed.success) return parsed.data;
  throw cniFault(
    "invalid-environment",
    `CNI_ARGS has MAC=${mac.slice(0, 40)}; use a unicast MAC as 02:42:ac:11:00:02`,
    { field: "CNI_ARGS" },
  );
}

/** Chaining began with 0.3.0. */
function prevResultOf(config: Config, version: CniVersion): CniResult | undefined {
  return isAtLeast(version, "0.3.0") ? parseResult(config.prevResult, version) : undefined;
}

function requiredPrevResultOf(config: Config, version: CniVersion): CniResult {
  const result = prevResultOf(config, version);
  if (result !== undefined) return result;
  const message = 'Network configuration: "prevResult" is missing; CHECK needs the result of ADD';
  throw cniFault("invalid-config", message, { field: "prevResult" });
}

/**
 * The list has two names: `cni.dev/attachments` stood in the text of the tag spec-v1.1.0. With neither, nothing is removed: an
 * absent list is far more likely a caller's mistake than the wish to cut off every pod. So is null, which Go writes for a list that
 * was never filled; one that is meant to be empty is [].
 */
function validAttachmentsOf(config: Config): readonly Attachment[] {
  const names = ["cni.dev/valid-attachments", "cni.dev/attachments"].filter(
    (name) => (config[name] ?? undefined) !== undefined,
  );
  if (names.length === 0) {
    const message =
      'Network configuration: "cni.dev/valid-attachments" is missing or null; GC needs it (an empty list: no attachment is valid)';
    throw cniFault("invalid-config", message, { field: "cni.dev/valid-attachments" });
  }
  return names.flatMap((name) =>
    parseMember(Attachments, config[name], name).map(({ containerID, ifname }) => ({
      containerId: containerID,
      ifName: ifname,
    })),
  );
}
