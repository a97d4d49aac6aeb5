import type { Action, Bits, CtAction } from "../../drivers/ovs/openflow/action.ts";
import { type RawValue, rawOf } from "../../drivers/ovs/openflow/field-value.ts";
import { fieldByName } from "../../drivers/ovs/openflow/fields.ts";
import type { Flow } from "../../drivers/ovs/openflow/flow.ts";
import type { Match } from "../../drivers/ovs/openflow/match.ts";
import { completeMatch } from "../../drivers/ovs/openflow/match-entries.ts";
import {
  CtState,
  type SimulatedConntrack,
  simulateConntrack,
  type Tracked,
  type Tracking,
  type Tuple,
} from "./simulated-conntrack.ts";

/**
 * Walks packets through flow tables, without any switch: matching by priority, registers, conntrack with recirculation. It knows the
 * actions that netplugin writes and throws at others.
 */
export interface FlowSimulator {
  /** Takes other flows; connections stay. */
  load(flows: Iterable<Flow>): void;
  /** What becomes of a packet: one entry per copy that leaves. */
  send(packet: SimulatedPacket): Sent[];
  /** What the controller has been sent since it was asked the last time. */
  takeSamples(): readonly Sample[];
  readonly conntrack: SimulatedConntrack;
}

/** A packet that an action sends to the controller. */
export interface Sample {
  readonly note: Uint8Array;
  readonly fields: ReadonlyMap<string, bigint>;
}

/** A packet: every field has one value. */
export interface SimulatedPacket {
  readonly fields: Match;
  /** Of the whole frame; a short one when absent. */
  readonly lengthBytes?: number;
  /** Of an ICMP error: the packet that it is about. */
  readonly about?: SimulatedPacket;
}

export interface Sent {
  readonly port: number;
  /** How often it went through conntrack. */
  readonly ctCount: number;
  /** Meters that it passed, in order; none of them drops here. */
  readonly meters: readonly number[];
  readonly fields: ReadonlyMap<string, bigint>;
}

interface CompiledFlow {
  readonly priority: number;
  readonly tests: readonly { readonly field: string; readonly value: bigint; readonly mask: bigint }[];
  readonly flow: Flow;
}

type Tables = ReadonlyMap<number, readonly CompiledFlow[]>;

interface Walk {
  readonly tables: Tables;
  readonly conntrack: SimulatedConntrack;
  readonly packet: SimulatedPacket;
  readonly sent: Sent[];
  readonly samples: Sample[];
  fields: Map<string, bigint>;
  depth: number;
  ctCount: number;
  meters: readonly number[];
}

/** OFPP_IN_PORT (openflow-1.1.h). */
const IN_PORT = 0xfffffff8n;
/** Open vSwitch gives up at 4096 resubmits; our longest way is far below this. */
const DEPTH_MAX = 500;

export function simulateFlows(flows: Iterable<Flow>): FlowSimulator {
  const conntrack = simulateConntrack();
  let tables = compileTables(flows);
  let samples: Sample[] = [];
  return {
    conntrack,
    load: (next) => {
      tables = compileTables(next);
    },
    send: (packet) => {
      const sent: Sent[] = [];
      const walk: Walk = {
        ...{ tables, conntrack, packet, sent, samples, depth: 0, ctCount: 0, meters: [] },
        fields: fieldsOf(packet.fields),
      };
      enter(walk, 0);
      return sent;
    },
    takeSamples: () => {
      const taken = samples;
      samples = [];
      return taken;
    },
  };
}

function compileTables(flows: Iterable<Flow>): Tables {
  const tables = new Map<number, CompiledFlow[]>();
  for (const flow of flows) {
    const table = tables.get(flow.table) ?? [];
    tables.set(flow.table, table);
    table.push(compileFlow(flow));
  }
  for (const table of tables.values()) table.sort((left, right) => right.priority - left.priority);
  return tables;
}

function compileFlow(flow: Flow): CompiledFlow {
  const tests = Object.entries(completeMatch(flow.match)).map(([field, given]) => ({ field, ...bitsOf(field, given) }));
  return { priority: flow.priority, tests, flow };
}

