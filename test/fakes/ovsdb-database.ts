import { randomUUID } from "node:crypto";
import { settle } from "./ovsdb-commit.ts";
import * as datum from "./ovsdb-datum.ts";
import { type ColumnType, type Datum, Refusal } from "./ovsdb-datum.ts";
import type { Draft, Row, Schema, Table, Tables } from "./ovsdb-tables.ts";

type Json = Readonly<Record<string, unknown>>;

interface Context {
  readonly schema: Schema;
  readonly draft: Draft;
  readonly resolve: (name: string) => string;
  readonly declared: Set<string>;
  readonly place: string;
  readonly holdsLock: (lock: string) => boolean;
}

/** Outcome of a transaction: the tables after it, or undefined when it was refused; `blocked` when a wait holds it. */
export interface Outcome {
  readonly results: readonly unknown[];
  readonly tables?: Tables;
  readonly blockedMs?: number;
}

interface RawTable {
  readonly columns: Readonly<Record<string, { readonly type: unknown; readonly mutable?: boolean }>>;
  readonly isRoot?: boolean;
  readonly maxRows?: number;
  readonly indexes?: readonly (readonly string[])[];
}

const REFERENCE: ColumnType = { key: { type: "uuid" }, min: 1, max: 1 };

export function readSchema(json: unknown): Schema {
  const { tables } = json as { readonly tables: Readonly<Record<string, RawTable>> };
  return new Map(Object.entries(tables).map(([name, raw]) => [name, readTable(name, raw)]));
}

function readTable(name: string, raw: RawTable): Table {
  const columns = Object.entries(raw.columns);
  const builtIn: [string, ColumnType][] = [
    ["_uuid", REFERENCE],
    ["_version", REFERENCE],
  ];
  return {
    name,
    columns: new Map([...builtIn, ...columns.map(([c, { type }]) => [c, datum.parseType(type)] as const)]),
    immutable: new Set(["_uuid", "_version", ...columns.filter(([, c]) => c.mutable === false).map(([c]) => c)]),
    isRoot: raw.isRoot ?? false,
    maxRows: raw.maxRows ?? Number.POSITIVE_INFINITY,
    indexes: raw.indexes ?? [],
  };
}

export function emptyTables(schema: Schema): Tables {
  return new Map([...schema.keys()].map((name) => [name, new Map()]));
}

/** Runs a transaction on a draft; nothing is changed until the caller takes `tables`. */
export function transact(
  schema: Schema,
  tables: Tables,
  operations: readonly unknown[],
  holdsLock: (lock: string) => boolean,
): Outcome {
  const draft: Draft = new Map([...tables].map(([name, rows]) => [name, new Map(rows)]));
  const names = new Map<string, string>();
  const resolve = (name: string) => names.get(name) ?? names.set(name, randomUUID()).get(name) ?? "";
  const declared = new Set<string>();
  const results: unknown[] = operations.map(() => null);
  for (const [index, operation] of operations.entries()) {
    const place = `ovsdb operation ${index + 1} of ${operations.length}`;
    try {
      results[index] = run({ schema, draft, resolve, declared, place, holdsLock }, operation as Json);
    } catch (thrown) {
      if (thrown instanceof Blocked) return { results, blockedMs: thrown.timeoutMs };
      if (!(thrown instanceof Refusal)) throw thrown;
      results[index] = thrown.wire;
      return { results };
    }
  }
  try {
    settle(schema, tables, draft);
  } catch (thrown) {
    if (!(thrown instanceof Refusal)) throw thrown;
    return { results: [...results, thrown.wire] };
  }
  return { results, tables: stamped(tables, draft) };
}

/** A `wait` that does not hold yet. */
class Blocked extends Error {
  readonly timeoutMs: number;
  constructor(timeoutMs: number) {
    super("blocked");
    this.timeoutMs = timeoutMs;
  }
}

