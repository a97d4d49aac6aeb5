import { NetError } from "../../../state/errors.ts";
import { checked } from "./action-wire.ts";
import {
  getDurationMs,
  getU8,
  getU16,
  getU32,
  getU64,
  nested,
  protocolError,
  putText,
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
} from "./bytes.ts";
import type { Flow } from "./flow.ts";
import type { FlowFilter, FlowMod, FlowStats } from "./flow-mod.ts";
import { getInstructions, putInstructions } from "./instruction-codec.ts";
import { getMatch, putMatch } from "./match-codec.ts";
import { PACKED, type PackedFlow } from "./packed-flow.ts";
import { portNumber } from "./port-number.ts";

/** openflow-1.0.h and openflow-1.1.h, enum ofp_flow_mod_command. */
const COMMAND = { add: 0, modifyStrict: 2, delete: 3, deleteStrict: 4 } as const;
const ALL_TABLES = 0xff;
const NO_BUFFER = 0xffffffff;
const ANY = 0xffffffff;
const ALL_BITS = 0xffff_ffff_ffff_ffffn;

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
  putTargets(writer, part);
  putU16(writer, checked(part.flags ?? 0, 16, "flow flags"));
  putU16(writer, checked(part.importance ?? 0, 16, "flow importance"));
}

/** No buffered packet, and what a flow must put out to be deleted. */
function putTargets(writer: Writer, { outPort, outGroup }: Pick<FlowFilter, "outPort" | "outGroup"> = {}): void {
  putU32(writer, NO_BUFFER);
  putU32(writer, portNumber(outPort ?? "none"));
  putU32(writer, outGroup ?? ANY);
}

function putAdd(writer: Writer, command: number, flow: Flow): void {
  putFixed(writer, command, flow);
  putMatch(writer, flow.match);
  putInstructions(writer, flow);
}

/** Body of a flow-mod message. */
export function putFlowMod(writer: Writer, mod: FlowMod): void {
  switch (mod.kind) {
    case "flow-add":
      putAdd(writer, COMMAND.add, mod.flow);
      return;
    case "flow-modify-strict":
      putAdd(writer, COMMAND.modifyStrict, mod.flow);
      return;
    case "flow-put":
      putPackedAdd(writer, mod);
      return;
    case "flow-drop":
      putPackedDelete(writer, mod.key);
      return;
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

/** Body of a flow-mod that adds the flow, or gives the one of this key another deed (openflow-1.1.h, struct ofp11_flow_mod). */
function putPackedAdd(writer: Writer, { key, deed }: PackedFlow): void {
  putText(writer, deed, 0, PACKED.timeouts);
  putZeros(writer, 8);
  putText(writer, key, 0, PACKED.priority);
  putU8(writer, COMMAND.add);
  putText(writer, deed, PACKED.timeouts, PACKED.flags);
  putText(writer, key, PACKED.priority, PACKED.match);
  putTargets(writer);
  putText(writer, deed, PACKED.flags, PACKED.instructions);
  putText(writer, key, PACKED.match, key.length);
  putText(writer, deed, PACKED.instructions, deed.length);
}

/** Body of a flow-mod that deletes the flow of that key, whatever it does. */
function putPackedDelete(writer: Writer, key: string): void {
  putZeros(writer, 16);
  putText(writer, key, 0, PACKED.priority);
  putU8(writer, COMMAND.deleteStrict);
  putZeros(writer, 4);
  putText(writer, key, PACKED.priority, PACKED.match);
  putTargets(writer);
  putZeros(writer, 4);
  putText(writer, key, PACKED.match, key.length);
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
