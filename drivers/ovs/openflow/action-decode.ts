import type { Action } from "./action.ts";
import { bitsOf, ETH_TYPE_VLAN, isWritable, NX_VENDOR, NXAST, OFPAT, THIS_TABLE, WHOLE_PACKET } from "./action-wire.ts";
import {
  getBytes,
  getU8,
  getU16,
  getU32,
  nested,
  protocolError,
  type Reader,
  readerOf,
  remaining,
  skip,
} from "./bytes.ts";
import { getController, getShortController } from "./controller-codec.ts";
import { getCt } from "./ct-codec.ts";
import { plainFromBytes } from "./field-value.ts";
import { type FieldSpec, fieldByCode } from "./fields.ts";
import { getLearn } from "./learn-codec.ts";
import { fitsField, getOxm, isFullMask } from "./oxm.ts";
import { formatPort } from "./port-number.ts";

/** Depth of ct and clone within each other beyond which a message is taken for an attack on the stack. */
const MAX_DEPTH = 16;

/** Reads actions to the end of the reader. One that this library has no name for becomes `raw`. */
export function getActions(reader: Reader, depth = 0): Action[] {
  if (depth > MAX_DEPTH) throw protocolError(`actions nested deeper than ${MAX_DEPTH}`);
  const actions: Action[] = [];
  while (remaining(reader) > 0) actions.push(getAction(reader, depth));
  return actions;
}

export function decodeActions(bytes: Uint8Array): Action[] {
  return getActions(readerOf(bytes));
}

function getAction(reader: Reader, depth: number): Action {
  const start = reader.offset;
  const type = getU16(reader);
  const length = getU16(reader);
  if (length < 8 || length % 8 !== 0) throw protocolError(`action of type ${type} has length ${length}`);
  const body = nested(reader, length - 4);
  const action = type === OFPAT.experimenter ? getExperimenter(body, depth) : getStandard(type, body);
  return action ?? { kind: "raw", bytes: Uint8Array.from(reader.buffer.subarray(start, reader.offset)) };
}

function getStandard(type: number, body: Reader): Action | undefined {
  switch (type) {
    case OFPAT.output:
      return getOutput(body);
    case OFPAT.setField:
      return getSetField(body);
    case OFPAT.copyField:
      return getMove(body);
    case OFPAT.pushVlan: {
      const ethType = getU16(body);
      return ethType === ETH_TYPE_VLAN ? { kind: "pushVlan" } : { kind: "pushVlan", ethType };
    }
    case OFPAT.popVlan:
      return { kind: "popVlan" };
    case OFPAT.decNwTtl:
      return { kind: "decTtl" };
    case OFPAT.group:
      return { kind: "group", group: getU32(body) };
    case OFPAT.meter:
      return { kind: "meter", meter: getU32(body) };
    case OFPAT.setQueue:
      return { kind: "setQueue", queue: getU32(body) };
    default:
      return undefined;
  }
}

function getExperimenter(body: Reader, depth: number): Action | undefined {
  if (getU32(body) !== NX_VENDOR) return undefined;
  const subtype = getU16(body);
  switch (subtype) {
    case NXAST.resubmit:
      return getResubmit(getU16(body), THIS_TABLE);
    case NXAST.resubmitTable:
      return getResubmit(getU16(body), getU8(body));
    case NXAST.outputReg:
      return getOutputField(body);
    case NXAST.ct:
      return getCt(body, (inner) => getActions(inner, depth + 1));
    case NXAST.ctClear:
      return { kind: "ctClear" };
    case NXAST.conjunction:
      return { kind: "conjunction", clause: getU8(body) + 1, clauseCount: getU8(body), id: getU32(body) };
    case NXAST.controller:
      return getShortController(body);
    case NXAST.controller2:
      return getController(body);
    case NXAST.note:
      return getNote(body);
    case NXAST.learn:
      return getLearn(body);
    case NXAST.sample:
      return getSample(body);
    case NXAST.clone:
      skip(body, 6);
      return { kind: "clone", actions: getActions(body, depth + 1) };
    case NXAST.checkPktLarger:
      return getCheckPktLarger(body);
    case NXAST.stackPush:
    case NXAST.stackPop:
      return getStack(subtype === NXAST.stackPush ? "push" : "pop", body);
    default:
      return undefined;
  }
}

