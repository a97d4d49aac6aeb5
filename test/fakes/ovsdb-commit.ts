import * as datum from "./ovsdb-datum.ts";
import { type Datum, Refusal } from "./ovsdb-datum.ts";
import type { Draft, Row, Schema, Table, Tables } from "./ovsdb-tables.ts";

/** What the server does at commit: check references, drop what nothing refers to, check sizes and indexes. */
export function settle(schema: Schema, before: Tables, draft: Draft): void {
  for (const table of schema.values()) checkReferences(schema, draft, table);
  dropWeakReferences(schema, draft);
  while (dropOrphans(schema, draft)) dropWeakReferences(schema, draft);
  for (const table of [...schema.values()].sort((a, b) => datum.compare(a.name, b.name))) {
    checkSize(draft, table);
    if (draft.get(table.name) !== before.get(table.name)) checkIndexes(draft, table);
  }
}

function* references(
  schema: Schema,
  draft: Draft,
): Generator<{
  table: Table;
  uuid: string;
  column: string;
  refTable: string;
  weak: boolean;
  side: "keys" | "values";
  to: string;
}> {
  for (const table of schema.values()) {
    for (const [uuid, row] of draft.get(table.name) ?? []) {
      for (const [column, type] of table.columns) {
        for (const side of ["keys", "values"] as const) {
          const base = side === "keys" ? type.key : type.value;
          if (base?.refTable === undefined) continue;
          const weak = base.refType === "weak";
          for (const to of row[column]?.[side] ?? []) {
            yield { table, uuid, column, refTable: base.refTable, weak, side, to: String(to) };
          }
        }
      }
    }
  }
}

function dropOrphans(schema: Schema, draft: Draft): boolean {
  const wanted = new Set<string>();
  for (const { weak, to } of references(schema, draft)) if (!weak) wanted.add(to);
  let dropped = false;
  for (const table of schema.values()) {
    if (table.isRoot) continue;
    for (const uuid of draft.get(table.name)?.keys() ?? []) {
      if (wanted.has(uuid)) continue;
      draft.get(table.name)?.delete(uuid);
      dropped = true;
    }
  }
  return dropped;
}

function dropWeakReferences(schema: Schema, draft: Draft): void {
  for (const { table, uuid, column, refTable, weak, to, side } of [...references(schema, draft)]) {
    if (!weak || draft.get(refTable)?.has(to)) continue;
    const row = draft.get(table.name)?.get(uuid) as Row;
    const old = row[column] as Datum;
    const entries = [...datum.entriesOf(old)].filter(([key, value]) => (side === "keys" ? key : value) !== to);
    const next = old.values === undefined ? { keys: entries.map(([key]) => key) } : datum.fromEntries(entries as never);
    draft.get(table.name)?.set(uuid, { ...row, [column]: next });
  }
}

function checkReferences(schema: Schema, draft: Draft, wanted: Table): void {
  for (const { table, uuid, column, refTable, weak, to } of references(schema, draft)) {
    if (weak || table !== wanted || draft.get(refTable)?.has(to)) continue;
    const text = `Table ${table.name} column ${column} row ${uuid} references nonexistent row ${to} in table ${refTable}.`;
    throw new Refusal("referential integrity violation", text);
  }
}

function checkSize(draft: Draft, { name, maxRows }: Table): void {
  const size = draft.get(name)?.size ?? 0;
  if (size <= maxRows) return;
  const limit = `greater than the schema-defined limit of ${maxRows} row(s)`;
  throw new Refusal("constraint violation", `transaction causes "${name}" table to contain ${size} rows, ${limit}`);
}

function checkIndexes(draft: Draft, table: Table): void {
  for (const index of table.indexes) {
    const seen = new Set<string>();
    for (const row of draft.get(table.name)?.values() ?? []) {
      const value = JSON.stringify(index.map((column) => row[column]));
      if (seen.has(value)) {
        const shown = index.map((column) => row[column]?.keys.join(", ")).join(", ");
        const text = `Transaction causes multiple rows in "${table.name}" table to have identical values (${shown})`;
        throw new Refusal("constraint violation", `${text} for index on column "${index.join('" and "')}".`);
      }
      seen.add(value);
    }
  }
}
