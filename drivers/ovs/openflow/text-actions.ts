import type { Action, Bits, ControllerAction, CtAction, LearnAction, LearnSpec, Nat } from "./action.ts";
import { fieldByName } from "./fields.ts";
import { formatBits, formatPlain, formatPortText } from "./text-parts.ts";

/** openflow-common.h, enum ofp_packet_in_reason, in ovs-ofctl's words. */
const REASONS = ["no_match", "action", "invalid_ttl", "action_set", "group", "packet_out"];

/** Actions in the syntax of ovs-ofctl(8) (ovs-actions(7)); "drop" for none. */
export function formatActions(actions: readonly Action[]): string {
  return actions.length === 0 ? "drop" : actions.map(formatAction).join(",");
}

export function formatAction(action: Action): string {
  switch (action.kind) {
    case "output":
      return formatOutput(action);
    case "outputField":
      return `output:${formatBits(action.src)}`;
    case "setField":
      return formatSetField(action);
    case "move":
      return `move:${formatBits(action.src)}->${formatBits(action.dst)}`;
    case "pushVlan":
      return `push_vlan:0x${(action.ethType ?? 0x8100).toString(16)}`;
    case "popVlan":
      return "pop_vlan";
    case "decTtl":
      return "dec_ttl";
    case "group":
      return `group:${action.group}`;
    case "meter":
      return `meter:${action.meter}`;
    case "setQueue":
      return `set_queue:${action.queue}`;
    case "resubmit":
      return formatResubmit(action);
    case "ct":
      return formatCt(action);
    case "ctClear":
      return "ct_clear";
    case "checkPktLarger":
      return `check_pkt_larger(${action.lengthBytes})->${formatBits(action.dst)}`;
    case "conjunction":
      return `conjunction(${action.id},${action.clause}/${action.clauseCount})`;
    case "controller":
      return formatController(action);
    case "note":
      return `note:${dotted(action.data)}`;
    case "sample":
      return `sample(probability=${action.probability},collector_set_id=${action.collectorSet},obs_domain_id=${action.observationDomain},obs_point_id=${action.observationPoint})`;
    case "clone":
      return `clone(${formatActions(action.actions)})`;
    case "learn":
      return formatLearn(action);
    case "push":
    case "pop":
      return `${action.kind}:${formatBits(action.bits)}`;
    case "raw":
      return `unknown(${Buffer.from(action.bytes).toString("hex")})`;
  }
}

function formatOutput({ port, maxLenBytes }: Extract<Action, { kind: "output" }>): string {
  if (port === "controller") return `CONTROLLER:${maxLenBytes ?? 65535}`;
  return typeof port === "string" ? formatPortText(port) : `output:${port}`;
}

function formatSetField({ field, value, mask }: Extract<Action, { kind: "setField" }>): string {
  const spec = fieldByName(field);
  if (spec === undefined) return `set_field:${value}->${field}`;
  // ovs-ofctl wants the "has a tag" bit in the value (openflow-1.2.h, OFPVID12_PRESENT).
  const shown = spec.kind === "vlan" && typeof value === "number" && mask === undefined ? value | 0x1000 : value;
  const isNumber = typeof mask === "number" || typeof mask === "bigint";
  const maskText = mask === undefined ? "" : `/${isNumber ? `0x${mask.toString(16)}` : mask}`;
  return `set_field:${formatPlain(spec, shown)}${maskText}->${spec.text}`;
}

function formatResubmit({ table, inPort }: Extract<Action, { kind: "resubmit" }>): string {
  const port = inPort === undefined ? "" : formatPortText(inPort);
  return table === undefined && inPort !== undefined ? `resubmit:${port}` : `resubmit(${port},${table ?? ""})`;
}

function formatCt(action: CtAction): string {
  const parts: string[] = [];
  if (action.commit) parts.push("commit");
  if (action.force) parts.push("force");
  if (action.table !== undefined) parts.push(`table=${action.table}`);
  if (action.zone !== undefined) parts.push(`zone=${numberOrBits(action.zone)}`);
  if (action.nat !== undefined) parts.push(formatNat(action.nat));
  if (action.exec !== undefined) parts.push(`exec(${formatActions(action.exec)})`);
  if (action.alg !== undefined) parts.push(`alg=${action.alg}`);
  return parts.length === 0 ? "ct" : `ct(${parts.join(",")})`;
}

function numberOrBits(value: number | Bits): string {
  return typeof value === "number" ? String(value) : formatBits(value);
}

function formatNat(nat: Nat): string {
  const parts: string[] = [];
  if (nat.direction !== undefined) parts.push(nat.direction + formatRange(nat));
  if (nat.persistent) parts.push("persistent");
  if (nat.hash) parts.push("hash");
  if (nat.random) parts.push("random");
  return parts.length === 0 ? "nat" : `nat(${parts.join(",")})`;
}

function formatRange(nat: Nat): string {
  const bracket = (text: string) => (text.includes(":") ? `[${text}]` : text);
  const max = nat.addressMax === undefined ? "" : `-${bracket(nat.addressMax)}`;
  const addresses = nat.addressMin === undefined ? "" : bracket(nat.addressMin) + max;
  const ports = nat.portMin === undefined ? "" : `:${nat.portMin}${nat.portMax === undefined ? "" : `-${nat.portMax}`}`;
  return addresses + ports === "" ? "" : `=${addresses}${ports}`;
}

function formatController(action: ControllerAction): string {
  const parts: string[] = [];
  if (action.maxLenBytes !== undefined) parts.push(`max_len=${action.maxLenBytes}`);
  if (action.controllerId !== undefined) parts.push(`id=${action.controllerId}`);
  if (action.reason !== undefined) parts.push(`reason=${REASONS[action.reason] ?? action.reason}`);
  if (action.userdata !== undefined) parts.push(`userdata=${dotted(action.userdata)}`);
  if (action.pause) parts.push("pause");
  if (action.meter !== undefined) parts.push(`meter_id=${action.meter}`);
  return `controller(${parts.join(",")})`;
}

function dotted(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(".");
}

function formatLearn(action: LearnAction): string {
  const parts = [`table=${action.table}`, `priority=${action.priority}`];
  if (action.idleTimeoutS !== undefined) parts.push(`idle_timeout=${action.idleTimeoutS}`);
  if (action.hardTimeoutS !== undefined) parts.push(`hard_timeout=${action.hardTimeoutS}`);
  if (action.finIdleTimeoutS !== undefined) parts.push(`fin_idle_timeout=${action.finIdleTimeoutS}`);
  if (action.finHardTimeoutS !== undefined) parts.push(`fin_hard_timeout=${action.finHardTimeoutS}`);
  if (action.cookie !== 0n) parts.push(`cookie=0x${action.cookie.toString(16)}`);
  if ((action.flags ?? 0) & 1) parts.push("send_flow_rem");
  if ((action.flags ?? 0) & 2) parts.push("delete_learned");
  return `learn(${[...parts, ...action.specs.map(formatSpec)].join(",")})`;
}

function formatSpec(spec: LearnSpec): string {
  if (spec.kind === "output") return `output:${formatBits(spec.src)}`;
  const src = typeof spec.src === "bigint" ? `0x${spec.src.toString(16)}` : formatBits(spec.src);
  return spec.kind === "load" ? `load:${src}->${formatBits(spec.dst)}` : `${formatBits(spec.dst)}=${src}`;
}
