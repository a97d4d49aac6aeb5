import {
  getU16,
  nested,
  padTo8,
  patchU16,
  protocolError,
  putBytes,
  putU16,
  type Reader,
  remaining,
  skipPadTo8,
  type Writer,
} from "./bytes.ts";
import { fieldFromBytes, rawOf } from "./field-value.ts";
import { fieldByCode } from "./fields.ts";
import type { Match } from "./match.ts";
import { checkMatch, plannedValue, planOf } from "./match-entries.ts";
import { fitsField, getOxm, isFullMask, putOxm, type Tlv } from "./oxm.ts";

/** openflow-1.1.h, OFPMT_OXM. */
const OXM_MATCH_TYPE = 1;
/** OXM_OF_PKT_REG<n>: how Open vSwitch tells the registers 2n (upper half) and 2n + 1 in OpenFlow 1.5 (nx-match.c, nx_put_raw). */
const PKT_REG_CLASS = 0x8001;

/** A match under construction: any field, not yet complete. */
type Draft = Record<string, unknown>;

/** Writes the fields in canonical order, prerequisites included (unless they are known to be there), without header or padding. */
export function putMatchFields(writer: Writer, match: Match, isComplete = false): void {
  const plan = planOf(match);
  if (!isComplete) checkMatch(match, plan);
  const fields = isComplete ? plan.given : plan.complete;
  for (const field of fields) putOxm(writer, field.spec, rawOf(field.spec, plannedValue(match, field)));
  if (match.unknown !== undefined) putBytes(writer, Buffer.from(match.unknown, "hex"));
}

/** struct ofp11_match_header, OXM fields, padding to 8 bytes (openflow-1.1.h). */
export function putMatch(writer: Writer, match: Match, isComplete = false): void {
  const start = writer.length;
  putU16(writer, OXM_MATCH_TYPE);
  putU16(writer, 0);
  putMatchFields(writer, match, isComplete);
  patchU16(writer, start + 2, writer.length - start);
  padTo8(writer, start);
}

export function getMatch(reader: Reader): Match {
  const start = reader.offset;
  const type = getU16(reader);
  const length = getU16(reader);
  if (type !== OXM_MATCH_TYPE || length < 4) throw protocolError(`match of type ${type} and length ${length}`);
  const match = getMatchFields(nested(reader, length - 4));
  skipPadTo8(reader, start);
  return match;
}

export function getMatchFields(reader: Reader): Match {
  const draft: Draft = {};
  while (remaining(reader) > 0) {
    const start = reader.offset;
    const tlv = getOxm(reader);
    if (!addKnown(draft, tlv)) addUnknown(draft, reader.buffer.subarray(start, reader.offset));
  }
  return draft;
}

function addUnknown(draft: Draft, bytes: Buffer): void {
  draft.unknown = (typeof draft.unknown === "string" ? draft.unknown : "") + bytes.toString("hex");
}

function addKnown(draft: Draft, tlv: Tlv): boolean {
  const spec = fieldByCode(tlv.code);
  if (spec === undefined || tlv.value.length !== spec.bytes) return false;
  if (tlv.code >>> 7 === PKT_REG_CLASS) {
    addRegister(draft, (tlv.code & 0x7f) * 2, tlv, 0);
    addRegister(draft, (tlv.code & 0x7f) * 2 + 1, tlv, 4);
    return true;
  }
  if (spec.isForActions) return false;
  if (tlv.mask?.every((byte) => byte === 0)) return true;
  const mask = tlv.mask === undefined || isFullMask(spec, tlv.mask) ? undefined : tlv.mask;
  if (!fitsField(spec, tlv.value) || (mask !== undefined && !(spec.maskable && fitsField(spec, mask)))) return false;
  put(draft, spec.name, fieldFromBytes(spec, tlv.value, mask));
  return true;
}

function addRegister(draft: Draft, index: number, tlv: Tlv, at: number): void {
  const value = tlv.value.readUInt32BE(at);
  const mask = tlv.mask?.readUInt32BE(at) ?? 0xffffffff;
  if (mask !== 0) put(draft, `reg${index}`, mask === 0xffffffff ? value : { value, mask });
}

function put(draft: Draft, name: string, value: unknown): void {
  if (draft[name] !== undefined) throw protocolError(`field ${name} appears twice`);
  draft[name] = value;
}
