import { NetError } from "../../../state/errors.ts";
import type { Action, Bits, LearnAction, LearnSpec } from "./action.ts";
import {
  type BitsSpec,
  bitsOf,
  checked,
  endAction,
  NXAST,
  nxmHeader,
  resolveBits,
  startNicira,
} from "./action-wire.ts";
import {
  getBytes,
  getU8,
  getU16,
  getU32,
  getU64,
  putBytes,
  putU8,
  putU16,
  putU32,
  putU64,
  type Reader,
  remaining,
  skip,
  type Writer,
} from "./bytes.ts";

/** nicira-ext.h, NX_LEARN_*: what an instruction does with the value, and where the value comes from. */
const DST_MATCH = 0;
const DST_LOAD = 1 << 11;
const DST_OUTPUT = 2 << 11;
const SRC_IMMEDIATE = 1 << 13;
const DST_BITS = 3 << 11;
const COUNT_BITS = 0x3ff;

/** NXAST_LEARN (16): struct nx_action_learn, then the specs. */
export function putLearn(writer: Writer, action: LearnAction): void {
  const start = startNicira(writer, NXAST.learn);
  putU16(writer, checked(action.idleTimeoutS ?? 0, 16, "learn idle timeout"));
  putU16(writer, checked(action.hardTimeoutS ?? 0, 16, "learn hard timeout"));
  putU16(writer, checked(action.priority, 16, "learn priority"));
  putU64(writer, BigInt.asUintN(64, action.cookie));
  putU16(writer, checked(action.flags ?? 0, 16, "learn flags"));
  putU8(writer, checked(action.table, 8, "learn table"));
  putU8(writer, 0);
  putU16(writer, checked(action.finIdleTimeoutS ?? 0, 16, "learn fin idle timeout"));
  putU16(writer, checked(action.finHardTimeoutS ?? 0, 16, "learn fin hard timeout"));
  for (const spec of action.specs) putSpec(writer, spec);
  endAction(writer, start);
}

function putSpec(writer: Writer, spec: LearnSpec): void {
  if (spec.kind === "output") {
    const src = resolveBits(spec.src);
    putU16(writer, DST_OUTPUT | src.bitCount);
    putPlace(writer, src);
    return;
  }
  const dst = resolveBits(spec.dst);
  const target = spec.kind === "load" ? DST_LOAD : DST_MATCH;
  if (typeof spec.src === "bigint") {
    putU16(writer, SRC_IMMEDIATE | target | dst.bitCount);
    putImmediate(writer, spec.src, dst.bitCount);
  } else {
    const src = resolveBits(spec.src);
    if (src.bitCount !== dst.bitCount) {
      throw new NetError("INVALID", `Cannot learn ${src.bitCount} bits into ${dst.bitCount} bits of ${spec.dst.field}`);
    }
    putU16(writer, target | dst.bitCount);
    putPlace(writer, src);
  }
  putPlace(writer, dst);
}

function putPlace(writer: Writer, bits: BitsSpec): void {
  putU32(writer, nxmHeader(bits.spec));
  putU16(writer, bits.startBit);
}

/** Right-aligned in whole 16-bit words. */
function putImmediate(writer: Writer, value: bigint, bitCount: number): void {
  if (value < 0n || value >> BigInt(bitCount) !== 0n) {
    throw new NetError("INVALID", `Cannot learn ${value}: it does not fit in ${bitCount} bits`);
  }
  const byteCount = immediateBytes(bitCount);
  putBytes(writer, Buffer.from(value.toString(16).padStart(byteCount * 2, "0"), "hex"));
}

function immediateBytes(bitCount: number): number {
  return Math.ceil(bitCount / 16) * 2;
}

export function getLearn(reader: Reader): Action | undefined {
  const idle = getU16(reader);
  const hard = getU16(reader);
  const priority = getU16(reader);
  const cookie = getU64(reader);
  const flags = getU16(reader);
  const table = getU8(reader);
  skip(reader, 1);
  const finIdle = getU16(reader);
  const finHard = getU16(reader);
  const specs = getSpecs(reader);
  if (specs === undefined) return undefined;
  return {
    kind: "learn",
    table,
    priority,
    cookie,
    ...(idle !== 0 && { idleTimeoutS: idle }),
    ...(hard !== 0 && { hardTimeoutS: hard }),
    ...(finIdle !== 0 && { finIdleTimeoutS: finIdle }),
    ...(finHard !== 0 && { finHardTimeoutS: finHard }),
    ...(flags !== 0 && { flags }),
    specs,
  };
}

function getSpecs(reader: Reader): LearnSpec[] | undefined {
  const specs: LearnSpec[] = [];
  while (remaining(reader) >= 2) {
    const header = getU16(reader);
    if (header === 0) break;
    const spec = getSpec(reader, header);
    if (spec === undefined) return undefined;
    specs.push(spec);
  }
  return specs;
}

function getSpec(reader: Reader, header: number): LearnSpec | undefined {
  const bitCount = header & COUNT_BITS;
  const src = header & SRC_IMMEDIATE ? getImmediate(reader, bitCount) : getPlace(reader, bitCount);
  const target = header & DST_BITS;
  if (src === undefined || bitCount === 0) return undefined;
  if (target === DST_OUTPUT) return typeof src === "bigint" ? undefined : { kind: "output", src };
  const dst = getPlace(reader, bitCount);
  if (dst === undefined || target === DST_BITS) return undefined;
  return { kind: target === DST_LOAD ? "load" : "match", dst, src };
}

function getPlace(reader: Reader, bitCount: number): Bits | undefined {
  const header = getU32(reader);
  return bitsOf(header, getU16(reader), bitCount);
}

function getImmediate(reader: Reader, bitCount: number): bigint | undefined {
  const value = BigInt(`0x0${getBytes(reader, immediateBytes(bitCount)).toString("hex")}`);
  return value >> BigInt(bitCount) === 0n ? value : undefined;
}
