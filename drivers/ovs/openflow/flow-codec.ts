import { NetError } from "../../../state/errors.ts";
import { getActions } from "./action-decode.ts";
import { putActions } from "./action-encode.ts";
import { checked } from "./action-wire.ts";
import {
  createWriter,
  getDurationMs,
  getU8,
  getU16,
  getU32,
  getU64,
  nested,
  patchU16,
  protocolError,
  putBytes,
  putU8,
  putU16,
  putU32,
  putU64,
  putZeros,
  type Reader,
  remaining,
  skip,
  skipPadTo8,
  type Writer,
  written,
} from "./bytes.ts";
import type { Flow, FlowFilter, FlowMod, FlowStats } from "./flow.ts";
import { getMatch, putMatch } from "./match-codec.ts";
import { portNumber } from "./port-number.ts";

/** openflow-1.0.h and openflow-1.1.h, enum ofp_flow_mod_command. */
const COMMAND = { add: 0, modifyStrict: 2, delete: 3, deleteStrict: 4 } as const;
/** openflow-1.1.h, enum ofp11_instruction_type. */
const INSTRUCTION = { goto: 1, apply: 4 } as const;
const ALL_TABLES = 0xff;
const NO_BUFFER = 0xffffffff;
const ANY = 0xffffffff;
const ALL_BITS = 0xffff_ffff_ffff_ffffn;

/** Body of a flow-mod up to its match: cookie, mask, table, command, timeouts, priority, buffer, out, flags, importance. */
const FIXED_BYTES = 40;
const COMMAND_AT = 17;

/** A flow in wire form, made once per Flow object: the body of its "add". */
export interface EncodedFlow {
  readonly body: Buffer;
  /** Where the match ends and the instructions begin. */
  readonly matchEnd: number;
  /** Table, priority and match as text of one byte per character. */
  readonly key: string;
}

const cache = new WeakMap<Flow, EncodedFlow>();
const scratch = createWriter(4096);

/**
 * Wire form of a flow; remembered as long as the (immutable) object lives. `isComplete`: its match comes from a switch, so that
 * nothing is missing in it.
 */
export function encodeFlow(flow: Flow, isComplete = false): EncodedFlow {
  const known = cache.get(flow);
  if (known !== undefined) return known;
  scratch.length = 0;
  putFixed(scratch, COMMAND.add, flow);
  putMatch(scratch, flow.match, isComplete);
  const matchEnd = scratch.length;
  putInstructions(scratch, flow);
  const body = written(scratch);
  const encoded = { body, matchEnd, key: keyOf(body, matchEnd) };
  cache.set(flow, encoded);
  return encoded;
}

function keyOf(body: Buffer, matchEnd: number): string {
  const priority = body.readUInt16BE(22);
  return (
    String.fromCharCode(body[16] ?? 0, priority >> 8, priority & 0xff) + body.toString("latin1", FIXED_BYTES, matchEnd)
  );
}

interface FixedPart extends FlowFilter {
  readonly priority?: number;
  readonly idleTimeoutS?: number;
  readonly hardTimeoutS?: number;
  readonly flags?: number;
  readonly importance?: number;
}

/** openflow-1.1.h, struct ofp11_flow_mod (with importance, openflow-1.4). */
function putFixed(writer: Writer, command: number, part: FixedPart): void {
  putU64(writer, BigInt.asUintN(64, part.cookie ?? 0n));
  putU64(writer, part.cookieMask ?? 0n);
  putU8(writer, checked(part.table ?? ALL_TABLES, 8, "flow table"));
  putU8(writer, command);
  putU16(writer, checked(part.idleTimeoutS ?? 0, 16, "flow idle timeout"));
  putU16(writer, checked(part.hardTimeoutS ?? 0, 16, "flow hard timeout"));
  putU16(writer, checked(part.priority ?? 0, 16, "flow priority"));
  putU32(writer, NO_BUFFER);
  putU32(writer, portNumber(part.outPort ?? "none"));
  putU32(writer, part.outGroup ?? ANY);
  putU16(writer, checked(part.flags ?? 0, 16, "flow flags"));
  putU16(writer, checked(part.importance ?? 0, 16, "flow importance"));
}

/** openflow-1.1.h, struct ofp11_instruction_*; a meter is the first action, as OpenFlow 1.5 has it. */
function putInstructions(writer: Writer, flow: Flow): void {
  if (flow.actions.length > 0 || flow.meter !== undefined) {
    const start = writer.length;
    putU16(writer, INSTRUCTION.apply);
    putU16(writer, 0);
    putZeros(writer, 4);
    if (flow.meter !== undefined) putActions(writer, [{ kind: "meter", meter: flow.meter }]);
    putActions(writer, flow.actions);
    patchU16(writer, start + 2, writer.length - start);
  }
  if (flow.unknownInstructions !== undefined) putBytes(writer, Buffer.from(flow.unknownInstructions, "hex"));
  if (flow.goto === undefined) return;
  putU16(writer, INSTRUCTION.goto);
  putU16(writer, 8);
  putU8(writer, checked(flow.goto, 8, "goto table"));
  putZeros(writer, 3);
}

/** Body of a flow-mod message. */
export function putFlowMod(writer: Writer, mod: FlowMod): void {
  switch (mod.kind) {
    case "flow-add":
      putBytes(writer, encodeFlow(mod.flow).body);
      return;
    case "flow-modify-strict": {
      const start = writer.length;
      putBytes(writer, encodeFlow(mod.flow).body);
      writer.buffer[start + COMMAND_AT] = COMMAND.modifyStrict;
      return;
    }
    case "flow-delete-strict":
      checkCookie(mod);
      putFixed(writer, COMMAND.deleteStrict, { ...cookieOf(mod), table: mod.flow.table, priority: mod.flow.priority });
      putMatch(writer, mod.flow.match);
      return;
    case "flow-delete":
      checkCookie(mod.filter);
      putFixed(writer, COMMAND.delete, { ...mod.filter, ...cookieOf(mod.filter) });
      putMatch(writer, mod.filter.match ?? {});
      return;
  }
}