const MEMBERS: Readonly<Record<string, { readonly must: readonly string[]; readonly may: readonly string[] }>> = {
  insert: { must: ["row"], may: ["uuid-name"] },
  select: { must: ["where"], may: ["columns"] },
  update: { must: ["where", "row"], may: [] },
  mutate: { must: ["where", "mutations"], may: [] },
  delete: { must: ["where"], may: [] },
  wait: { must: ["where", "columns", "until", "rows"], may: ["timeout"] },
  commit: { must: ["durable"], may: [] },
  abort: { must: [], may: [] },
  comment: { must: ["comment"], may: [] },
  assert: { must: ["lock"], may: [] },
};

function run(context: Context, operation: Json): unknown {
  const table = checkMembers(context, operation);
  switch (operation.op) {
    case "insert":
      return insert(context, table(), operation);
    case "select":
      return select(context, table(), operation);
    case "update":
      return update(context, table(), operation);
    case "mutate":
      return mutate(context, table(), operation);
    case "delete":
      return remove(context, table(), operation);
    case "wait":
      return wait(context, table(), operation);
    case "abort":
      throw new Refusal("aborted", "aborted by request");
    case "assert":
      if (context.holdsLock(String(operation.lock))) return {};
      throw new Refusal("not owner", `Asserted lock ${String(operation.lock)} not held.`);
    default:
      return {};
  }
}

function checkMembers({ schema, place }: Context, operation: Json): () => Table {
  const failed = (why: string) => new Refusal("syntax error", `Parsing ${place} failed: ${why}`, operation);
  const { op } = operation;
  if (op === undefined) throw failed("Required 'op' member is missing.");
  const members = MEMBERS[String(op)];
  if (members === undefined) throw failed(`No operation "${String(op)}"`);
  const onTable = !["commit", "abort", "comment", "assert"].includes(String(op));
  const table = onTable ? schema.get(String(operation.table)) : undefined;
  if (onTable && table === undefined) throw failed(`No table named ${String(operation.table)}.`);
  for (const member of members.must) {
    if (!(member in operation)) throw failed(`Required '${member}' member is missing.`);
  }
  const known = new Set(["op", ...(onTable ? ["table"] : []), ...members.must, ...members.may]);
  const stray = Object.keys(operation).find((member) => !known.has(member));
  if (stray !== undefined) throw failed(`Member '${stray}' is present but not allowed here.`);
  const name = operation["uuid-name"];
  if (name !== undefined && !/^[A-Za-z_][A-Za-z0-9_]*$/.test(String(name))) {
    throw failed("Type mismatch for member 'uuid-name'.");
  }
  return () => table as Table;
}

function insert(context: Context, table: Table, operation: Json): unknown {
  const name = operation["uuid-name"] as string | undefined;
  if (name !== undefined && context.declared.has(name)) {
    throw new Refusal("duplicate uuid-name", 'This "uuid-name" appeared on an earlier "insert" operation.', name);
  }
  if (name !== undefined) context.declared.add(name);
  const uuid = name === undefined ? randomUUID() : context.resolve(name);
  const given = parseRow(context, table, operation.row);
  const row: Record<string, Datum> = {};
  for (const [column, type] of table.columns) row[column] = given[column] ?? datum.defaultDatum(type);
  row._uuid = { keys: [uuid] };
  rowsOf(context, table).set(uuid, row);
  return { uuid: ["uuid", uuid] };
}

function select(context: Context, table: Table, operation: Json): unknown {
  const columns = (operation.columns as string[] | undefined) ?? [...table.columns.keys()];
  const rows = matching(context, table, operation).map(([, row]) => wireRow(table, row, columns));
  return { rows };
}

function update(context: Context, table: Table, operation: Json): unknown {
  const given = parseRow(context, table, operation.row);
  for (const column of Object.keys(given)) {
    if (!table.immutable.has(column)) continue;
    const text = `Cannot update immutable column ${column} in table ${table.name}.`;
    throw new Refusal("constraint violation", text, operation);
  }
  return each(context, table, operation, (row) => ({ ...row, ...given }));
}