function bitsOf(field: string, given: unknown): { readonly value: bigint; readonly mask: bigint } {
  const spec = fieldByName(field);
  if (spec === undefined) throw new Error(`There is no field "${field}"`);
  const { value, mask } = rawOf(spec, given);
  const all = (1n << BigInt(spec.bytes * 8)) - 1n;
  return { value: numberOf(value), mask: mask === undefined ? all : numberOf(mask) };
}

function numberOf(raw: RawValue): bigint {
  return Buffer.isBuffer(raw) ? BigInt(`0x${raw.toString("hex")}`) : BigInt(raw);
}

function fieldsOf(match: Match): Map<string, bigint> {
  return new Map(Object.entries(match).map(([field, given]) => [field, bitsOf(field, given).value]));
}

/** Fields that every packet has, without their being given: registers, marks, an absent tag. */
function read(fields: ReadonlyMap<string, bigint>, field: string): bigint {
  const wide = /^xreg(\d)$/.exec(field);
  if (wide === null) return fields.get(field) ?? 0n;
  const first = Number(wide[1]) * 2;
  return (read(fields, `reg${first}`) << 32n) | read(fields, `reg${first + 1}`);
}

function write(fields: Map<string, bigint>, field: string, value: bigint): void {
  const wide = /^xreg(\d)$/.exec(field);
  if (wide === null) {
    fields.set(field, value);
    return;
  }
  const first = Number(wide[1]) * 2;
  fields.set(`reg${first}`, value >> 32n);
  fields.set(`reg${first + 1}`, value & 0xffffffffn);
}

/** Protocol fields exist only in packets of that protocol, even where a flow asks for value 0. */
const ALWAYS_THERE =
  /^(reg\d+|metadata|pktMark|ctState|ctZone|ctMark|ctLabel|vlanVid|tunId|tunSrc|tunDst|ipFrag|tcpFlags)$/;

function matches({ tests }: CompiledFlow, fields: ReadonlyMap<string, bigint>): boolean {
  return tests.every(({ field, value, mask }) => {
    if (!fields.has(field) && !ALWAYS_THERE.test(field)) return false;
    return (read(fields, field) & mask) === (value & mask);
  });
}

function enter(walk: Walk, table: number): void {
  walk.depth += 1;
  if (walk.depth > DEPTH_MAX) throw new Error("The flows lead a packet in circles");
  const found = walk.tables.get(table)?.find((flow) => matches(flow, walk.fields));
  if (found === undefined) return;
  if (found.flow.meter !== undefined) act(walk, { kind: "meter", meter: found.flow.meter });
  for (const action of found.flow.actions) act(walk, action);
  if (found.flow.goto !== undefined) enter(walk, found.flow.goto);
}

function act(walk: Walk, action: Action): void {
  const { fields } = walk;
  switch (action.kind) {
    case "output":
      emit(walk, bitsOf("inPort", action.port).value);
      break;
    case "outputField":
      emit(walk, readBits(fields, action.src));
      break;
    case "setField": {
      const bits = bitsOf(
        action.field,
        action.mask === undefined ? action.value : { value: action.value, mask: action.mask },
      );
      write(fields, action.field, (read(fields, action.field) & ~bits.mask) | (bits.value & bits.mask));
      break;
    }
    case "move":
      writeBits(fields, action.dst, readBits(fields, action.src));
      break;
    case "popVlan":
      fields.set("vlanVid", 0n);
      break;
    case "pushVlan":
      fields.set("vlanVid", 0x1000n);
      break;
    case "checkPktLarger":
      writeBits(fields, action.dst, (walk.packet.lengthBytes ?? 0) > action.lengthBytes ? 1n : 0n);
      break;
    case "decTtl":
      break;
    case "resubmit":
      enter(walk, action.table ?? 0);
      break;
    case "meter":
      walk.meters = [...walk.meters, action.meter];
      break;
    case "clone":
      onCopy(walk, action.actions);
      break;
    case "ct":
      track(walk, action);
      break;
    case "controller":
      walk.samples.push({ note: action.userdata ?? new Uint8Array(), fields: new Map(fields) });
      break;
    default:
      throw new Error(`The simulator does not know the action "${action.kind}"`);
  }
}

/** What the list does to the copy, and what drops it, is nothing to the packet itself. */
function onCopy(walk: Walk, actions: readonly Action[]): void {
  const { fields, meters } = walk;
  walk.fields = new Map(fields);
  for (const action of actions) act(walk, action);
  walk.fields = fields;
  walk.meters = meters;
}

