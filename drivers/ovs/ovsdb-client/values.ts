import { NetError } from "../../../state/errors.ts";
import { type BaseType, type ColumnType, describeType, IDENTIFIER, isComposite, isMap } from "./schema.ts";

/** Identity of a row, in the lower-case form that the server prints. */
export type Uuid = string & { readonly __brand: "OvsdbUuid" };

/** A row inserted earlier or later in the same transaction, by the `as` of its insert. */
export interface NamedUuid {
  readonly named: string;
}

/** What one element of a column reads as. Integers beyond 2^53 read rounded to the nearest double. */
export type Atom = string | number | boolean | Uuid;

/** What a column reads as: a scalar, `undefined` for an empty optional, a frozen array for a set, a map. */
export type Value = Atom | undefined | readonly Atom[] | ReadonlyMap<Atom, Atom>;

export type AtomInput = Atom | NamedUuid;

/** What may be written to a column; a map with string keys may be a plain object. */
export type ValueInput =
  | AtomInput
  | undefined
  | readonly AtomInput[]
  | ReadonlyMap<Atom, AtomInput>
  | Readonly<Record<string, AtomInput>>;

/** `<value>` of RFC 7047 §5.1 as JSON. */
export type WireValue = unknown;

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** What an unset reference reads as, and the transaction id of servers that keep no history. */
export const ZERO_UUID = "00000000-0000-0000-0000-000000000000" as Uuid;

export function isUuid(value: unknown): value is Uuid {
  return typeof value === "string" && UUID.test(value);
}

/** Reads a uuid from text; anything else is an INVALID error. */
export function parseUuid(text: string): Uuid {
  const lower = text.toLowerCase();
  if (isUuid(lower)) return lower;
  throw new NetError("INVALID", `"${text}" is not a uuid`);
}

/** Refers to the row that an insert of the same transaction names with `as`. */
export function named(name: string): NamedUuid {
  return { named: name };
}

/** Encodes a value for a column of that type (RFC 7047 §5.1); `place` names the column in errors. */
export function encodeValue(type: ColumnType, value: ValueInput, place: string): WireValue {
  if (type.value !== undefined) return ["map", encodePairs(type.key, type.value, value, place)];
  if (Array.isArray(value)) return encodeSet(type.key, value, place);
  if (value === undefined) {
    if (type.min === 0) return ["set", []];
    throw invalid(place, `wants ${describeType(type)}, not undefined`);
  }
  return encodeAtom(type.key, value, place);
}

/** Encodes several elements as `<set>`. */
export function encodeSet(base: BaseType, values: readonly unknown[], place: string): WireValue {
  return ["set", values.map((element) => encodeAtom(base, element, place))];
}

function encodePairs(key: BaseType, value: BaseType, input: ValueInput, place: string): WireValue[] {
  const pairs: WireValue[] = [];
  for (const [k, v] of entriesOf(input, place)) {
    pairs.push([encodeAtom(key, k, place), encodeAtom(value, v, `${place}[${String(k)}]`)]);
  }
  return pairs;
}

function entriesOf(input: ValueInput, place: string): Iterable<readonly [unknown, unknown]> {
  if (input instanceof Map) return input;
  if (typeof input === "object" && !Array.isArray(input)) return Object.entries(input);
  throw invalid(place, "wants a Map or an object");
}

/** Encodes one element; a value of another type is an INVALID error that names the column. */
export function encodeAtom(base: BaseType, atom: unknown, place: string): WireValue {
  switch (base.type) {
    case "integer":
      if (Number.isSafeInteger(atom)) return atom;
      break;
    case "real":
      if (Number.isFinite(atom)) return atom;
      break;
    case "boolean":
      if (typeof atom === "boolean") return atom;
      break;
    case "string":
      if (typeof atom === "string") return encodeText(atom, place);
      break;
    case "uuid":
      return encodeReference(atom, place);
    default:
      return unreachable(base.type);
  }
  throw invalid(place, `wants ${base.type}, not ${show(atom)}`);
}

/** The server closes the connection on NUL and on half a surrogate pair (json.c), so they stop here. */
export function encodeText(text: string, place: string): string {
  if (text.includes("\0") || /\p{Surrogate}/u.test(text)) {
    throw invalid(place, "holds a NUL or half a surrogate pair, which OVSDB strings cannot");
  }
  return text;
}

function encodeReference(atom: unknown, place: string): WireValue {
  if (isUuid(atom)) return ["uuid", atom];
  if (typeof atom === "object" && atom !== null && "named" in atom && typeof atom.named === "string") {
    if (IDENTIFIER.test(atom.named)) return ["named-uuid", atom.named];
    throw invalid(place, `refers to "${atom.named}", which is not an identifier`);
  }
  throw invalid(place, `wants a uuid, not ${show(atom)}`);
}

/** Decodes a column's value (RFC 7047 §5.1); what does not fit the type is a PROTOCOL error. */
export function decodeValue(type: ColumnType, wire: WireValue, place: string): Value {
  const value = decodeLoosely(type, wire, place);
  const count = isMap(type) || isComposite(type) ? sizeOf(value) : type.min;
  if (count < type.min || count > type.max) {
    throw malformed(place, `holds ${count} elements, the schema allows ${type.min} to ${type.max}`);
  }
  return value;
}