function mutate(context: Context, table: Table, operation: Json): unknown {
  const mutations = operation.mutations as readonly (readonly [string, string, unknown])[];
  const steps = mutations.map((mutation) => mutationStep(context, table, mutation));
  return each(context, table, operation, (row) => steps.reduce((result, step) => step(result), row));
}

function remove(context: Context, table: Table, operation: Json): unknown {
  const rows = matching(context, table, operation);
  for (const [uuid] of rows) rowsOf(context, table).delete(uuid);
  return { count: rows.length };
}

function wait(context: Context, table: Table, operation: Json): unknown {
  const { until } = operation;
  if (until !== "==" && until !== "!=") throw new Refusal("syntax error", '"until" must be "==" or "!="', until);
  const columns = operation.columns as readonly string[];
  const wanted = (operation.rows as readonly unknown[]).map((row) => parseRow(context, table, row));
  const present = matching(context, table, operation).map(([, row]) => row);
  const text = (rows: readonly Row[]) => rows.map((row) => JSON.stringify(columns.map((c) => row[c]))).sort();
  const equal = JSON.stringify(text(wanted)) === JSON.stringify(text(present));
  if (equal === (until === "==")) return {};
  const timeoutMs = (operation.timeout as number | undefined) ?? Number.POSITIVE_INFINITY;
  if (timeoutMs > 0) throw new Blocked(timeoutMs);
  throw new Refusal("timed out", '"where" clause test failed');
}

function each(context: Context, table: Table, operation: Json, change: (row: Row) => Row): unknown {
  const rows = matching(context, table, operation);
  for (const [uuid, row] of rows) rowsOf(context, table).set(uuid, change(row));
  return { count: rows.length };
}

function mutationStep(context: Context, table: Table, mutation: readonly [string, string, unknown]): (row: Row) => Row {
  const [column, mutator, argument] = mutation;
  const type = columnOf(table, column, mutation);
  if (table.immutable.has(column)) {
    const text = `Cannot mutate immutable column ${column} in table ${table.name}.`;
    throw new Refusal("constraint violation", text, mutation);
  }
  const change = mutator === "insert" || mutator === "delete" ? members(context, type, mutation) : arithmetic();
  return (row) => {
    const next = change(row[column] ?? datum.defaultDatum(type));
    if (next.keys.length < type.min || next.keys.length > type.max) {
      const text = `Attempted to store ${next.keys.length} elements in set of ${type.min} to ${type.max} elements`;
      throw new Refusal("constraint violation", text);
    }
    return { ...row, [column]: next };
  };

  function arithmetic(): (old: Datum) => Datum {
    const numeric = type.value === undefined && ["integer", "real"].includes(type.key.type);
    if (!numeric)
      throw new Refusal("syntax error", `Type mismatch: "${mutator}" operator may not be applied`, mutation);
    const [by] = datum.parseDatum({ key: { type: type.key.type }, min: 1, max: 1 }, argument, context).keys;
    if ((mutator === "/=" || mutator === "%=") && by === 0) throw new Refusal("domain error", "Division by zero.");
    return ({ keys }) => ({ keys: keys.map((key) => calculate(mutator, Number(key), Number(by))) });
  }
}

function calculate(mutator: string, a: number, b: number): number {
  switch (mutator) {
    case "+=":
      return a + b;
    case "-=":
      return a - b;
    case "*=":
      return a * b;
    case "/=":
      return Math.trunc(a / b);
    case "%=":
      return a % b;
    default:
      throw new Refusal("unknown mutator", `No mutator named ${mutator}.`);
  }
}

