import * as z from "zod";
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

const WireRow = z.record(z.string(), z.unknown());
const WireTables = z.record(z.string(), z.record(z.string(), z.unknown()));
/** `<row-update>` of RFC 7047 §4.1.6. */
const RowUpdate = z.object({ new: WireRow.optional(), old: WireRow.optional() });
/** `<row-update2>` of ovsdb-server(7) §4.1.14. */
const RowUpdate2 = z.union([
  z.strictObject({ initial: WireRow }),
  z.strictObject({ insert: WireRow }),
  z.strictObject({ modify: WireRow }),
  z.strictObject({ delete: z.null() }),
]);

/** Decodes `<table-updates>` as `monitor` and `update` carry them. */
export function decodeUpdates(tables: MonitoredTables, wire: unknown): TableChanges {
  return decodeTables(tables, wire, (place, columns, json) => {
    const update = parse(RowUpdate, json, place);
    return update.new === undefined ? { kind: "delete" } : put(place, columns, update.new);
  });
}

/** Decodes `<table-updates2>` as `monitor_cond`, `monitor_cond_since`, `update2` and `update3` carry them. */
export function decodeUpdates2(tables: MonitoredTables, wire: unknown): TableChanges {
  return decodeTables(tables, wire, (place, columns, json) => {
    const update = parse(RowUpdate2, json, place);
    if ("initial" in update) return put(place, columns, update.initial);
    if ("insert" in update) return put(place, columns, update.insert);
    if ("modify" in update) return patch(place, columns, update.modify);
    return { kind: "delete" };
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
  for (const [table, rows] of Object.entries(parse(WireTables, wire, "an update"))) {
    const columns = tables.get(table);
    if (columns === undefined) throw new NetError("PROTOCOL", `ovsdb-server sent table "${table}" unasked`);
    const byUuid = new Map<Uuid, RowChange>();
    for (const [uuid, json] of Object.entries(rows)) byUuid.set(rowKey(table, uuid), decode(table, columns, json));
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

function parse<T>(schema: z.ZodType<T>, json: unknown, place: string): T {
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new NetError("PROTOCOL", `ovsdb-server sent ${place} wrongly: ${z.prettifyError(parsed.error)}`);
}