interface CookieFilter {
  readonly cookie?: bigint;
  readonly cookieMask?: bigint;
}

function cookieOf(filter: CookieFilter): CookieFilter {
  if (filter.cookie === undefined) return {};
  return { cookie: filter.cookie, cookieMask: filter.cookieMask ?? ALL_BITS };
}

function checkCookie(filter: CookieFilter): void {
  if (filter.cookieMask === undefined || filter.cookie !== undefined) return;
  throw new NetError("INVALID", "Cannot filter flows by cookieMask without cookie", { field: "cookie" });
}

/** openflow-1.1.h, struct ofp11_flow_stats_request: body of the multipart requests for flows. */
export function putFlowFilter(writer: Writer, filter: FlowFilter): void {
  checkCookie(filter);
  const { cookie = 0n, cookieMask = 0n } = cookieOf(filter);
  putU8(writer, checked(filter.table ?? ALL_TABLES, 8, "flow table"));
  putZeros(writer, 3);
  putU32(writer, portNumber(filter.outPort ?? "none"));
  putU32(writer, filter.outGroup ?? ANY);
  putZeros(writer, 4);
  putU64(writer, BigInt.asUintN(64, cookie));
  putU64(writer, BigInt.asUintN(64, cookieMask));
  putMatch(writer, filter.match ?? {});
}

/** One entry of a flow description reply (openflow-1.5.h, struct ofp15_flow_desc). */
export function getFlowStats(reader: Reader): FlowStats {
  const length = getU16(reader);
  if (length < 24) throw protocolError(`flow entry of length ${length}`);
  const entry = nested(reader, length - 2);
  skip(entry, 2);
  const table = getU8(entry);
  skip(entry, 1);
  const priority = getU16(entry);
  const idle = getU16(entry);
  const hard = getU16(entry);
  const flags = getU16(entry);
  const importance = getU16(entry);
  const cookie = getU64(entry);
  const match = getMatch(entry);
  const counters = getCounters(entry);
  const flow: Flow = {
    table,
    priority,
    cookie,
    match,
    ...getInstructions(entry),
    ...(idle !== 0 && { idleTimeoutS: idle }),
    ...(hard !== 0 && { hardTimeoutS: hard }),
    ...(importance !== 0 && { importance }),
    ...(flags !== 0 && { flags }),
  };
  return { flow, ...counters };
}

/** openflow-1.5.h, enum oxs_ofb_stat_fields, class 0x8002: counters as TLVs. */
const OXS = { duration: 0x80020008, idle: 0x80020208, packets: 0x80020808, bytes: 0x80020a08 } as const;

/** The counters of a flow description. */
export function getCounters(entry: Reader): Omit<FlowStats, "flow"> {
  const start = entry.offset;
  skip(entry, 2);
  const length = getU16(entry);
  if (length < 4) throw protocolError(`flow counters of length ${length}`);
  const reader = nested(entry, length - 4);
  skipPadTo8(entry, start);
  const counters = { packetCount: 0n, byteCount: 0n, durationMs: 0, idleMs: 0 };
  while (remaining(reader) > 0) {
    const header = getU32(reader);
    if (header === OXS.packets) counters.packetCount = getU64(reader);
    else if (header === OXS.bytes) counters.byteCount = getU64(reader);
    else if (header === OXS.duration) counters.durationMs = getDurationMs(reader);
    else if (header === OXS.idle) counters.idleMs = getDurationMs(reader);
    else skip(reader, header & 0xff);
  }
  return counters;
}

type Instructions = Pick<Flow, "actions" | "goto" | "meter" | "unknownInstructions">;

function getInstructions(reader: Reader): Instructions {
  let result: Instructions = { actions: [] };
  while (remaining(reader) > 0) {
    const start = reader.offset;
    const type = getU16(reader);
    const length = getU16(reader);
    if (length < 8 || length % 8 !== 0) throw protocolError(`instruction of type ${type} has length ${length}`);
    const body = nested(reader, length - 4);
    if (type === INSTRUCTION.apply) {
      skip(body, 4);
      result = { ...result, ...splitMeter(getActions(body)) };
    } else if (type === INSTRUCTION.goto) {
      result = { ...result, goto: getU8(body) };
    } else {
      const hex = reader.buffer.toString("hex", start, reader.offset);
      result = { ...result, unknownInstructions: (result.unknownInstructions ?? "") + hex };
    }
  }
  return result;
}

function splitMeter(actions: readonly Flow["actions"][number][]): Instructions {
  const [first, ...rest] = actions;
  return first?.kind === "meter" ? { meter: first.meter, actions: rest } : { actions };
}

/** Bytes of the fixed part that say what a flow does rather than which it is: cookie, timeouts, flags, importance. */
export function sameInstructions(a: EncodedFlow, b: EncodedFlow): boolean {
  if (a.body.compare(b.body, 0, 8, 0, 8) !== 0) return false;
  if (a.body.compare(b.body, 18, 22, 18, 22) !== 0) return false;
  if (a.body.compare(b.body, 36, FIXED_BYTES, 36, FIXED_BYTES) !== 0) return false;
  return a.body.compare(b.body, b.matchEnd, b.body.length, a.matchEnd, a.body.length) === 0;
}
