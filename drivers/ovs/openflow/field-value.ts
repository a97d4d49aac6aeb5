import { ipv4Number, ipv4TextOf, ipv6Bytes, ipv6TextOf, macNumber, macText } from "../../../state/address-codec.ts";
import { NetError } from "../../../state/errors.ts";
import type { FieldSpec } from "./fields.ts";
import { prefixLength, prefixMask } from "./mask.ts";
import { formatPort, isPortName, portNumber } from "./port-number.ts";
import type { IpFrag, Masked } from "./values.ts";

/** A value as it goes on the wire: numbers up to 48 bits, bigint or bytes above. */
export type RawValue = number | bigint | Buffer;

/** A value with the bits that count; no mask = all of them. */
export interface RawMasked {
  readonly value: RawValue;
  readonly mask: RawValue | undefined;
}

/** OXM_OF_VLAN_VID: set when there is a tag (openflow-1.2.h, OFPVID12_PRESENT). */
const VLAN_PRESENT = 0x1000;

/** lib/packets.h, CS_*_BIT, in the order in which Open vSwitch prints them. */
const CT_STATES = ["new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"] as const;

/** nicira-ext.h, NX_IP_FRAG_*: bit 0 = any fragment, bit 1 = not the first. */
const FRAGS: Readonly<Record<IpFrag, Masked<number>>> = {
  no: { value: 0, mask: 3 },
  first: { value: 1, mask: 3 },
  later: { value: 3, mask: 3 },
  yes: { value: 1, mask: 1 },
  not_later: { value: 0, mask: 2 },
};

export function invalidField(spec: FieldSpec, details: string): NetError {
  return new NetError("INVALID", `Cannot encode field ${spec.name}: ${details}`, { field: spec.name });
}

/** Value (and mask) of a match field, checked. */
export function rawOf(spec: FieldSpec, value: unknown): RawMasked {
  if (typeof value === "object" && value !== null && "value" in value && "mask" in value) {
    if (!spec.maskable) throw invalidField(spec, "it cannot be matched in part");
    return { value: plainRaw(spec, value.value, true), mask: plainRaw(spec, value.mask, true) };
  }
  if (typeof value === "string") return textRaw(spec, value);
  return { value: plainRaw(spec, value), mask: undefined };
}

function textRaw(spec: FieldSpec, text: string): RawMasked {
  if (spec.kind === "ctState") return ctStateRaw(spec, text);
  if (spec.kind === "frag") return fragRaw(spec, text);
  if (spec.kind === "vlan" && text === "any") return { value: VLAN_PRESENT, mask: VLAN_PRESENT };
  const slash = text.indexOf("/");
  if (slash < 0) return { value: plainRaw(spec, text), mask: undefined };
  if (!spec.maskable) throw invalidField(spec, "it cannot be matched in part");
  return { value: plainRaw(spec, text.slice(0, slash)), mask: textMask(spec, text.slice(slash + 1)) };
}

function textMask(spec: FieldSpec, text: string): RawValue {
  const isPrefix = /^\d{1,3}$/.test(text) && (spec.kind === "ipv4" || spec.kind === "ipv6");
  if (!isPrefix) return plainRaw(spec, text, true);
  const length = Number(text);
  if (length > spec.bits) throw invalidField(spec, `prefix length ${length} exceeds ${spec.bits}`);
  return prefixMask(length, spec.bytes);
}

/** A value without mask, or (`asBits`) one half of value and mask: for a VLAN id the "has a tag" bit is then not implied. */
export function plainRaw(spec: FieldSpec, value: unknown, asBits = false): RawValue {
  switch (spec.kind) {
    case "mac":
      return addressRaw(spec, value, macNumber);
    case "ipv4":
      return addressRaw(spec, value, ipv4Number);
    case "ipv6":
      return addressRaw(spec, value, ipv6Bytes);
    case "port":
      if (typeof value === "number" || (typeof value === "string" && isPortName(value))) return portNumber(value);
      throw invalidField(spec, `${describe(value)} is not a port`);
    case "vlan":
      return vlanRaw(spec, value, asBits);
    default:
      return integerRaw(spec, value);
  }
}

function addressRaw(spec: FieldSpec, value: unknown, parse: (text: string) => RawValue | undefined): RawValue {
  const bytes = typeof value === "string" ? parse(value) : undefined;
  if (bytes === undefined) throw invalidField(spec, `${describe(value)} is not an address of kind ${spec.kind}`);
  return bytes;
}

function vlanRaw(spec: FieldSpec, value: unknown, asBits: boolean): number {
  if (value === "none") return 0;
  const vlan = integerRaw(spec, value);
  if (typeof vlan !== "number") throw invalidField(spec, `${describe(value)} is not a VLAN id`);
  return asBits || vlan >= VLAN_PRESENT ? vlan : VLAN_PRESENT | vlan;
}

