import { NetError } from "../../../state/errors.ts";
import type { Row } from "./changes.ts";
import type { DatabaseSchema } from "./schema.ts";
import { type AtomType, columnOf, describeType, isComposite, type TableSchema, tableOf } from "./schema.ts";
import type { Atom, Uuid, Value } from "./values.ts";

/** What the caller takes a column to be; checked against the server's schema once per connection. */
export interface Column<T extends Value> {
  readonly key: AtomType;
  readonly value?: AtomType;
  readonly shape: "scalar" | "optional" | "set" | "map";
  /** Never set: carries the type that the column reads as. */
  readonly reads?: T;
}

export const integer: Column<number> = { key: "integer", shape: "scalar" };
export const real: Column<number> = { key: "real", shape: "scalar" };
export const boolean: Column<boolean> = { key: "boolean", shape: "scalar" };
export const string: Column<string> = { key: "string", shape: "scalar" };
export const uuid: Column<Uuid> = { key: "uuid", shape: "scalar" };

/** A column of none or one. */
export function optional<T extends Atom>(element: Column<T>): Column<T | undefined> {
  return { key: element.key, shape: "optional" };
}

/** A column that may hold several. */
export function setOf<T extends Atom>(element: Column<T>): Column<readonly T[]> {
  return { key: element.key, shape: "set" };
}

export function mapOf<K extends Atom, V extends Atom>(key: Column<K>, value: Column<V>): Column<ReadonlyMap<K, V>> {
  return { key: key.key, value: value.key, shape: "map" };
}

/** The columns of a table that are wanted: names alone, or names with what they read as. */
export type TableSpec = readonly string[] | Readonly<Record<string, Column<Value>>>;

/** What a row reads as under a specification. */
export type RowOf<S extends TableSpec> = S extends readonly string[]
  ? Readonly<Record<S[number], Value>>
  : S extends Readonly<Record<string, Column<Value>>>
    ? { readonly [C in keyof S]: S[C] extends Column<infer T> ? T : never }
    : Row;

export type TableSpecs = Readonly<Record<string, TableSpec>>;

/** The names of the columns wanted. */
export function columnNames(spec: TableSpec): readonly string[] {
  return isNames(spec) ? spec : Object.keys(spec);
}

/** Throws UNSUPPORTED when the server's schema lacks a wanted column or gives it another type. */
export function checkSpecs(schema: DatabaseSchema, specs: TableSpecs): void {
  for (const [table, spec] of Object.entries(specs)) checkSpec(tableOf(schema, table), spec);
}

function checkSpec(table: TableSchema, spec: TableSpec): void {
  for (const name of columnNames(spec)) {
    const type = columnOf(table, name);
    const column = isNames(spec) ? undefined : spec[name];
    if (column === undefined) continue;
    const shape = type.value !== undefined ? "map" : isComposite(type) ? "set" : type.min === 0 ? "optional" : "scalar";
    if (column.shape === shape && column.key === type.key.type && column.value === type.value?.type) continue;
    const wanted = `${column.shape} of ${column.key}${column.value === undefined ? "" : ` to ${column.value}`}`;
    throw new NetError("UNSUPPORTED", `Column ${table.name}.${name} is ${describeType(type)}, not ${wanted}`);
  }
}

function isNames(spec: TableSpec): spec is readonly string[] {
  return Array.isArray(spec);
}
