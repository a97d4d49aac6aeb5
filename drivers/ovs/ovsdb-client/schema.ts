import * as z from "zod";
import { NetError } from "../../../state/errors.ts";

/** The atomic types of RFC 7047 §3.2. */
export type AtomType = "integer" | "real" | "boolean" | "string" | "uuid";

/** Key or value type of a column, with the table it refers to when it is a reference. */
export interface BaseType {
  readonly type: AtomType;
  readonly refTable?: string | undefined;
}

/** Type of one column; `max` is Infinity for "unlimited" and a `value` makes it a map. */
export interface ColumnType {
  readonly key: BaseType;
  readonly value?: BaseType | undefined;
  readonly min: number;
  readonly max: number;
}

export type ColumnTypes = ReadonlyMap<string, ColumnType>;

export interface TableSchema {
  readonly name: string;
  /** Every column, `_uuid` and `_version` (RFC 7047 §3.2) included. */
  readonly columns: ColumnTypes;
  readonly isRoot: boolean;
}

export interface DatabaseSchema {
  readonly name: string;
  readonly version: string;
  readonly tables: ReadonlyMap<string, TableSchema>;
}

/** RFC 7047 §3.1 `<id>`. */
export const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]*$/;

const AtomTypeWire = z.enum(["integer", "real", "boolean", "string", "uuid"]);

const BaseTypeWire = z.union([
  AtomTypeWire.transform((type): BaseType => ({ type })),
  z.object({ type: AtomTypeWire, refTable: z.string().optional() }),
]);

const ColumnTypeWire = z.union([
  AtomTypeWire.transform((type): ColumnType => ({ key: { type }, min: 1, max: 1 })),
  z.object({
    key: BaseTypeWire,
    value: BaseTypeWire.optional(),
    min: z.int().min(0).max(1).default(1),
    max: z.union([z.int().min(1), z.literal("unlimited").transform(() => Number.POSITIVE_INFINITY)]).default(1),
  }),
]);

const TableWire = z.object({
  columns: z.record(z.string().regex(IDENTIFIER), z.object({ type: ColumnTypeWire })),
  isRoot: z.boolean().default(false),
});

const DatabaseWire = z.object({
  name: z.string(),
  version: z.string().default(""), // RFC 7047 §3.2 demands it; servers before 1.0 left it out
  tables: z.record(z.string().regex(IDENTIFIER), TableWire),
});

const REFERENCE: ColumnType = { key: { type: "uuid" }, min: 1, max: 1 };

/** Parses `<database-schema>` (RFC 7047 §3.2); a wrong one is a PROTOCOL error. */
export function parseSchema(wire: unknown): DatabaseSchema {
  const parsed = DatabaseWire.safeParse(wire);
  if (!parsed.success) {
    throw new NetError("PROTOCOL", `Cannot read the database schema: ${z.prettifyError(parsed.error)}`);
  }
  const { name, version } = parsed.data;
  const tables = new Map<string, TableSchema>();
  for (const [table, definition] of Object.entries(parsed.data.tables)) {
    tables.set(table, { name: table, columns: columnTypes(definition.columns), isRoot: definition.isRoot });
  }
  return { name, version, tables };
}

function columnTypes(columns: Readonly<Record<string, { type: ColumnType }>>): ColumnTypes {
  const types = new Map<string, ColumnType>([
    ["_uuid", REFERENCE],
    ["_version", REFERENCE],
  ]);
  for (const [column, { type }] of Object.entries(columns)) types.set(column, type);
  return types;
}

/** The table of that name, or an UNSUPPORTED error that says which database lacks it. */
export function tableOf(schema: DatabaseSchema, name: string): TableSchema {
  const table = schema.tables.get(name);
  if (table !== undefined) return table;
  throw new NetError("UNSUPPORTED", `Database ${schema.name} ${schema.version} has no table "${name}"`);
}

/** The type of a column, or an UNSUPPORTED error that says which table lacks it. */
export function columnOf(table: TableSchema, column: string): ColumnType {
  const type = table.columns.get(column);
  if (type !== undefined) return type;
  throw new NetError("UNSUPPORTED", `Table ${table.name} has no column "${column}"`);
}

/** Picks the types of some columns of a table, in the given order. */
export function pickColumns(table: TableSchema, columns: Iterable<string>): ColumnTypes {
  const picked = new Map<string, ColumnType>();
  for (const column of columns) picked.set(column, columnOf(table, column));
  return picked;
}

/** True for maps. */
export function isMap(type: ColumnType): boolean {
  return type.value !== undefined;
}

/** True for what holds more than one element; the others travel whole in differences (ovsdb-server(7) 4.1.14). */
export function isComposite(type: ColumnType): boolean {
  return type.max > 1;
}

/** Short text of a type: `integer?`, `set of string`, `map of string to uuid`. */
export function describeType(type: ColumnType): string {
  if (type.value !== undefined) return `map of ${type.key.type} to ${type.value.type}`;
  if (isComposite(type)) return `set of ${type.key.type}`;
  return type.min === 0 ? `${type.key.type}?` : type.key.type;
}
