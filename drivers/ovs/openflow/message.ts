import { NetError } from "../../../state/errors.ts";
import { patchU16, putU8, putU16, putU32, type Reader, type Writer } from "./bytes.ts";

/** OpenFlow 1.5 (docs/decisions/openflow-version.md). */
export const OFP_VERSION = 6;
export const HEADER_BYTES = 8;
/** Length is a 16-bit field. */
export const MAX_MESSAGE_BYTES = 0xffff;

/** openflow-1.5.1 specification, 7.1.1 (enum ofp_type). */
export const OFPT = {
  hello: 0,
  error: 1,
  echoRequest: 2,
  echoReply: 3,
  experimenter: 4,
  featuresRequest: 5,
  featuresReply: 6,
  getConfigRequest: 7,
  getConfigReply: 8,
  setConfig: 9,
  packetIn: 10,
  packetOut: 13,
  flowMod: 14,
  groupMod: 15,
  portMod: 16,
  multipartRequest: 18,
  multipartReply: 19,
  barrierRequest: 20,
  barrierReply: 21,
  meterMod: 29,
  bundleControl: 33,
  bundleAdd: 34,
} as const;

/** A message as it arrived, header taken apart; `body` stands behind the header. */
export interface Message {
  readonly version: number;
  readonly type: number;
  readonly xid: number;
  readonly body: Reader;
}

/** Writes a message's body; the header goes around it. */
export type PutBody = (writer: Writer) => void;

/** Writes one whole message (struct ofp_header of openflow-common.h and body). */
export function putMessage(writer: Writer, type: number, xid: number, putBody?: PutBody): void {
  const start = writer.length;
  putU8(writer, OFP_VERSION);
  putU8(writer, type);
  putU16(writer, 0);
  putU32(writer, xid);
  putBody?.(writer);
  const length = writer.length - start;
  if (length > MAX_MESSAGE_BYTES) {
    writer.length = start;
    throw new NetError(
      "INVALID",
      `Cannot encode an OpenFlow message of ${length} bytes: ${MAX_MESSAGE_BYTES} is the most`,
    );
  }
  patchU16(writer, start + 2, length);
}