function emit({ sent, fields, ctCount, meters }: Walk, port: bigint): void {
  const inPort = read(fields, "inPort");
  if (port === inPort) return;
  sent.push({ port: Number(port === IN_PORT ? inPort : port), ctCount, meters, fields: new Map(fields) });
}

function spanOf({ field, startBit = 0, bitCount }: Bits): { readonly shift: bigint; readonly mask: bigint } {
  const width = bitCount ?? (fieldByName(field)?.bits ?? 32) - startBit;
  return { shift: BigInt(startBit), mask: (1n << BigInt(width)) - 1n };
}

function readBits(fields: ReadonlyMap<string, bigint>, bits: Bits): bigint {
  const { shift, mask } = spanOf(bits);
  return (read(fields, bits.field) >> shift) & mask;
}

function writeBits(fields: Map<string, bigint>, bits: Bits, value: bigint): void {
  const { shift, mask } = spanOf(bits);
  write(fields, bits.field, (read(fields, bits.field) & ~(mask << shift)) | ((value & mask) << shift));
}

function track(walk: Walk, action: CtAction): void {
  if (read(walk.fields, "ipFrag") !== 0n) throw new Error("A fragment must not meet conntrack");
  const { zone = 0 } = action;
  const zoneNumber = typeof zone === "number" ? zone : Number(readBits(walk.fields, zone));
  const packet = trackedOf(walk);
  walk.ctCount += 1;
  if (action.commit === true) walk.conntrack.commit(zoneNumber, packet, (mark) => markAfter(action, mark));
  if (action.table === undefined) return;
  const { state, mark, orig } = walk.conntrack.track(zoneNumber, packet);
  const before = walk.fields;
  walk.fields = new Map(before);
  for (const [field, value] of Object.entries({
    ctState: state,
    ctMark: mark,
    ctZone: zoneNumber,
    ...originalTuple(walk.fields, { state, orig }),
  })) {
    walk.fields.set(field, BigInt(value));
  }
  enter(walk, action.table);
  walk.fields = before;
}

/**
 * The ends of the connection as actions see them: of IPv4 in 32 bits, of IPv6 in 128. A packet that is only related shows none
 * (lib/flow.h, is_ct_valid); matches would see them even then, but ours do not look.
 */
function originalTuple(
  fields: ReadonlyMap<string, bigint>,
  { state, orig }: Pick<Tracking, "state" | "orig">,
): Record<string, bigint | number> {
  if (orig === undefined || (state & (CtState.new | CtState.est | CtState.rpl)) === 0) return {};
  const [src, dst] = fields.has("ipv4Src") ? ["ctNwSrc", "ctNwDst"] : ["ctIpv6Src", "ctIpv6Dst"];
  return { [src as string]: orig.src, [dst as string]: orig.dst, ctTpDst: orig.dstPort };
}

function markAfter({ exec = [] }: CtAction, mark: number): number {
  const fields = new Map([["ctMark", BigInt(mark)]]);
  for (const action of exec) {
    if (action.kind !== "setField" || action.field !== "ctMark") throw new Error(`ct cannot "${action.kind}" here`);
    const bits = bitsOf("ctMark", { value: action.value, mask: action.mask ?? 0xffffffff });
    fields.set("ctMark", (read(fields, "ctMark") & ~bits.mask) | (bits.value & bits.mask));
  }
  return Number(read(fields, "ctMark"));
}

function trackedOf({ packet, fields }: Walk): Tracked {
  const about = packet.about === undefined ? undefined : tupleOf(fieldsOf(packet.about.fields));
  return { tuple: tupleOf(fields), tcpFlags: Number(read(fields, "tcpFlags")), about };
}

function tupleOf(fields: ReadonlyMap<string, bigint>): Tuple {
  const first = (...names: readonly string[]) =>
    names.map((name) => fields.get(name)).find((value) => value !== undefined) ?? 0n;
  return {
    protocol: Number(first("ipProto")),
    src: first("ipv4Src", "ipv6Src"),
    dst: first("ipv4Dst", "ipv6Dst"),
    srcPort: Number(first("tcpSrc", "udpSrc")),
    dstPort: Number(first("tcpDst", "udpDst")),
  };
}
