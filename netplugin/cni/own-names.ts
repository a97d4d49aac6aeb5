import { nearestName, nearHint } from "../../state/near-name.ts";
import { cniFault } from "./errors.ts";
import { isBlank, isObject } from "./json.ts";

/** Where a pod belongs. */
export const TENANT_LABEL = "io.contiv.tenant";
export const NETWORK_LABEL = "io.contiv.network";
export const GROUP_LABEL = "io.contiv.net-group";

/** Kubernetes' annotations; ingress is towards the pod. */
export const INGRESS_ANNOTATION = "kubernetes.io/ingress-bandwidth";
export const EGRESS_ANNOTATION = "kubernetes.io/egress-bandwidth";

const LABEL_PREFIX = "io.contiv.";
const LABELS: readonly string[] = [TENANT_LABEL, NETWORK_LABEL, GROUP_LABEL];
const ANNOTATIONS: readonly string[] = [INGRESS_ANNOTATION, EGRESS_ANNOTATION];
const CAPABILITIES = ["bandwidth", "ips", "dns", "io.kubernetes.cri.pod-annotations"];

/** Of the specification 1.1.0, "Plugin configuration objects" and "Deriving execution configuration"; not near to ours by chance. */
const NAMES_OF_CNI: readonly string[] = [
  ...["cniVersion", "cniVersions", "name", "type", "capabilities", "ipam", "ipMasq", "dns", "args", "runtimeConfig"],
  ...["prevResult", "disableCheck", "disableGC", "loadOnlyInlinedPlugins", "plugins"],
  ...["cni.dev/valid-attachments", "cni.dev/attachments"],
];

/** An object of the configuration whose members we read. */
interface Place {
  /** "" is the configuration itself. */
  readonly path: string;
  readonly value: unknown;
  /** Members that are read here. */
  readonly read: readonly string[];
  /** Members that are others' business, however near they are to ours. */
  readonly foreign?: readonly string[];
}

/**
 * Refuses what would be ignored although it is meant for us: a label or annotation that is spelled almost like ours or stands where
 * nobody reads it, and members that are almost ours. What is nothing like ours is others' business.
 * @throws NetError with CNI code 7 that names the near one and where it belongs
 */
export function refuseAlmostOurs(config: Readonly<Record<string, unknown>>): void {
  const args = objectOf(config.args);
  const cni = objectOf(args.cni);
  const runtime = objectOf(config.runtimeConfig);
  for (const place of placesOf(config, { args, cni, runtime })) refuseIn(place);
  for (const name of ["labels", "annotations"]) if (!isBlank(config[name])) throw misplaced(name, `args.${name}`);
  for (const path of ["args.labels", "args.cni.labels"]) {
    const labels = path === "args.labels" ? args.labels : cni.labels;
    for (const label of keysOf(labels)) refuseUnknownLabel(path, label);
  }
}

/** The same of CNI_ARGS, which IgnoreUnknown=1 would hide. @throws NetError with CNI code 4 */
export function refuseAlmostOursInArgs(keys: Iterable<string>, known: ReadonlySet<string>): void {
  for (const key of keys) {
    if (known.has(key)) continue;
    const near = isOurLabel(key) ? undefined : nearestName(key, ["IP", "MAC", "IgnoreUnknown"]);
    if (near === undefined && !isOurLabel(key)) continue;
    const remedy =
      near === undefined ? "labels are read from args.labels of the configuration" : `did you mean ${near}?`;
    throw cniFault("invalid-environment", `CNI_ARGS has "${shown(key)}", which is unknown; ${remedy}`, {
      field: "CNI_ARGS",
    });
  }
}

type Parts = Readonly<Record<"args" | "cni" | "runtime", Readonly<Record<string, unknown>>>>;

function placesOf(config: Readonly<Record<string, unknown>>, { args, cni, runtime }: Parts): readonly Place[] {
  const annotations = "io.kubernetes.cri.pod-annotations";
  return [
    { path: "", value: config, read: ["mtu", "args"], foreign: NAMES_OF_CNI },
    { path: "capabilities", value: config.capabilities, read: CAPABILITIES, foreign: ["mac", "deviceID"] },
    { path: "args", value: args, read: ["labels", "annotations", "cni"] },
    { path: "args.cni", value: cni, read: ["labels", "ips"] },
    { path: "args.annotations", value: args.annotations, read: ANNOTATIONS },
    { path: "runtimeConfig", value: runtime, read: [], foreign: CAPABILITIES },
    { path: "runtimeConfig.bandwidth", value: runtime.bandwidth, read: BANDWIDTH_NAMES },
    { path: `runtimeConfig.${annotations}`, value: runtime[annotations], read: ANNOTATIONS },
  ];
}

/** Members of the capability `bandwidth` (CONVENTIONS.md). */
export const BANDWIDTH_NAMES = ["ingressRate", "ingressBurst", "egressRate", "egressBurst"];

function refuseIn({ path, value, read, foreign = [] }: Place): void {
  for (const [name, member] of Object.entries(objectOf(value))) {
    if (read.includes(name) || foreign.includes(name)) continue;
    const field = path === "" ? name : `${path}.${name}`;
    if (isOurLabel(name)) throw misplaced(field, "args.labels");
    // A runtime writes other cases (containerd 1.6: IngressRate), which are read as they are meant.
    if (path === "runtimeConfig.bandwidth" && read.some((known) => known.toLowerCase() === name.toLowerCase()))
      continue;
    const near = isBlank(member) ? undefined : nearestName(name, read);
    if (near !== undefined) throw unknown(field, path === "" ? near : `${path}.${near}`);
  }
}

/** A misspelled label must not put a pod where no policy holds. */
function refuseUnknownLabel(path: string, label: string): void {
  if (LABELS.includes(label) || !isOurLabel(label)) return;
  const message = `${path}: label "${shown(label)}" is unknown${nearHint(label, LABELS)}`;
  throw cniFault("invalid-config", message, { field: path });
}

/** Ours by its prefix in any case, or almost the name of one. */
function isOurLabel(name: string): boolean {
  return name.toLowerCase().startsWith(LABEL_PREFIX) || nearestName(name, LABELS) !== undefined;
}

function unknown(field: string, near: string): Error {
  const message = `Network configuration: "${shown(field)}" is unknown; did you mean ${near}?`;
  return cniFault("invalid-config", message, { field: shown(field) });
}

function misplaced(field: string, place: string): Error {
  const message = `Network configuration: "${shown(field)}" is not read there; move it to ${place}`;
  return cniFault("invalid-config", message, { field: shown(field) });
}

/** Labels are a map, or a list of {key, value}. */
function keysOf(labels: unknown): readonly string[] {
  if (!Array.isArray(labels)) return Object.keys(objectOf(labels));
  return labels.flatMap((each) => (isObject(each) && typeof each.key === "string" ? each.key : []));
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  return isObject(value) ? value : {};
}

/** Longest part of a wrong name that an error repeats, in characters. */
const SHOWN_MAX_LENGTH = 100;

function shown(name: string): string {
  return name.slice(0, SHOWN_MAX_LENGTH);
}
