import type { Bits } from "./action.ts";
import { subfieldBits } from "./action-wire.ts";
import { type FieldSpec, fieldByName } from "./fields.ts";
import type { Port } from "./values.ts";

/** A field's value alone: hexadecimal where ovs-ofctl has it so. */
export function formatPlain(spec: FieldSpec, value: unknown): string {
  if (typeof value === "bigint" || typeof value === "number") {
    return spec.hex || spec.bytes > 4 ? `0x${value.toString(16)}` : String(value);
  }
  return spec.kind === "port" ? formatPortText(value as Port) : String(value);
}

export function formatPortText(port: Port): string {
  return typeof port === "string" ? port.toUpperCase() : String(port);
}

/** `NXM_NX_REG0[4..7]`, as in move, output and learn. */
export function formatBits(bits: Bits): string {
  const spec = fieldByName(bits.field);
  if (spec === undefined) return bits.field;
  const startBit = bits.startBit ?? 0;
  const width = subfieldBits(spec);
  const bitCount = bits.bitCount ?? width - startBit;
  if (startBit === 0 && bitCount === width) return `${spec.nxm}[]`;
  return bitCount === 1 ? `${spec.nxm}[${startBit}]` : `${spec.nxm}[${startBit}..${startBit + bitCount - 1}]`;
}
