import { type FieldSpec, MATCH_FIELDS } from "./fields.ts";
import type { Flow } from "./flow.ts";
import type { FlowFilter, FlowMod } from "./flow-mod.ts";
import type { Bucket, GroupMod } from "./group.ts";
import type { Match } from "./match.ts";
import { completeMatch } from "./match-entries.ts";
import type { MeterMod } from "./meter.ts";
import { unpackFlow, unpackKey } from "./packed-flow.ts";
import { formatActions } from "./text-actions.ts";
import { formatPlain } from "./text-parts.ts";

/** Protocols that ovs-ofctl has a word for, by Ethernet type and IP protocol. */
const PROTOCOLS: Readonly<Record<string, string>> = {
  "2048/": "ip",
  "34525/": "ipv6",
  "2054/": "arp",
  "2048/6": "tcp",
  "2048/17": "udp",
  "2048/132": "sctp",
  "2048/1": "icmp",
  "34525/6": "tcp6",
  "34525/17": "udp6",
  "34525/132": "sctp6",
  "34525/58": "icmp6",
};

/** A flow in the syntax of ovs-ofctl(8), fit for `ovs-ofctl add-flow`. */
export function formatFlow(flow: Flow): string {
  const parts = [`cookie=0x${BigInt.asUintN(64, flow.cookie).toString(16)}`, `table=${flow.table}`];
  if (flow.idleTimeoutS !== undefined) parts.push(`idle_timeout=${flow.idleTimeoutS}`);
  if (flow.hardTimeoutS !== undefined) parts.push(`hard_timeout=${flow.hardTimeoutS}`);
  if (flow.importance !== undefined) parts.push(`importance=${flow.importance}`);
  parts.push(...formatFlags(flow.flags ?? 0), `priority=${flow.priority}`, ...matchParts(flow.match));
  return `${parts.join(",")} actions=${formatInstructions(flow)}`;
}

/** openflow-1.1.h and openflow-1.3.h, enum ofp11_flow_mod_flags and ofp13_flow_mod_flags. */
function formatFlags(flags: number): string[] {
  const names = ["send_flow_rem", "check_overlap", "reset_counts", "no_packet_counts", "no_byte_counts"];
  return names.filter((_, bit) => (flags & (1 << bit)) !== 0);
}

function formatInstructions(flow: Flow): string {
  const parts: string[] = [];
  if (flow.meter !== undefined) parts.push(`meter:${flow.meter}`);
  if (flow.actions.length > 0) parts.push(formatActions(flow.actions));
  if (flow.unknownInstructions !== undefined) parts.push(`unknown(${flow.unknownInstructions})`);
  if (flow.goto !== undefined) parts.push(`goto_table:${flow.goto}`);
  return parts.length === 0 ? "drop" : parts.join(",");
}

/** A match in the syntax of ovs-ofctl(8); empty for "everything". */
export function formatMatch(match: Match): string {
  return matchParts(match).join(",");
}

function matchParts(given: Match): string[] {
  const match = completeMatch(given);
  const word = PROTOCOLS[`${match.ethType ?? ""}/${match.ipProto ?? ""}`] ?? PROTOCOLS[`${match.ethType ?? ""}/`];
  const hasProtocol = PROTOCOLS[`${match.ethType ?? ""}/${match.ipProto ?? ""}`] !== undefined;
  const parts = word === undefined ? [] : [word];
  for (const spec of MATCH_FIELDS) {
    const value: unknown = match[spec.name];
    if (value === undefined) continue;
    if (spec.name === "ethType" && word !== undefined) continue;
    if (spec.name === "ipProto" && hasProtocol) continue;
    parts.push(spec.kind === "vlan" ? formatVlan(value) : `${spec.text}=${formatValue(spec, value)}`);
  }
  if (match.unknown !== undefined) parts.push(`unknown(${match.unknown})`);
  return parts;
}

/** Only vlan_tci can say "no tag" and "some tag". */
function formatVlan(value: unknown): string {
  if (value === "none") return "vlan_tci=0x0000/0x1fff";
  if (value === "any") return "vlan_tci=0x1000/0x1000";
  if (typeof value !== "object") return `dl_vlan=${value}`;
  const { value: bits, mask } = value as { value: number; mask: number };
  return `vlan_tci=0x${bits.toString(16)}/0x${mask.toString(16)}`;
}

/** A field's value, with its mask when it has one. */
export function formatValue(spec: FieldSpec, value: unknown): string {
  if (typeof value === "object" && value !== null && "value" in value && "mask" in value) {
    return `${formatPlain(spec, value.value)}/0x${BigInt(value.mask as number).toString(16)}`;
  }
  return formatPlain(spec, value);
}

function formatIdentity({ table, priority, match }: Pick<Flow, "table" | "priority" | "match">): string {
  return [`table=${table}`, `priority=${priority}`, ...matchParts(match)].join(",");
}

/** A modification in a few words, for error messages and logs. */
export function formatMod(mod: FlowMod | GroupMod | MeterMod): string {
  switch (mod.kind) {
    case "flow-add":
    case "flow-modify-strict":
      return `${mod.kind} ${formatFlow(mod.flow)}`;
    case "flow-put":
      return `${mod.kind} ${formatFlow(unpackFlow(mod))}`;
    case "flow-drop":
      return `${mod.kind} ${formatFlowKey(mod.key)}`;
    case "flow-delete-strict":
      return `${mod.kind} ${formatIdentity(mod.flow)}`;
    case "flow-delete":
      return `${mod.kind} ${formatFilter(mod.filter)}`;
    case "group-add":
    case "group-modify":
    case "group-put":
      return `${mod.kind} group_id=${mod.group.id},type=${mod.group.type}${mod.group.buckets.map(formatBucket).join("")}`;
    case "group-insert-buckets":
      return `${mod.kind} group_id=${mod.id}${mod.buckets.map(formatBucket).join("")}`;
    case "group-delete":
    case "group-remove-bucket":
      return `${mod.kind} group_id=${mod.id}`;
    case "meter-add":
    case "meter-modify":
      return `${mod.kind} meter=${mod.meter.id}`;
    case "meter-delete":
      return `${mod.kind} meter=${mod.id}`;
  }
}

/** Table, priority and match of a packed flow's key. */
export function formatFlowKey(key: string): string {
  return formatIdentity(unpackKey(key));
}

function formatFilter(filter: FlowFilter): string {
  const parts = filter.table === undefined ? [] : [`table=${filter.table}`];
  if (filter.cookie !== undefined) {
    const mask = filter.cookieMask === undefined ? "-1" : `0x${filter.cookieMask.toString(16)}`;
    parts.push(`cookie=0x${filter.cookie.toString(16)}/${mask}`);
  }
  return [...parts, ...matchParts(filter.match ?? {})].join(",") || "everything";
}

function formatBucket(bucket: Bucket): string {
  const weight = bucket.weight === undefined ? "" : `weight:${bucket.weight},`;
  return `,bucket=bucket_id:${bucket.id},${weight}actions=${formatActions(bucket.actions)}`;
}
