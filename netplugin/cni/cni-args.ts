import { cniFault } from "./errors.ts";
import { refuseAlmostOursInArgs } from "./own-names.ts";

/** Who the pod is, as far as the runtime told in CNI_ARGS; absent without Kubernetes. */
export interface PodIdentity {
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly uid: string | undefined;
  readonly infraContainerId: string | undefined;
}

export interface CniArgs {
  readonly pod: PodIdentity;
  /** `IP=`: the addresses asked for, with or without prefix length. */
  readonly ips: readonly string[];
  /** `MAC=` */
  readonly mac: string | undefined;
}

const KNOWN: ReadonlySet<string> = new Set([
  "IgnoreUnknown",
  "IP",
  "MAC",
  "K8S_POD_NAMESPACE",
  "K8S_POD_NAME",
  "K8S_POD_UID",
  "K8S_POD_INFRA_CONTAINER_ID",
]);

/** Reads `K=V;K=V`. Unknown keys need IgnoreUnknown=1 (CONVENTIONS.md) and must not be meant for us. @throws NetError with CNI code 4 */
export function parseCniArgs(text: string): CniArgs {
  const pairs = splitPairs(text);
  refuseAlmostOursInArgs(pairs.keys(), KNOWN);
  const unknown = [...pairs.keys()].filter((key) => !KNOWN.has(key));
  if (unknown.length > 0 && !ignoresUnknown(pairs.get("IgnoreUnknown") ?? "")) {
    throw invalid(`CNI_ARGS has unknown keys [${unknown.join(",")}]; remove them or add IgnoreUnknown=1`);
  }
  return readPairs(pairs);
}

/** The same without a complaint, for DEL: what cannot be read is left out. */
export function readPodIdentity(text: string): PodIdentity {
  const pairs = new Map<string, string>();
  for (const pair of text.split(";")) {
    const [key, value] = splitPair(pair);
    if (value !== undefined) pairs.set(key, value);
  }
  return readPairs(pairs).pod;
}

function readPairs(pairs: ReadonlyMap<string, string>): CniArgs {
  const get = (key: string): string | undefined => (pairs.get(key) === "" ? undefined : pairs.get(key));
  const pod = {
    namespace: get("K8S_POD_NAMESPACE"),
    name: get("K8S_POD_NAME"),
    uid: get("K8S_POD_UID"),
    infraContainerId: get("K8S_POD_INFRA_CONTAINER_ID"),
  };
  const ips = (get("IP") ?? "").split(",").filter((ip) => ip !== "");
  return { pod, ips, mac: get("MAC") };
}

function splitPairs(text: string): Map<string, string> {
  const pairs = new Map<string, string>();
  for (const pair of text.split(";")) {
    if (pair === "") continue;
    const [key, value] = splitPair(pair);
    if (key === "" || value === undefined) throw invalid(`CNI_ARGS has "${pair}", which is no KEY=VALUE; correct it`);
    pairs.set(key, value);
  }
  return pairs;
}

function splitPair(pair: string): [string, string | undefined] {
  const equals = pair.indexOf("=");
  return equals < 0 ? [pair, undefined] : [pair.slice(0, equals), pair.slice(equals + 1)];
}

function ignoresUnknown(text: string): boolean {
  const value = text.toLowerCase();
  if (value === "1" || value === "true") return true;
  if (value === "" || value === "0" || value === "false") return false;
  throw invalid(`CNI_ARGS has IgnoreUnknown=${text}; use 1, true, 0 or false`);
}

function invalid(message: string): Error {
  return cniFault("invalid-environment", message.slice(0, 1_000), { field: "CNI_ARGS" });
}
