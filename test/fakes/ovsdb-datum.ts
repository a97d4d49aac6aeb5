/** Values of the fake ovsdb-server: what RFC 7047 §5.1 says and what ovsdb-server 3.1 answers when it is not followed. */

export type Atom = string | number | boolean;

export interface BaseType {
  readonly type: string;
  readonly enum?: unknown;
  readonly minInteger?: number;
  readonly maxInteger?: number;
  readonly refTable?: string;
  readonly refType?: "strong" | "weak";
}

export interface ColumnType {
  readonly key: BaseType;
  readonly value?: BaseType;
  readonly min: number;
  readonly max: number;
}

/** Elements in the server's order; `values` stands beside `keys` for maps. */
export interface Datum {
  readonly keys: readonly Atom[];
  readonly values?: readonly Atom[];
}

/** A refusal in the words of the real server. */
export class Refusal extends Error {
  readonly wire: Readonly<Record<string, string>>;

  constructor(error: string, details?: string, syntax?: unknown) {
    super(details ?? error);
    this.wire = {
      ...(syntax === undefined ? {} : { syntax: canonicalJson(syntax) }),
      ...(details === undefined ? {} : { details }),
      error,
    };
  }
}

/** JSON with sorted members, as the real server prints `syntax`. */
export function canonicalJson(json: unknown): string {
  return JSON.stringify(json, (_key, value: unknown) =>
    typeof value === "object" && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
}

type RawBase = string | (BaseType & object);

/** Fills in what a schema may leave out of a column's type. */
export function parseType(raw: unknown): ColumnType {
  if (typeof raw === "string") return { key: { type: raw }, min: 1, max: 1 };
  const { key, value, min = 1, max = 1 } = raw as { key: RawBase; value?: RawBase; min?: number; max?: unknown };
  const limits = { min, max: max === "unlimited" ? Number.POSITIVE_INFINITY : Number(max) };
  return value === undefined ? { key: base(key), ...limits } : { key: base(key), value: base(value), ...limits };
}

function base(raw: RawBase): BaseType {
  return typeof raw === "string" ? { type: raw } : raw;
}

export interface ParseOptions {
  /** Gives the uuid behind a `named-uuid`. */
  readonly resolve: (name: string) => string;
  /** Conditions and mutations may hold any number of elements. */
  readonly anySize?: boolean;
}

/** Reads a column's value, or refuses it. */
export function parseDatum(type: ColumnType, wire: unknown, options: ParseOptions): Datum {
  if (type.value !== undefined) return parseMap(type, type.value, wire, options);
  const isSet = Array.isArray(wire) && wire[0] === "set";
  const elements = isSet ? (wire[1] as readonly unknown[]) : [wire];
  if (isSet) checkSize("set", type, elements.length, wire, options);
  const keys = elements.map((element) => parseAtom(type.key, element, options));
  if (new Set(keys).size !== keys.length) throw new Refusal("ovsdb error", "set contains duplicate");
  return { keys: keys.sort(compare) };
}

function parseMap(type: ColumnType, valueType: BaseType, wire: unknown, options: ParseOptions): Datum {
  if (!Array.isArray(wire) || wire[0] !== "map") {
    throw new Refusal("syntax error", 'Expected map pair "map".', wire);
  }
  const pairs = wire[1] as readonly (readonly unknown[])[];
  checkSize("map", type, pairs.length, wire, options);
  const entries = pairs.map(
    ([key, value]) => [parseAtom(type.key, key, options), parseAtom(valueType, value, options)] as const,
  );
  if (new Set(entries.map(([key]) => key)).size !== entries.length) {
    throw new Refusal("ovsdb error", "map contains duplicate key");
  }
  return fromEntries(entries);
}

function checkSize(kind: string, type: ColumnType, size: number, wire: unknown, options: ParseOptions): void {
  if (options.anySize || (size >= type.min && size <= type.max)) return;
  const max = type.max === Number.POSITIVE_INFINITY ? 4_294_967_295 : type.max;
  throw new Refusal("syntax error", `${kind} must have ${type.min} to ${max} members but ${size} are present`, wire);
}

function parseAtom(type: BaseType, wire: unknown, { resolve }: ParseOptions): Atom {
  if (type.type === "uuid") return parseReference(wire, resolve);
  const fits =
    type.type === "integer"
      ? Number.isInteger(wire)
      : type.type === "real"
        ? typeof wire === "number"
        : typeof wire === type.type;
  if (!fits) throw new Refusal("syntax error", `expected ${type.type}`, wire);
  checkConstraints(type, wire as Atom);
  return wire as Atom;
}

function parseReference(wire: unknown, resolve: (name: string) => string): string {
  if (Array.isArray(wire) && wire.length === 2 && typeof wire[1] === "string") {
    if (wire[0] === "named-uuid") return resolve(wire[1]);
    if (wire[0] === "uuid" && /^[0-9a-f-]{36}$/i.test(wire[1])) return wire[1].toLowerCase();
  }
  throw new Refusal("syntax error", 'Expected ["uuid", "..."] or ["named-uuid", "..."].', wire);
}

function checkConstraints(type: BaseType, atom: Atom): void {
  if (type.enum !== undefined) {
    const allowed = Array.isArray(type.enum) ? (type.enum[1] as readonly Atom[]) : [type.enum as Atom];
    if (allowed.includes(atom)) return;
    throw new Refusal("constraint violation", `${atom} is not one of the allowed values (${listed(allowed)})`);
  }
  const { minInteger: min, maxInteger: max } = type;
  if (typeof atom !== "number" || (atom >= (min ?? -Infinity) && atom <= (max ?? Infinity))) return;
  const range =
    min === undefined
      ? `less than or equal to ${max}`
      : max === undefined
        ? `greater than or equal to ${min}`
        : `in the valid range ${min} to ${max} (inclusive)`;
  throw new Refusal("constraint violation", `${atom} is not ${range}`);
}

function listed(atoms: readonly Atom[]): string {
  return `[${[...atoms].sort(compare).join(", ")}]`;
}

/** The value as the server sends it. */
export function toWire(type: ColumnType, { keys, values }: Datum): unknown {
  if (type.value !== undefined) {
    const valueType = type.value;
    return ["map", keys.map((key, i) => [atomToWire(type.key, key), atomToWire(valueType, values?.[i] ?? "")])];
  }
  const atoms = keys.map((key) => atomToWire(type.key, key));
  return atoms.length === 1 ? atoms[0] : ["set", atoms];
}

function atomToWire(type: BaseType, atom: Atom): unknown {
  return type.type === "uuid" ? ["uuid", atom] : atom;
}

export function fromEntries(entries: Iterable<readonly [Atom, Atom]>): Datum {
  const sorted = [...entries].sort(([a], [b]) => compare(a, b));
  return { keys: sorted.map(([key]) => key), values: sorted.map(([, value]) => value) };
}

export function entriesOf({ keys, values }: Datum): Map<Atom, Atom | undefined> {
  return new Map(keys.map((key, i) => [key, values?.[i]]));
}

export function sameDatum(a: Datum, b: Datum): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** What an insert leaves out. */
export function defaultDatum(type: ColumnType): Datum {
  if (type.value !== undefined) return { keys: [], values: [] };
  if (type.min === 0) return { keys: [] };
  const atoms: Record<string, Atom> = { integer: 0, real: 0, boolean: false, string: "" };
  return { keys: [atoms[type.key.type] ?? "00000000-0000-0000-0000-000000000000"] };
}

/** What `modify` of update2 carries: ovsdb-server(7) §4.1.14. */
export function difference(type: ColumnType, before: Datum, after: Datum): Datum {
  if (type.max <= 1) return after;
  const old = entriesOf(before);
  const now = entriesOf(after);
  const entries = new Map<Atom, Atom | undefined>();
  for (const [key, value] of old) if (!now.has(key)) entries.set(key, value);
  for (const [key, value] of now) if (!old.has(key) || old.get(key) !== value) entries.set(key, value);
  return type.value === undefined
    ? { keys: [...entries.keys()].sort(compare) }
    : fromEntries(entries as Map<Atom, Atom>);
}

export function compare(a: Atom, b: Atom): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
