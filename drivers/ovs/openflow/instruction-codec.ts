import { getActions } from "./action-decode.ts";
import { putActions } from "./action-encode.ts";
import { checked } from "./action-wire.ts";
import {
  getU8,
  getU16,
  nested,
  patchU16,
  protocolError,
  putBytes,
  putU8,
  putU16,
  putZeros,
  type Reader,
  remaining,
  skip,
  type Writer,
} from "./bytes.ts";
import type { Flow } from "./flow.ts";

/** openflow-1.1.h, enum ofp11_instruction_type. */
const INSTRUCTION = { goto: 1, apply: 4 } as const;

/** openflow-1.1.h, struct ofp11_instruction_*; a meter is the first action, as OpenFlow 1.5 has it. */
export function putInstructions(writer: Writer, flow: Instructions): void {
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

/** What a flow does to packets. */
export type Instructions = Pick<Flow, "actions" | "goto" | "meter" | "unknownInstructions">;

export function getInstructions(reader: Reader): Instructions {
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