function members(
  context: Context,
  type: ColumnType,
  [, mutator, argument]: readonly [string, string, unknown],
): (old: Datum) => Datum {
  const keysOnly = mutator === "delete" && !(Array.isArray(argument) && argument[0] === "map");
  const given = datum.parseDatum(keysOnly ? keyType(type) : type, argument, { ...context, anySize: true });
  return (old) => {
    const entries = datum.entriesOf(old);
    for (const [key, value] of datum.entriesOf(given)) {
      if (mutator === "insert" && !entries.has(key)) entries.set(key, value);
      if (mutator === "delete" && (keysOnly || entries.get(key) === value)) entries.delete(key);
    }
    return type.value === undefined
      ? { keys: [...entries.keys()].sort(datum.compare) }
      : datum.fromEntries(entries as Map<datum.Atom, datum.Atom>);
  };
}

function keyType({ key, min, max }: ColumnType): ColumnType {
  return { key, min, max };
}

function parseRow(context: Context, table: Table, wire: unknown): Row {
  const row: Record<string, Datum> = {};
  for (const [column, value] of Object.entries(wire as Json)) {
    row[column] = datum.parseDatum(columnOf(table, column, wire), value, context);
  }
  return row;
}

function columnOf(table: Table, column: string, syntax: unknown): ColumnType {
  const type = table.columns.get(column);
  if (type !== undefined) return type;
  throw new Refusal("unknown column", `No column ${column} in table ${table.name}.`, syntax);
}

function matching(context: Context, table: Table, operation: Json): [string, Row][] {
  const conditions = (operation.where as readonly unknown[]).map((c) => readCondition(context, table, c));
  return [...rowsOf(context, table)].filter(([, row]) => conditions.every((holds) => holds(row)));
}

/** Reads `<condition>`, also for monitors. */
export function readCondition(
  context: Pick<Context, "resolve">,
  table: Table,
  condition: unknown,
): (row: Row) => boolean {
  const [column, comparison, argument] = condition as readonly [string, string, unknown];
  const type = columnOf(table, column, condition);
  const wanted = datum.parseDatum(type, argument, { ...context, anySize: true });
  return (row) => holds(comparison, row[column] ?? datum.defaultDatum(type), wanted);
}

function holds(comparison: string, present: Datum, wanted: Datum): boolean {
  const [a, b] = [Number(present.keys[0]), Number(wanted.keys[0])];
  const entries = datum.entriesOf(present);
  const has = ([key, value]: [datum.Atom, unknown]) => entries.has(key) && entries.get(key) === value;
  switch (comparison) {
    case "==":
      return datum.sameDatum(present, wanted);
    case "!=":
      return !datum.sameDatum(present, wanted);
    case "<":
      return a < b;
    case "<=":
      return a <= b;
    case ">":
      return a > b;
    case ">=":
      return a >= b;
    case "includes":
      return [...datum.entriesOf(wanted)].every(has);
    case "excludes":
      return ![...datum.entriesOf(wanted)].some(has);
    default:
      throw new Refusal("unknown function", `No function named ${comparison}.`);
  }
}

function rowsOf({ draft }: Context, table: Table): Map<string, Row> {
  return draft.get(table.name) ?? new Map();
}

/** The columns of a row as the server sends them. */
export function wireRow(table: Table, row: Row, columns: Iterable<string>): Record<string, unknown> {
  const wire: Record<string, unknown> = {};
  for (const column of columns) {
    const type = columnOf(table, column, [...columns]);
    wire[column] = datum.toWire(type, row[column] ?? datum.defaultDatum(type));
  }
  return wire;
}

/** Gives every changed row a new `_version`, and every unchanged table and row its old identity. */
function stamped(before: Tables, draft: Draft): Tables {
  const after = new Map<string, ReadonlyMap<string, Row>>();
  for (const [name, rows] of draft) {
    const old = before.get(name) ?? new Map<string, Row>();
    for (const [uuid, row] of rows) {
      const present = old.get(uuid);
      if (present === row) continue;
      if (present !== undefined && JSON.stringify(present) === JSON.stringify(row)) rows.set(uuid, present);
      else rows.set(uuid, { ...row, _version: { keys: [randomUUID()] } });
    }
    after.set(name, rows);
  }
  return after;
}
