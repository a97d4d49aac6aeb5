import type { ColumnType, Datum } from "./ovsdb-datum.ts";

export type Row = Readonly<Record<string, Datum>>;
export type Tables = ReadonlyMap<string, ReadonlyMap<string, Row>>;

export interface Table {
  readonly name: string;
  readonly columns: ReadonlyMap<string, ColumnType>;
  readonly immutable: ReadonlySet<string>;
  readonly isRoot: boolean;
  readonly maxRows: number;
  readonly indexes: readonly (readonly string[])[];
}

export type Schema = ReadonlyMap<string, Table>;

export type Draft = Map<string, Map<string, Row>>;
