import * as z from "zod";
import { NetError } from "../../../state/errors.ts";
import { asServerError, refusal } from "./messages.ts";
import type { Condition, Mutation, Operation, OperationResult, RowInput } from "./operations.ts";
import {
  type ColumnType,
  columnOf,
  type DatabaseSchema,
  IDENTIFIER,
  isMap,
  type TableSchema,
  tableOf,
} from "./schema.ts";
import {
  decodeValue,
  encodeAtom,
  encodeSet,
  encodeText,
  encodeValue,
  isUuid,
  type Uuid,
  type Value,
} from "./values.ts";

type WireOperation = Readonly<Record<string, unknown>>;

/** Encodes a transaction's operations (RFC 7047 §5.2); a wrong value is an INVALID error that names its operation. */
export function encodeOperations(schema: DatabaseSchema, operations: readonly Operation[]): readonly WireOperation[] {
  return operations.map((operation, index) => {
    const place = placeOf(operations, index);
    try {
      return encodeOperation(schema, operation);
    } catch (thrown) {
      if (!(thrown instanceof NetError)) throw thrown;
      throw new NetError(thrown.code, `Cannot send ${place}: ${thrown.message}`, { cause: thrown });
    }
  });
}

function encodeOperation(schema: DatabaseSchema, operation: Operation): WireOperation {
  switch (operation.op) {
    case "commit":
      return { op: operation.op, durable: operation.durable };
    case "abort":
      return { op: operation.op };
    case "comment":
      return { op: operation.op, comment: encodeText(operation.comment, "The comment") };
    case "assert":
      return { op: operation.op, lock: identifier(operation.lock, "lock") };
    case "insert":
    case "select":
    case "update":
    case "mutate":
    case "delete":
    case "wait":
      return { op: operation.op, table: operation.table, ...encodeTableOperation(schema, operation) };
    default:
      return forgotten(operation);
  }
}

function encodeTableOperation(
  schema: DatabaseSchema,
  operation: Extract<Operation, { readonly table: string }>,
): WireOperation {
  const table = tableOf(schema, operation.table);
  if (operation.op === "insert") {
    const row = encodeRow(table, operation.row);
    return operation.as === undefined
      ? { row }
      : { row, "uuid-name": identifier(operation.as, "name for the new row") };
  }
  const where = operation.where.map((condition) => encodeCondition(table, condition));
  switch (operation.op) {
    case "select":
      return operation.columns === undefined ? { where } : { where, columns: knownColumns(table, operation.columns) };
    case "update":
      return { where, row: encodeRow(table, operation.row) };
    case "mutate":
      return { where, mutations: operation.mutations.map((mutation) => encodeMutation(table, mutation)) };
    case "delete":
      return { where };
    case "wait":
      return {
        where,
        columns: knownColumns(table, operation.columns),
        until: operation.until,
        rows: operation.rows.map((row) => encodeRow(table, row)),
        timeout: Math.max(0, Math.ceil(operation.timeoutMs)),
      };
    default:
      return forgotten(operation);
  }
}

function encodeRow(table: TableSchema, row: RowInput): WireOperation {
  const wire: Record<string, unknown> = {};
  for (const [column, value] of Object.entries(row)) {
    wire[column] = encodeValue(columnOf(table, column), value, `${table.name}.${column}`);
  }
  return wire;
}

/** Encodes `<condition>`, also for the `where` of monitors. */
export function encodeCondition(table: TableSchema, [column, comparison, value]: Condition): readonly unknown[] {
  return [column, comparison, encodeValue(columnOf(table, column), value, `${table.name}.${column}`)];
}

function encodeMutation(table: TableSchema, [column, mutator, value]: Mutation): readonly unknown[] {
  const type = columnOf(table, column);
  const place = `${table.name}.${column}`;
  switch (mutator) {
    case "insert":
      return [column, mutator, encodeValue(type, value, place)];
    case "delete":
      return [column, mutator, encodeRemoval(type, value, place)];
    case "+=":
    case "-=":
    case "*=":
    case "/=":
    case "%=":
      return [column, mutator, encodeAtom(type.key, value, place)];
    default:
      return forgotten(mutator);
  }
}

