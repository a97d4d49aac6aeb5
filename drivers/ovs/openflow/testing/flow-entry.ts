import { createWriter, patchU16, putBytes, putU8, putU16, putU32, putU64, type Writer, written } from "../bytes.ts";
import type { Flow } from "../flow.ts";
import { encodeFlow } from "../flow-codec.ts";

/** A flow as a switch describes it (openflow-1.5.h, struct ofp15_flow_desc), with a packet counter of 7; its match as it is. */
export function putFlowEntry(writer: Writer, flow: Flow): void {
  const { body, matchEnd } = encodeFlow({ ...flow }, true);
  const start = writer.length;
  putU16(writer, 0);
  putU16(writer, 0);
  putU8(writer, body[16] ?? 0);
  putU8(writer, 0);
  putBytes(writer, body.subarray(22, 24));
  putBytes(writer, body.subarray(18, 22));
  putBytes(writer, body.subarray(36, 40));
  putBytes(writer, body.subarray(0, 8));
  putBytes(writer, body.subarray(40, matchEnd));
  putU16(writer, 0);
  putU16(writer, 16);
  putU32(writer, 0x80020808);
  putU64(writer, 7n);
  putBytes(writer, body.subarray(matchEnd));
  patchU16(writer, start, writer.length - start);
}

export function flowEntry(flow: Flow): Buffer {
  const writer = createWriter();
  putFlowEntry(writer, flow);
  return written(writer);
}
