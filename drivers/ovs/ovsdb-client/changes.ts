import { NetError } from "../../../state/errors.ts";
import type { ColumnTypes } from "./schema.ts";
import {
  applyDifference,
  decodeDifference,
  decodeValue,
  defaultValue,
  isUuid,
  type Uuid,
  type Value,
} from "./values.ts";

/** A row's columns, frozen. */
export type Row = Readonly<Record<string, Value>>;

/** What became of a row: its new columns, differences to those we have, or its end. */
export type RowChange =
  | { readonly kind: "put"; readonly row: Row }
  | { readonly kind: "patch"; readonly differences: ReadonlyMap<string, Value> }
  | { readonly kind: "delete" };

/** Changes by table and row. */
export type TableChanges = ReadonlyMap<string, ReadonlyMap<Uuid, RowChange>>;

/** The columns that a monitor watches, by table. */
export type MonitoredTables = ReadonlyMap<string, ColumnTypes>;

type WireRow = Readonly<Record<string, unknown>>;

/** Decodes `<table-updates>` (`<row-update>` of RFC 7047 §4.1.6) as `monitor` and `update` carry them. */
export function decodeUpdates(tables: MonitoredTables, wire: unknown): TableChanges {
  return decodeTables(tables, wire, (place, columns, json) => {
    const update = objectOf(json, place);
    if (update.new === undefined && update.old === undefined) throw malformed(place, json);
    return update.new === undefined ? { kind: "delete" } : put(place, columns, objectOf(update.new, place));
  });
}

/** Decodes `<table-updates2>` (`<row-update2>` of ovsdb-server(7) §4.1.14) as `monitor_cond`, `monitor_cond_since`, `update2` and `update3` carry them. */
export function decodeUpdates2(tables: MonitoredTables, wire: unknown): TableChanges {
  return decodeTables(tables, wire, (place, columns, json) => {
    const members = Object.entries(objectOf(json, place));
    const [kind, content] = members[0] ?? [];
    if (members.length !== 1) throw malformed(place, json);
    switch (kind) {
      case "initial":
      case "insert":
        return put(place, columns, objectOf(content, place));
      case "modify":
        return patch(place, columns, objectOf(content, place));
      case "delete":
        return { kind: "delete" };
      default:
        throw malformed(place, json);
    }
  });
}

/** The row after a change; undefined when it is gone. A patch to a row that is not there is a PROTOCOL error. */
export function changedRow(columns: ColumnTypes, old: Row | undefined, change: RowChange): Row | undefined {
  switch (change.kind) {
    case "put":
      return change.row;
    case "delete":
      return undefined;
    case "patch":
      if (old === undefined) throw new NetError("PROTOCOL", "ovsdb-server modified a row that it never sent");
      return patched(columns, old, change.differences);
    default:
      throw new NetError("INTERNAL", `Forgotten case ${JSON.stringify(change satisfies never)}`);
  }
}

function patched(columns: ColumnTypes, old: Row, differences: ReadonlyMap<string, Value>): Row {
  const row: Record<string, Value> = { ...old };
  for (const [column, difference] of differences) {
    const type = columns.get(column);
    if (type !== undefined) row[column] = applyDifference(type, old[column], difference);
  }
  return Object.freeze(row);
}

function decodeTables(
  tables: MonitoredTables,
  wire: unknown,
  decode: (place: string, columns: ColumnTypes, json: unknown) => RowChange,
): TableChanges {
  const changes = new Map<string, ReadonlyMap<Uuid, RowChange>>();
  for (const [table, rows] of Object.entries(objectOf(wire, "an update"))) {
    const columns = tables.get(table);
    if (columns === undefined) throw new NetError("PROTOCOL", `ovsdb-server sent table "${table}" unasked`);
    const byUuid = new Map<Uuid, RowChange>();
    for (const [uuid, json] of Object.entries(objectOf(rows, table)))
      byUuid.set(rowKey(table, uuid), decode(table, columns, json));
    changes.set(table, byUuid);
  }
  return changes;
}

function rowKey(table: string, text: string): Uuid {
  if (isUuid(text)) return text;
  throw new NetError("PROTOCOL", `ovsdb-server sent a row of ${table} under "${text}" instead of a uuid`);
}

/** A whole row; the server leaves out columns that hold their default. */
function put(table: string, columns: ColumnTypes, wire: WireRow): RowChange {
  const row: Record<string, Value> = {};
  for (const [column, type] of columns) {
    const value = wire[column];
    row[column] = value === undefined ? defaultValue(type) : decodeValue(type, value, `${table}.${column}`);
  }
  return { kind: "put", row: Object.freeze(row) };
}

function patch(table: string, columns: ColumnTypes, wire: WireRow): RowChange {
  const differences = new Map<string, Value>();
  for (const [column, value] of Object.entries(wire)) {
    const type = columns.get(column);
    if (type === undefined) throw new NetError("PROTOCOL", `ovsdb-server sent column ${table}.${column} unasked`);
    differences.set(column, decodeDifference(type, value, `${table}.${column}`));
  }
  return { kind: "patch", differences };
}

/** By hand instead of zod: a first picture holds thousands of rows, and this takes a third of the time. */
function objectOf(json: unknown, place: string): WireRow {
  if (typeof json === "object" && json !== null && !Array.isArray(json)) return json as WireRow;
  throw malformed(place, json);
}

function malformed(place: string, json: unknown): NetError {
  const text = (JSON.stringify(json) ?? "nothing").slice(0, 200);
  return new NetError("PROTOCOL", `ovsdb-server sent ${place} wrongly: ${text}`);
}
