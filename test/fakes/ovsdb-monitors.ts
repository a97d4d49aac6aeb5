import { randomUUID } from "node:crypto";
import { readCondition, wireRow } from "./ovsdb-database.ts";
import * as datum from "./ovsdb-datum.ts";
import { Refusal } from "./ovsdb-datum.ts";
import type { Row, Schema, Table, Tables } from "./ovsdb-tables.ts";

export type MonitorMethod = "monitor" | "monitor_cond" | "monitor_cond_since";

interface Watched {
  readonly table: Table;
  readonly columns: readonly string[];
  readonly holds: (row: Row) => boolean;
}

/** A monitor of one session. */
export interface FakeMonitor {
  readonly method: MonitorMethod;
  readonly watched: readonly Watched[];
}

interface Request {
  readonly columns?: readonly string[];
  readonly where?: readonly unknown[];
}

/** Reads `<monitor-requests>`, or refuses them. */
export function readMonitor(schema: Schema, method: MonitorMethod, requests: unknown): FakeMonitor {
  const watched = Object.entries(requests as Readonly<Record<string, unknown>>).map(([name, request]) => {
    const table = schema.get(name);
    if (table === undefined) throw new Refusal("syntax error", `no table named ${name}`);
    return readRequest(table, (Array.isArray(request) ? request[0] : request) as Request);
  });
  return { method, watched };
}

function readRequest(table: Table, { columns = [...table.columns.keys()], where = [] }: Request): Watched {
  for (const column of columns) {
    if (table.columns.has(column)) continue;
    throw new Refusal("syntax error", `${column} is not a valid column name`, columns);
  }
  if (new Set(columns).size !== columns.length) {
    throw new Refusal("syntax error", "column name mentioned more than once", columns);
  }
  const conditions = where.map((condition) => readCondition({ resolve: () => randomUUID() }, table, condition));
  return { table, columns, holds: (row) => conditions.length === 0 || conditions.some((holds) => holds(row)) };
}

/** `<table-updates>` or `<table-updates2>` from one state to the next; undefined when nothing watched changed. */
export function updates(monitor: FakeMonitor, before: Tables | undefined, after: Tables): unknown {
  const byTable: Record<string, Record<string, unknown>> = {};
  for (const watched of monitor.watched) {
    const rows = tableUpdates(monitor.method, watched, before, after);
    if (Object.keys(rows).length > 0) byTable[watched.table.name] = rows;
  }
  return before !== undefined && Object.keys(byTable).length === 0 ? undefined : byTable;
}

function tableUpdates(
  method: MonitorMethod,
  watched: Watched,
  before: Tables | undefined,
  after: Tables,
): Record<string, unknown> {
  const old = before?.get(watched.table.name) ?? new Map<string, Row>();
  const now = after.get(watched.table.name) ?? new Map<string, Row>();
  const result: Record<string, unknown> = {};
  for (const uuid of new Set([...old.keys(), ...now.keys()])) {
    const [a, b] = [visible(watched, old.get(uuid)), visible(watched, now.get(uuid))];
    if (a === b) continue;
    const update = method === "monitor" ? rowUpdate(watched, a, b) : rowUpdate2(watched, a, b, before === undefined);
    if (update !== undefined) result[uuid] = update;
  }
  return result;
}

function visible(watched: Watched, row: Row | undefined): Row | undefined {
  return row !== undefined && watched.holds(row) ? row : undefined;
}

/** RFC 7047 §4.1.6. */
function rowUpdate({ table, columns }: Watched, before: Row | undefined, after: Row | undefined): unknown {
  const now = after === undefined ? {} : { new: wireRow(table, after, columns) };
  if (before === undefined) return now;
  if (after === undefined) return { old: wireRow(table, before, columns) };
  const changed = changedColumns(columns, before, after);
  return changed.length === 0 ? undefined : { old: wireRow(table, before, changed), ...now };
}

/** ovsdb-server(7) §4.1.14. */
function rowUpdate2(watched: Watched, before: Row | undefined, after: Row | undefined, initial: boolean): unknown {
  const { table, columns } = watched;
  if (after === undefined) return { delete: null };
  if (before === undefined) {
    const given = columns.filter((column) => !isDefault(table, column, after));
    return { [initial ? "initial" : "insert"]: wireRow(table, after, given) };
  }
  const changed = changedColumns(columns, before, after);
  if (changed.length === 0) return undefined;
  const modify: Record<string, unknown> = {};
  for (const column of changed) {
    const type = table.columns.get(column) as datum.ColumnType;
    const change = datum.difference(type, before[column] as datum.Datum, after[column] as datum.Datum);
    modify[column] = datum.toWire(type, change);
  }
  return { modify };
}

function changedColumns(columns: readonly string[], before: Row, after: Row): string[] {
  return columns.filter((c) => !datum.sameDatum(before[c] as datum.Datum, after[c] as datum.Datum));
}

function isDefault(table: Table, column: string, row: Row): boolean {
  const type = table.columns.get(column) as datum.ColumnType;
  return datum.sameDatum(row[column] as datum.Datum, datum.defaultDatum(type));
}
