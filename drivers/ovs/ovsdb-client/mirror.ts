import { NetError } from "../../../state/errors.ts";
import { changedRow, type MonitoredTables, type Row } from "./changes.ts";
import type { MonitorUpdate } from "./monitor.ts";
import { equalValues, type Uuid } from "./values.ts";

/** Rows in memory, by table. */
export type Mirror = ReadonlyMap<string, Map<Uuid, Row>>;

/** The rows that changed, by table. */
export type ChangedRows = ReadonlyMap<string, ReadonlySet<Uuid>>;

export function emptyMirror(tables: Iterable<string>): Mirror {
  return new Map(Array.from(tables, (table) => [table, new Map()]));
}

/**
 * Brings the mirror to what the update says and tells which rows that changed. An update that cannot be applied throws
 * PROTOCOL and leaves the mirror as it was. A row that stays equal stays the same object.
 */
export function applyUpdate(mirror: Mirror, columns: MonitoredTables, update: MonitorUpdate): ChangedRows {
  const changed = new Map<string, ReadonlySet<Uuid>>();
  for (const [table, rows] of nextRows(mirror, columns, update)) {
    const uuids = store(tableOf(mirror, table), rows);
    if (uuids.size > 0) changed.set(table, uuids);
  }
  return changed;
}

type NextRows = ReadonlyMap<string, ReadonlyMap<Uuid, Row | undefined>>;

function nextRows(mirror: Mirror, columns: MonitoredTables, update: MonitorUpdate): NextRows {
  const next = new Map<string, Map<Uuid, Row | undefined>>();
  if (update.kind === "snapshot") for (const [table, rows] of mirror) next.set(table, allGone(rows));
  for (const [table, changes] of update.changes) {
    const types = columns.get(table) ?? new Map();
    const rows = next.get(table) ?? new Map<Uuid, Row | undefined>();
    for (const [uuid, change] of changes) rows.set(uuid, changedRow(types, tableOf(mirror, table).get(uuid), change));
    next.set(table, rows);
  }
  return next;
}

function allGone(rows: ReadonlyMap<Uuid, Row>): Map<Uuid, Row | undefined> {
  const gone = new Map<Uuid, Row | undefined>();
  for (const uuid of rows.keys()) gone.set(uuid, undefined);
  return gone;
}

function store(rows: Map<Uuid, Row>, next: ReadonlyMap<Uuid, Row | undefined>): ReadonlySet<Uuid> {
  const changed = new Set<Uuid>();
  for (const [uuid, row] of next) {
    const old = rows.get(uuid);
    if (equalRows(old, row)) continue;
    if (row === undefined) rows.delete(uuid);
    else rows.set(uuid, row);
    changed.add(uuid);
  }
  return changed;
}

function equalRows(a: Row | undefined, b: Row | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return Object.keys(b).every((column) => equalValues(a[column], b[column]));
}

function tableOf(mirror: Mirror, table: string): Map<Uuid, Row> {
  const rows = mirror.get(table);
  if (rows === undefined) throw new NetError("PROTOCOL", `ovsdb-server sent table "${table}" unasked`);
  return rows;
}