function integerRaw(spec: FieldSpec, value: unknown): number | bigint {
  if (typeof value === "number") {
    if (!Number.isSafeInteger(value) || value < 0) throw invalidField(spec, `${value} is not a whole number from 0`);
    if (value >= 2 ** spec.bits) throw invalidField(spec, `${value} does not fit in ${spec.bits} bits`);
    return spec.bytes > 4 ? BigInt(value) : value;
  }
  if (typeof value !== "bigint") throw invalidField(spec, `${describe(value)} is not a number`);
  if (value < 0n || value >> BigInt(spec.bits) !== 0n) {
    throw invalidField(spec, `${value} does not fit in ${spec.bits} bits`);
  }
  return spec.bytes > 4 ? value : Number(value);
}

function ctStateRaw(spec: FieldSpec, text: string): RawMasked {
  let value = 0;
  let mask = 0;
  for (const part of text.match(/[+-]?[^+-]*/g) ?? []) {
    if (part === "") continue;
    const bit = CT_STATES.findIndex((state) => part.endsWith(state) && part.length === state.length + 1);
    if (bit < 0 || !/^[+-]/.test(part)) throw invalidField(spec, `"${part}" is not + or - and one of ${CT_STATES}`);
    mask |= 1 << bit;
    value = part.startsWith("+") ? value | (1 << bit) : value & ~(1 << bit);
  }
  return { value, mask };
}

function fragRaw(spec: FieldSpec, text: string): RawMasked {
  const frag = Object.entries(FRAGS).find(([name]) => name === text)?.[1];
  if (frag === undefined) throw invalidField(spec, `"${text}" is not one of ${Object.keys(FRAGS)}`);
  return frag.mask === 3 ? { value: frag.value, mask: undefined } : frag;
}

function describe(value: unknown): string {
  return typeof value === "string" ? `"${value}"` : String(value);
}

/** The value of a match field as the API shows it; `mask` undefined = all bits. */
export function fieldFromBytes(spec: FieldSpec, value: Buffer, mask: Buffer | undefined): unknown {
  switch (spec.kind) {
    case "mac":
      return mask === undefined ? macText(value) : `${macText(value)}/${macText(mask)}`;
    case "ipv4":
      return formatMaskedIp(value, mask, ipv4TextOf);
    case "ipv6":
      return formatMaskedIp(value, mask, ipv6TextOf);
    case "port":
      return formatPort(value.readUInt32BE(0));
    case "vlan":
      return vlanFrom(value.readUInt16BE(0), mask?.readUInt16BE(0));
    case "ctState":
      return ctStateFrom(value.readUInt32BE(0), mask?.readUInt32BE(0) ?? 0xff);
    case "frag":
      return fragFrom(value[0] ?? 0, mask?.[0] ?? 3);
    case "int":
      return mask === undefined ? integerFrom(value) : { value: integerFrom(value), mask: integerFrom(mask) };
  }
}

/** Number up to four bytes, bigint above. */
export function integerFrom(bytes: Buffer): number | bigint {
  if (bytes.length <= 4) return bytes.readUIntBE(0, bytes.length);
  if (bytes.length === 8) return bytes.readBigUInt64BE(0);
  return (bytes.readBigUInt64BE(0) << 64n) | bytes.readBigUInt64BE(8);
}

function formatMaskedIp(value: Buffer, mask: Buffer | undefined, format: (bytes: Buffer) => string): string {
  if (mask === undefined) return format(value);
  const prefix = prefixLength(mask);
  return `${format(value)}/${prefix === undefined ? format(mask) : prefix}`;
}

function vlanFrom(value: number, mask: number | undefined): unknown {
  if (mask === undefined) {
    if (value === 0) return "none";
    return value & VLAN_PRESENT ? value & 0xfff : { value, mask: 0x1fff };
  }
  return value === VLAN_PRESENT && mask === VLAN_PRESENT ? "any" : { value, mask };
}

/** Flags in the order of their bits, as `-new+trk`. Bits without a name are of later releases and not shown. */
function ctStateFrom(value: number, mask: number): string {
  let text = "";
  for (const [bit, state] of CT_STATES.entries()) {
    if (mask & (1 << bit)) text += (value & (1 << bit) ? "+" : "-") + state;
  }
  return text;
}

function fragFrom(value: number, mask: number): unknown {
  const found = Object.entries(FRAGS).find(([, frag]) => frag.value === (value & 3) && frag.mask === (mask & 3));
  return found?.[0] ?? { value, mask };
}

/** The value of an action's field as the API shows it; `asBits`: it is one half of value and mask. */
export function plainFromBytes(spec: FieldSpec, bytes: Buffer, asBits: boolean): number | bigint | string {
  switch (spec.kind) {
    case "mac":
      return macText(bytes);
    case "ipv4":
      return ipv4TextOf(bytes);
    case "ipv6":
      return ipv6TextOf(bytes);
    case "port":
      return asBits ? integerFrom(bytes) : formatPort(bytes.readUInt32BE(0));
    case "vlan":
      return asBits ? integerFrom(bytes) : bytes.readUInt16BE(0) & 0xfff;
    default:
      return integerFrom(bytes);
  }
}