function getOutput(body: Reader): Action {
  const port = formatPort(getU32(body));
  const maxLenBytes = getU16(body);
  const isDefault = maxLenBytes === (port === "controller" ? WHOLE_PACKET : 0);
  return isDefault ? { kind: "output", port } : { kind: "output", port, maxLenBytes };
}

function getSetField(body: Reader): Action | undefined {
  const tlv = getOxm(body);
  const spec = fieldByCode(tlv.code);
  if (spec === undefined || tlv.value.length !== spec.bytes || !spec.writable) return undefined;
  if (spec.kind !== "vlan" && !fitsField(spec, tlv.value)) return undefined;
  if (tlv.mask !== undefined && !isWritableMask(spec, tlv.mask)) return undefined;
  const isWhole = tlv.mask === undefined || isFullMask(spec, tlv.mask);
  const value = plainFromBytes(spec, tlv.value, !isWhole);
  if (tlv.mask === undefined || isWhole) return { kind: "setField", field: spec.name, value };
  return { kind: "setField", field: spec.name, value, mask: plainFromBytes(spec, tlv.mask, true) };
}

/** `putSetField` writes no mask of zeros, which sets nothing, and none beyond the field. */
function isWritableMask(spec: FieldSpec, mask: Buffer): boolean {
  if (isFullMask(spec, mask)) return true;
  return mask.some((byte) => byte !== 0) && fitsField(spec, mask);
}

function getMove(body: Reader): Action | undefined {
  const bitCount = getU16(body);
  const srcStart = getU16(body);
  const dstStart = getU16(body);
  skip(body, 2);
  const src = bitsOf(getU32(body), srcStart, bitCount);
  const dst = bitsOf(getU32(body), dstStart, bitCount);
  return src && dst && isWritable(dst) ? { kind: "move", src, dst } : undefined;
}

function getResubmit(port16: number, table: number): Action {
  const inPort = formatPort(port16 >= 0xff00 ? (port16 | 0xffff0000) >>> 0 : port16);
  return {
    kind: "resubmit",
    ...(table !== THIS_TABLE && { table }),
    ...(inPort !== "in_port" && { inPort }),
  };
}

function getOutputField(body: Reader): Action | undefined {
  const packed = getU16(body);
  const src = bitsOf(getU32(body), packed >> 6, (packed & 0x3f) + 1);
  const maxLenBytes = getU16(body);
  return src && { kind: "outputField", src, ...(maxLenBytes !== WHOLE_PACKET && { maxLenBytes }) };
}

function getCheckPktLarger(body: Reader): Action | undefined {
  const lengthBytes = getU16(body);
  const startBit = getU16(body);
  const dst = bitsOf(getU32(body), startBit, 1);
  return dst && isWritable(dst) ? { kind: "checkPktLarger", lengthBytes, dst } : undefined;
}

function getNote(body: Reader): Action {
  const bytes = getBytes(body, remaining(body));
  let length = bytes.length;
  while (length > 0 && bytes[length - 1] === 0) length--;
  return { kind: "note", data: Uint8Array.from(bytes.subarray(0, length)) };
}

function getSample(body: Reader): Action {
  const probability = getU16(body);
  const collectorSet = getU32(body);
  const observationDomain = getU32(body);
  return { kind: "sample", probability, collectorSet, observationDomain, observationPoint: getU32(body) };
}

function getStack(kind: "push" | "pop", body: Reader): Action | undefined {
  const startBit = getU16(body);
  const header = getU32(body);
  const bits = bitsOf(header, startBit, getU16(body));
  return bits && { kind, bits };
}
