import { z } from "zod";
import type { PrefixText } from "../../state/address-codec.ts";
import { Name } from "../../state/names.ts";
import { isObject, parseMember, stringMap } from "./json.ts";
import { GROUP_LABEL, NETWORK_LABEL, TENANT_LABEL } from "./own-names.ts";
import { ANNOTATION_KEY_MAX_LENGTH, ANNOTATION_VALUE_MAX_LENGTH, RequestedIps } from "./runtime-config.ts";

const DEFAULT_TENANT = "default";
const DEFAULT_NETWORK = "default-net";

/** Where a pod belongs. */
export interface Placement {
  readonly tenantName: string;
  readonly networkName: string;
  /** undefined: the pod is in no group. */
  readonly groupName: string | undefined;
}

/** The member `args` of the configuration: what whoever called the runtime wants to tell the plugin. */
export interface ConfigArgs {
  readonly labels: ReadonlyMap<string, string>;
  readonly annotations: ReadonlyMap<string, string>;
  /** `args.cni.ips` of CONVENTIONS.md */
  readonly ips: readonly PrefixText[];
}

/** As the messages of the node API bound them. */
const LABEL_KEY_MAX_LENGTH = 317;
const LABEL_VALUE_MAX_LENGTH = 256;
const LABELS_MAX = 256;

/** CONVENTIONS.md: a list of {key, value}; a plain map is taken as well. */
const LabelList = z
  .array(z.object({ key: z.string().min(1).max(LABEL_KEY_MAX_LENGTH), value: z.string().max(LABEL_VALUE_MAX_LENGTH) }))
  .max(LABELS_MAX);
const LabelMap = stringMap(LABEL_KEY_MAX_LENGTH, LABEL_VALUE_MAX_LENGTH).refine(
  (labels) => labels.size <= LABELS_MAX,
  `must hold at most ${LABELS_MAX} labels`,
);

const Members = z.object({
  annotations: stringMap(ANNOTATION_KEY_MAX_LENGTH, ANNOTATION_VALUE_MAX_LENGTH),
  cni: z.looseObject({ ips: RequestedIps }).nullish(),
});

/** Reads `args`; `args.labels` wins over `args.cni.labels`. @throws NetError with CNI code 7 that names the member */
export function parseConfigArgs(value: unknown): ConfigArgs {
  const members = parseMember(Members, value ?? {}, "args");
  const own = parseLabels(isObject(value) ? value.labels : undefined, "args.labels");
  const conventional = parseLabels(members.cni?.labels, "args.cni.labels");
  return { labels: new Map([...conventional, ...own]), annotations: members.annotations, ips: members.cni?.ips ?? [] };
}

/** Tenant, network and group by label; an empty label counts as none. @throws NetError with CNI code 7 */
export function placementOf(labels: ReadonlyMap<string, string>): Placement {
  const named = (label: string): string | undefined => {
    const value = labels.get(label) ?? "";
    return value === "" ? undefined : parseMember(LabelledName, value, `args.labels.${label}`);
  };
  return {
    tenantName: named(TENANT_LABEL) ?? DEFAULT_TENANT,
    networkName: named(NETWORK_LABEL) ?? DEFAULT_NETWORK,
    groupName: named(GROUP_LABEL),
  };
}

const LabelledName = z.string().refine((text) => Name.safeParse(text).success, {
  error: 'must be at most 64 letters, digits, "-" and ".", beginning and ending with a letter or digit',
});

function parseLabels(value: unknown, member: string): ReadonlyMap<string, string> {
  if (!Array.isArray(value)) return parseMember(LabelMap, value, member);
  return new Map(parseMember(LabelList, value, member).map(({ key, value: text }) => [key, text]));
}
