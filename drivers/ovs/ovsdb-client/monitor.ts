import * as z from "zod";
import { asNetError, NetError } from "../../../state/errors.ts";
import type { CallOptions } from "../../../state/waiting/limit.ts";
import { decodeUpdates, decodeUpdates2, type MonitoredTables, type TableChanges } from "./changes.ts";
import type { Condition } from "./operations.ts";
import { type DatabaseSchema, pickColumns, type TableSchema, tableOf } from "./schema.ts";
import type { Session } from "./session.ts";
import { encodeCondition } from "./transact.ts";
import { ZERO_UUID } from "./values.ts";

/** The three ways to watch, best first: ovsdb-server(7) §4.1.15, §4.1.12 and RFC 7047 §4.1.5. */
export type MonitorMethod = "monitor_cond_since" | "monitor_cond" | "monitor";

const METHODS: readonly MonitorMethod[] = ["monitor_cond_since", "monitor_cond", "monitor"];

/** What to watch of a table; rows that match any condition, hence all with none. */
export interface MonitoredTable {
  readonly columns: readonly string[];
  readonly where?: readonly Condition[] | undefined;
}

/** A complete picture, or what changed since the one before. */
export interface MonitorUpdate {
  readonly kind: "snapshot" | "delta";
  readonly method: MonitorMethod;
  readonly changes: TableChanges;
  /** Where the server's history stands after this; undefined when the method keeps none. */
  readonly transactionId: string | undefined;
}

export interface MonitorOptions extends CallOptions {
  /**
   * Called with the first picture before `monitor` returns, then with every change, in order and in the turn in which
   * it came. An exception ends the connection: whoever cannot apply an update is out of step for good.
   */
  readonly onUpdate: (update: MonitorUpdate) => void;
  /** `transactionId` of the last update applied: the server may then send only what changed since. */
  readonly since?: string | undefined;
}

/** A running monitor; disposing it tells the server. */
export interface Monitor extends AsyncDisposable {
  readonly method: MonitorMethod;
}

/** Receives what the server says of one monitor. */
export type UpdateHandler = (method: string, params: readonly unknown[]) => void;

interface MonitorContext {
  readonly session: Session;
  readonly schema: DatabaseSchema;
  readonly handlers: Map<string, UpdateHandler>;
  readonly id: string;
}

/** Starts the best monitor that the server knows. */
export async function startMonitor(
  context: MonitorContext,
  tables: Readonly<Record<string, MonitoredTable>>,
  options: MonitorOptions,
): Promise<Monitor> {
  const monitored = monitoredTables(context.schema, tables);
  for (const method of METHODS) {
    const started = await tryMethod(context, { method, monitored, tables }, options);
    if (started) return { method, [Symbol.asyncDispose]: () => stopMonitor(context) };
  }
  throw new NetError("UNSUPPORTED", "ovsdb-server knows no kind of monitor");
}

function monitoredTables(schema: DatabaseSchema, tables: Readonly<Record<string, MonitoredTable>>): MonitoredTables {
  const monitored = new Map<string, ReturnType<typeof pickColumns>>();
  for (const [name, { columns }] of Object.entries(tables)) {
    monitored.set(name, pickColumns(tableOf(schema, name), columns));
  }
  return monitored;
}

interface Attempt {
  readonly method: MonitorMethod;
  readonly monitored: MonitoredTables;
  readonly tables: Readonly<Record<string, MonitoredTable>>;
}

/** False when the server does not know the method. */
async function tryMethod(context: MonitorContext, attempt: Attempt, options: MonitorOptions): Promise<boolean> {
  const { session, schema, handlers, id } = context;
  const params: unknown[] = [schema.name, id, monitorRequests(schema, attempt)];
  if (attempt.method === "monitor_cond_since") params.push(options.since ?? ZERO_UUID);
  handlers.set(id, (method, payload) => options.onUpdate(decodeNotification(attempt, method, payload)));
  try {
    await session.call(attempt.method, params, {
      ...options,
      accept: (result) => deliverFirst(session, options, () => decodeFirst(attempt, result)),
    });
    return true;
  } catch (thrown) {
    if (thrown instanceof NetError && thrown.reason === "unknown-method") return false;
    if (session.isOpen) void stopMonitor(context); // after a deadline the answer may still come
    throw thrown;
  }
}

function deliverFirst(session: Session, options: MonitorOptions, decode: () => MonitorUpdate): void {
  try {
    options.onUpdate(decode());
  } catch (thrown) {
    session.end(asNetError(thrown, "apply the first picture of a monitor"));
    throw thrown;
  }
}

async function stopMonitor({ session, handlers, id }: MonitorContext): Promise<void> {
  if (!handlers.delete(id)) return;
  try {
    await session.call("monitor_cancel", [id], { accept: () => undefined });
  } catch (thrown) {
    // A connection that is gone watches nothing any more.
    if (!(thrown instanceof NetError)) throw thrown;
  }
}

function monitorRequests(schema: DatabaseSchema, { method, tables }: Attempt): Readonly<Record<string, unknown>> {
  const requests: Record<string, unknown> = {};
  for (const [name, table] of Object.entries(tables)) {
    requests[name] = [monitorRequest(tableOf(schema, name), method, table)];
  }
  return requests;
}

function monitorRequest(schema: TableSchema, method: MonitorMethod, { columns, where = [] }: MonitoredTable): unknown {
  if (where.length === 0) return { columns };
  if (method === "monitor") {
    throw new NetError("UNSUPPORTED", `ovsdb-server cannot watch ${schema.name} under conditions: it is too old`);
  }
  return { columns, where: where.map((condition) => encodeCondition(schema, condition)) };
}

const FirstSince = z.tuple([z.boolean(), z.string(), z.unknown()]);

function decodeFirst({ method, monitored }: Attempt, result: unknown): MonitorUpdate {
  switch (method) {
    case "monitor":
      return { kind: "snapshot", method, changes: decodeUpdates(monitored, result), transactionId: undefined };
    case "monitor_cond":
      return { kind: "snapshot", method, changes: decodeUpdates2(monitored, result), transactionId: undefined };
    case "monitor_cond_since": {
      const first = FirstSince.safeParse(result);
      if (!first.success) throw new NetError("PROTOCOL", `ovsdb-server answered ${method} wrongly`);
      const [found, transactionId, updates] = first.data;
      return { kind: found ? "delta" : "snapshot", method, changes: decodeUpdates2(monitored, updates), transactionId };
    }
    default:
      throw new NetError("INTERNAL", `Forgotten case ${String(method satisfies never)}`);
  }
}

/** `update` is [id, updates] (RFC 7047 §4.1.6), `update2` likewise, `update3` is [id, transaction, updates]. */
function decodeNotification(
  { monitored, method }: Attempt,
  notification: string,
  params: readonly unknown[],
): MonitorUpdate {
  switch (notification) {
    case "update":
      return { kind: "delta", method, changes: decodeUpdates(monitored, params[1]), transactionId: undefined };
    case "update2":
      return { kind: "delta", method, changes: decodeUpdates2(monitored, params[1]), transactionId: undefined };
    case "update3":
      return { kind: "delta", method, changes: decodeUpdates2(monitored, params[2]), transactionId: String(params[1]) };
    default:
      throw new NetError("PROTOCOL", `ovsdb-server sent an update of unknown kind "${notification}"`);
  }
}
