import { checked } from "./action-wire.ts";
import { createWriter, getU8, getU16, getU64, putU8, putU16, putU64, readerOf } from "./bytes.ts";
import type { Flow } from "./flow.ts";
import { getInstructions, putInstructions } from "./instruction-codec.ts";
import { getMatch, putMatch } from "./match-codec.ts";

declare const deedBrand: unique symbol;

/** What a flow does: cookie, timeouts, flags, importance and instructions in wire form, as text of one byte per character. */
export type FlowDeed = string & { readonly [deedBrand]: true };

/**
 * A flow in wire form: a tenth of the memory of a Flow, and nothing more is to be done before it is sent or compared. Two flows are
 * the same one for the switch when their keys are equal, and do the same when their deeds are.
 */
export interface PackedFlow {
  /** Table (1 byte), priority (2) and match in canonical form, one byte per character. */
  readonly key: string;
  readonly deed: FlowDeed;
}

/** Where the parts of a packed flow begin. */
export const PACKED = { priority: 1, match: 3, timeouts: 8, flags: 12, instructions: 16 } as const;

const scratch = createWriter(4096);

/** `isComplete`: its match comes from a switch, so that no prerequisite is missing in it. */
export function packFlow(flow: Flow, isComplete = false): PackedFlow {
  scratch.length = 0;
  putU8(scratch, checked(flow.table, 8, "flow table"));
  putU16(scratch, checked(flow.priority, 16, "flow priority"));
  putMatch(scratch, flow.match, isComplete);
  const keyEnd = scratch.length;
  putU64(scratch, BigInt.asUintN(64, flow.cookie));
  putU16(scratch, checked(flow.idleTimeoutS ?? 0, 16, "flow idle timeout"));
  putU16(scratch, checked(flow.hardTimeoutS ?? 0, 16, "flow hard timeout"));
  putU16(scratch, checked(flow.flags ?? 0, 16, "flow flags"));
  putU16(scratch, checked(flow.importance ?? 0, 16, "flow importance"));
  putInstructions(scratch, flow);
  const { buffer, length } = scratch;
  return { key: buffer.toString("latin1", 0, keyEnd), deed: buffer.toString("latin1", keyEnd, length) as FlowDeed };
}

/** The flow as a value, with all that its match presupposes. */
export function unpackFlow({ key, deed }: PackedFlow): Flow {
  const { table, priority, match } = unpackKey(key);
  const reader = readerOf(Buffer.from(deed, "latin1"));
  const cookie = getU64(reader);
  const [idleTimeoutS, hardTimeoutS, flags, importance] = [
    getU16(reader),
    getU16(reader),
    getU16(reader),
    getU16(reader),
  ];
  return {
    ...{ table, priority, cookie, match, ...getInstructions(reader) },
    ...(idleTimeoutS !== 0 && { idleTimeoutS }),
    ...(hardTimeoutS !== 0 && { hardTimeoutS }),
    ...(importance !== 0 && { importance }),
    ...(flags !== 0 && { flags }),
  };
}

export function tableOf(key: string): number {
  return key.charCodeAt(0);
}

export function unpackKey(key: string): Pick<Flow, "table" | "priority" | "match"> {
  const reader = readerOf(Buffer.from(key, "latin1"));
  return { table: getU8(reader), priority: getU16(reader), match: getMatch(reader) };
}

/** Headers of the actions that can name a meter: "meter" (openflow-1.5.1 specification, 7.2.6.7), "controller2" (nicira-ext.h). */
const METER_ACTION = "\u0000\u001d\u0000\u0008";
const CONTROLLER_ACTION = "\u0000\u0000\u0023\u0020\u0000\u0025";

/** False for flows that certainly name no meter; almost all do not, and this costs far less than unpacking them. */
export function mayNameMeter(deed: FlowDeed): boolean {
  return deed.includes(METER_ACTION, PACKED.instructions) || deed.includes(CONTROLLER_ACTION, PACKED.instructions);
}