/** Decodes the difference of a set or map, which may hold more or fewer elements than the column may. */
export function decodeDifference(type: ColumnType, wire: WireValue, place: string): Value {
  return isComposite(type) ? decodeLoosely(type, wire, place) : decodeValue(type, wire, place);
}

function decodeLoosely(type: ColumnType, wire: WireValue, place: string): Value {
  if (type.value !== undefined) return decodeMap(type.key, type.value, wire, place);
  const atoms = decodeSet(type.key, wire, place);
  if (isComposite(type)) return Object.freeze(atoms);
  if (atoms.length > 1 || atoms.length < type.min) {
    throw malformed(place, `holds ${atoms.length} elements instead of ${describeType(type)}`);
  }
  return atoms[0];
}

function decodeSet(base: BaseType, wire: WireValue, place: string): Atom[] {
  const elements = tagged(wire, "set");
  if (elements === undefined) return [decodeAtom(base, wire, place)];
  return elements.map((element) => decodeAtom(base, element, place));
}

function decodeMap(key: BaseType, value: BaseType, wire: WireValue, place: string): ReadonlyMap<Atom, Atom> {
  const pairs = tagged(wire, "map");
  if (pairs === undefined) throw malformed(place, `is ${show(wire)} instead of a map`);
  const map = new Map<Atom, Atom>();
  for (const pair of pairs) {
    if (!Array.isArray(pair) || pair.length !== 2) throw malformed(place, `has ${show(pair)} instead of a pair`);
    map.set(decodeAtom(key, pair[0], place), decodeAtom(value, pair[1], place));
  }
  return map;
}

function tagged(wire: WireValue, tag: "set" | "map"): readonly unknown[] | undefined {
  return Array.isArray(wire) && wire.length === 2 && wire[0] === tag && Array.isArray(wire[1]) ? wire[1] : undefined;
}

function decodeAtom(base: BaseType, wire: unknown, place: string): Atom {
  switch (base.type) {
    case "integer":
      if (Number.isInteger(wire)) return wire as number;
      break;
    case "real":
      if (typeof wire === "number") return wire;
      break;
    case "boolean":
      if (typeof wire === "boolean") return wire;
      break;
    case "string":
      if (typeof wire === "string") return wire;
      break;
    case "uuid":
      if (Array.isArray(wire) && wire.length === 2 && wire[0] === "uuid" && isUuid(wire[1])) return wire[1];
      break;
    default:
      return unreachable(base.type);
  }
  throw malformed(place, `holds ${show(wire)} instead of ${base.type}`);
}

/** What a column holds when an insert leaves it out (RFC 7047 §5.2.1). */
export function defaultValue(type: ColumnType): Value {
  if (isMap(type)) return new Map();
  if (type.min === 0) return isComposite(type) ? Object.freeze([]) : undefined;
  const atom = defaultAtom(type.key);
  return isComposite(type) ? Object.freeze([atom]) : atom;
}

function defaultAtom(base: BaseType): Atom {
  switch (base.type) {
    case "integer":
    case "real":
      return 0;
    case "boolean":
      return false;
    case "string":
      return "";
    case "uuid":
      return ZERO_UUID;
    default:
      return unreachable(base.type);
  }
}

/** The value after a difference as `update2` sends it: ovsdb-server(7) 4.1.14 "<column>: <diff>". */
export function applyDifference(type: ColumnType, old: Value, difference: Value): Value {
  if (!isComposite(type)) return difference;
  if (old instanceof Map && difference instanceof Map) return mapAfter(old, difference);
  return setAfter(old as readonly Atom[], difference as readonly Atom[]);
}

/** Symmetric difference, in the server's order. */
function setAfter(old: readonly Atom[], difference: readonly Atom[]): readonly Atom[] {
  const result = new Set(old);
  for (const atom of difference) if (!result.delete(atom)) result.add(atom);
  return Object.freeze([...result].sort(compareAtoms));
}

/** A pair equal to one present removes it; any other sets its key. A rounded integer cannot tell, and stays. */
function mapAfter(old: ReadonlyMap<Atom, Atom>, difference: ReadonlyMap<Atom, Atom>): ReadonlyMap<Atom, Atom> {
  const result = new Map(old);
  for (const [key, value] of difference) {
    const rounded = Number.isInteger(value) && !Number.isSafeInteger(value);
    if (result.get(key) === value && !rounded) result.delete(key);
    else result.set(key, value);
  }
  return result;
}

function compareAtoms(a: Atom, b: Atom): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** True when two values of one column are the same; sets and maps regardless of order. */
export function equalValues(a: Value, b: Value): boolean {
  if (a === b) return true;
  if (a instanceof Map && b instanceof Map) {
    return a.size === b.size && [...a].every(([key, value]) => b.has(key) && b.get(key) === value);
  }
  if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
  const members = new Set(b);
  return a.every((atom) => members.has(atom));
}

function sizeOf(value: Value): number {
  return value instanceof Map ? value.size : (value as readonly Atom[]).length;
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

function invalid(place: string, text: string): NetError {
  return new NetError("INVALID", `${place} ${text}`);
}

function malformed(place: string, text: string): NetError {
  return new NetError("PROTOCOL", `ovsdb-server sent ${place}: it ${text}`);
}

function unreachable(forgotten: never): never {
  throw new NetError("INTERNAL", `Forgotten case ${String(forgotten)}`);
}
