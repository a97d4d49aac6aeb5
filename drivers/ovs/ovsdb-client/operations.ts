import type { NamedUuid, Uuid, Value, ValueInput } from "./values.ts";

/** Columns to write, by name; a column set to `undefined` is emptied. */
export type RowInput = Readonly<Record<string, ValueInput>>;

/** Comparison of a condition (RFC 7047 §5.1); the ordered ones are for numbers, `includes` reads "contains all of". */
export type Comparison = "==" | "!=" | "<" | "<=" | ">" | ">=" | "includes" | "excludes";

/** `<condition>`: a row matches when all its conditions hold, hence every row with none. */
export type Condition = readonly [column: string, comparison: Comparison, value: ValueInput];

/** `<mutator>` of RFC 7047 §5.1; the arithmetic ones want a number. */
export type Mutator = "+=" | "-=" | "*=" | "/=" | "%=" | "insert" | "delete";

/** `<mutation>`; `delete` on a map takes an array of keys, or pairs that go only where the value matches too. */
export type Mutation = readonly [column: string, mutator: Mutator, value: ValueInput];

/** One operation of a transaction (RFC 7047 §5.2). */
export type Operation =
  | {
      readonly op: "insert";
      readonly table: string;
      readonly row: RowInput;
      readonly as?: string | undefined;
    }
  | {
      readonly op: "select";
      readonly table: string;
      readonly where: readonly Condition[];
      readonly columns?: readonly string[] | undefined;
    }
  | { readonly op: "update"; readonly table: string; readonly where: readonly Condition[]; readonly row: RowInput }
  | {
      readonly op: "mutate";
      readonly table: string;
      readonly where: readonly Condition[];
      readonly mutations: readonly Mutation[];
    }
  | { readonly op: "delete"; readonly table: string; readonly where: readonly Condition[] }
  | {
      readonly op: "wait";
      readonly table: string;
      readonly where: readonly Condition[];
      readonly columns: readonly string[];
      readonly until: "==" | "!=";
      readonly rows: readonly RowInput[];
      readonly timeoutMs: number;
    }
  | { readonly op: "commit"; readonly durable: boolean }
  | { readonly op: "abort" }
  | { readonly op: "comment"; readonly comment: string }
  | { readonly op: "assert"; readonly lock: string };

/** What an operation gave, tagged by the operation (RFC 7047 §5.2 "result"). */
export type OperationResult =
  | { readonly op: "insert"; readonly uuid: Uuid }
  | { readonly op: "select"; readonly rows: readonly Readonly<Record<string, Value>>[] }
  | { readonly op: "update" | "mutate" | "delete"; readonly count: number }
  | { readonly op: "wait" | "commit" | "abort" | "comment" | "assert" };

/** Inserts a row; `as` lets other operations of the transaction refer to it by `named(as)`. */
export function insert(table: string, row: RowInput, options: { readonly as?: string } = {}): Operation {
  return { op: "insert", table, row, as: options.as };
}

/** Reads the matching rows; all columns, `_uuid` and `_version` included, when none is named. */
export function select(table: string, where: readonly Condition[], columns?: readonly string[]): Operation {
  return { op: "select", table, where, columns };
}

/** Writes columns of the matching rows. */
export function update(table: string, where: readonly Condition[], row: RowInput): Operation {
  return { op: "update", table, where, row };
}

/** Changes columns of the matching rows in place: counters, members of sets, pairs of maps. */
export function mutate(table: string, where: readonly Condition[], mutations: readonly Mutation[]): Operation {
  return { op: "mutate", table, where, mutations };
}

/** Deletes the matching rows; rows of a table that is no root go by themselves when nothing refers to them. */
export function deleteRows(table: string, where: readonly Condition[]): Operation {
  return { op: "delete", table, where };
}

/**
 * Lets the transaction go on only when the columns of the matching rows are (`==`) or are not (`!=`) the given rows.
 * With `timeoutMs` 0, the default, it is a guard; otherwise the server holds the transaction back that long.
 */
export function wait(
  table: string,
  where: readonly Condition[],
  options: {
    readonly columns: readonly string[];
    readonly until: "==" | "!=";
    readonly rows: readonly RowInput[];
    readonly timeoutMs?: number;
  },
): Operation {
  const { columns, until, rows, timeoutMs = 0 } = options;
  return { op: "wait", table, where, columns, until, rows, timeoutMs };
}

/** Text for the server's log of transactions (`ovsdb-tool show-log`). */
export function comment(text: string): Operation {
  return { op: "comment", comment: text };
}

/** Fails the transaction unless this connection holds the lock. */
export function assertLock(lock: string): Operation {
  return { op: "assert", lock };
}

/** Asks that the transaction be on disk (`durable`) before it is answered. */
export function commit(options: { readonly durable: boolean }): Operation {
  return { op: "commit", durable: options.durable };
}

/** Fails the transaction always: for trying out whether one would pass up to here. */
export function abort(): Operation {
  return { op: "abort" };
}

/** The condition that picks one row by its identity. */
export function byUuid(uuid: Uuid | NamedUuid): readonly Condition[] {
  return [["_uuid", "==", uuid]];
}

/** The condition that picks rows by the value of one column. */
export function byColumn(column: string, value: ValueInput): readonly Condition[] {
  return [[column, "==", value]];
}