/** `delete` on a map takes a set of keys as well as pairs (RFC 7047 §5.1 `<mutation>`). */
function encodeRemoval(type: ColumnType, value: Mutation[2], place: string): unknown {
  if (isMap(type) && Array.isArray(value)) return encodeSet(type.key, value, place);
  return encodeValue(type, value, place);
}

function knownColumns(table: TableSchema, columns: readonly string[]): readonly string[] {
  for (const column of columns) columnOf(table, column);
  return columns;
}

/** Passes what RFC 7047 §3.1 allows as `<id>`. */
export function identifier(text: string, what: string): string {
  if (IDENTIFIER.test(text)) return text;
  throw new NetError("INVALID", `"${text}" is no ${what}: letters, digits and underscores only`);
}

const Count = z.object({ count: z.int().min(0) });
const Inserted = z.object({ uuid: z.tuple([z.literal("uuid"), z.custom<Uuid>(isUuid)]) });
const Selected = z.object({ rows: z.array(z.record(z.string(), z.unknown())) });

/**
 * Decodes the answer to a transaction. The first operation the server refused is thrown as REJECTED with its words;
 * an answer with one element more than asked for says that the commit failed (RFC 7047 §4.1.3).
 */
export function decodeResults(
  schema: DatabaseSchema,
  operations: readonly Operation[],
  answer: unknown,
): readonly OperationResult[] {
  if (!Array.isArray(answer)) throw new NetError("PROTOCOL", "ovsdb-server answered a transaction with no array");
  answer.forEach((element, index) => {
    const error = element === null ? undefined : asServerError(element);
    if (error !== undefined) throw refusal(placeOf(operations, index), error);
  });
  if (answer.length !== operations.length) {
    throw new NetError(
      "PROTOCOL",
      `ovsdb-server answered ${operations.length} operations with ${answer.length} results`,
    );
  }
  return operations.map((operation, index) => decodeResult(schema, operation, answer[index]));
}

function decodeResult(schema: DatabaseSchema, operation: Operation, wire: unknown): OperationResult {
  switch (operation.op) {
    case "insert":
      return { op: operation.op, uuid: read(Inserted, wire, operation.op).uuid[1] };
    case "select": {
      const table = tableOf(schema, operation.table);
      return { op: operation.op, rows: read(Selected, wire, operation.op).rows.map((row) => decodeRow(table, row)) };
    }
    case "update":
    case "mutate":
    case "delete":
      return { op: operation.op, count: read(Count, wire, operation.op).count };
    case "wait":
    case "commit":
    case "abort":
    case "comment":
    case "assert":
      return { op: operation.op };
    default:
      return forgotten(operation);
  }
}

function decodeRow(table: TableSchema, wire: Readonly<Record<string, unknown>>): Readonly<Record<string, Value>> {
  const row: Record<string, Value> = {};
  for (const [column, value] of Object.entries(wire)) {
    row[column] = decodeValue(columnOf(table, column), value, `${table.name}.${column}`);
  }
  return Object.freeze(row);
}

function read<T>(schema: z.ZodType<T>, wire: unknown, op: string): T {
  const parsed = schema.safeParse(wire);
  if (parsed.success) return parsed.data;
  throw new NetError("PROTOCOL", `ovsdb-server answered "${op}" wrongly: ${z.prettifyError(parsed.error)}`);
}

/** The uuid that the insert at that position gave. */
export function insertedUuid(results: readonly OperationResult[], index: number): Uuid {
  const result = results[index];
  if (result?.op === "insert") return result.uuid;
  throw new NetError("INTERNAL", `Operation ${index + 1} is no insert but ${result?.op ?? "absent"}`);
}

/** The rows that the select at that position gave. */
export function selectedRows(
  results: readonly OperationResult[],
  index: number,
): readonly Readonly<Record<string, Value>>[] {
  const result = results[index];
  if (result?.op === "select") return result.rows;
  throw new NetError("INTERNAL", `Operation ${index + 1} is no select but ${result?.op ?? "absent"}`);
}

function placeOf(operations: readonly Operation[], index: number): string {
  const operation = operations[index];
  if (operation === undefined) return `the commit of ${operations.length} operations`;
  const table = "table" in operation ? ` ${operation.table}` : "";
  return `operation ${index + 1} of ${operations.length} (${operation.op}${table})`;
}

function forgotten(value: never): never {
  throw new NetError("INTERNAL", `Forgotten case ${JSON.stringify(value)}`);
}
