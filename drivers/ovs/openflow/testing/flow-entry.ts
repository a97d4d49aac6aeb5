import { createWriter, patchU16, putText, putU16, putU32, putU64, putZeros, type Writer, written } from "../bytes.ts";
import type { Flow } from "../flow.ts";
import { PACKED, packFlow } from "../packed-flow.ts";

/** A flow as a switch describes it (openflow-1.5.h, struct ofp15_flow_desc), with a packet counter of 7; its match as it is. */
export function putFlowEntry(writer: Writer, flow: Flow): void {
  const { key, deed } = packFlow(flow, true);
  const start = writer.length;
  putZeros(writer, 4);
  putText(writer, key, 0, PACKED.priority);
  putZeros(writer, 1);
  putText(writer, key, PACKED.priority, PACKED.match);
  putText(writer, deed, PACKED.timeouts, PACKED.instructions);
  putText(writer, deed, 0, PACKED.timeouts);
  putText(writer, key, PACKED.match, key.length);
  putU16(writer, 0);
  putU16(writer, 16);
  putU32(writer, 0x80020808);
  putU64(writer, 7n);
  putText(writer, deed, PACKED.instructions, deed.length);
  patchU16(writer, start, writer.length - start);
}

export function flowEntry(flow: Flow): Buffer {
  const writer = createWriter();
  putFlowEntry(writer, flow);
  return written(writer);
}
