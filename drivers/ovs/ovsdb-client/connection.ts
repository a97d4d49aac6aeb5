import { NetError } from "../../../state/errors.ts";
import type { CallOptions } from "../../../state/waiting/limit.ts";
import { onAbort } from "../../../state/waiting/signals.ts";
import { createLocks, type Locks } from "./locks.ts";
import { type Monitor, type MonitoredTable, type MonitorOptions, startMonitor, type UpdateHandler } from "./monitor.ts";
import type { Operation, OperationResult } from "./operations.ts";
import { type DatabaseSchema, parseSchema } from "./schema.ts";
import { DEFAULT_LIMITS, openSession, type Session, type SessionLimits } from "./session.ts";
import { decodeResults, encodeOperations } from "./transact.ts";

export interface ConnectOptions {
  /** Ends the attempt and, later, the connection. */
  readonly signal?: AbortSignal | undefined;
  /** Deadline of the attempt, schema included; 5 s unless given. */
  readonly timeoutMs?: number | undefined;
  /** `Open_vSwitch` unless given. */
  readonly database?: string | undefined;
  readonly limits?: Partial<SessionLimits> | undefined;
}

/** One connection to one database. It does not come back by itself; see `openReplica` for what does. */
export interface OvsdbConnection extends AsyncDisposable {
  readonly schema: DatabaseSchema;
  /** Resolves when the connection has ended: with the reason, or with nothing when we closed it. Never rejects. */
  readonly closed: Promise<NetError | undefined>;
  /**
   * Runs operations as one transaction: all or nothing. REJECTED carries the server's words and names the operation;
   * TIMEOUT, CLOSED and UNAVAILABLE with the reason `outcome-unknown` leave open whether it was committed.
   */
  transact(operations: readonly Operation[], options?: CallOptions): Promise<readonly OperationResult[]>;
  /** Watches columns of tables, by the best method the server knows. */
  monitor(tables: Readonly<Record<string, MonitoredTable>>, options: MonitorOptions): Promise<Monitor>;
  /** Waits until this connection holds the lock (RFC 7047 §4.1.8); `assertLock` guards transactions with it. */
  lock(name: string, options?: CallOptions): Promise<void>;
  unlock(name: string, options?: CallOptions): Promise<void>;
}

/** Connects to the ovsdb-server at a UNIX socket and reads the schema. UNAVAILABLE when nobody answers there. */
export async function connectOvsdb(socketPath: string, options: ConnectOptions = {}): Promise<OvsdbConnection> {
  const { signal, timeoutMs = 5_000, database = "Open_vSwitch" } = options;
  const limits: SessionLimits = { ...DEFAULT_LIMITS, ...options.limits };
  const handlers = new Map<string, UpdateHandler>();
  const locks = createLocks(() => session);
  const deadlineMs = performance.now() + timeoutMs;
  const session: Session = await openSession(socketPath, {
    signal,
    timeoutMs,
    limits,
    onNotification: (method, params) => dispatch({ handlers, locks }, method, params),
  });
  try {
    const leftMs = Math.max(1, deadlineMs - performance.now());
    const schema = await session.call("get_schema", [database], { signal, timeoutMs: leftMs, accept: parseSchema });
    endWith(session, signal);
    return createConnection({ session, schema, handlers, locks });
  } catch (thrown) {
    session.end(undefined);
    throw thrown;
  }
}

interface Parts {
  readonly session: Session;
  readonly schema: DatabaseSchema;
  readonly handlers: Map<string, UpdateHandler>;
  readonly locks: Locks;
}

function createConnection({ session, schema, handlers, locks }: Parts): OvsdbConnection {
  let monitors = 0;
  return {
    schema,
    closed: session.closed,
    async transact(operations, options = {}) {
      const params = [schema.name, ...encodeOperations(schema, operations)];
      return session.call("transact", params, {
        ...options,
        accept: (answer) => decodeResults(schema, operations, answer),
      });
    },
    monitor(tables, options) {
      monitors += 1;
      return startMonitor({ session, schema, handlers, id: `m${monitors}` }, tables, options);
    },
    lock: (name, options = {}) => locks.acquire(name, options),
    unlock: (name, options = {}) => locks.release(name, options),
    async [Symbol.asyncDispose]() {
      session.end(undefined);
      await session.closed;
    },
  };
}

/** Unknown notifications pass: a newer server may send more than we know. */
function dispatch(
  { handlers, locks }: { readonly handlers: Map<string, UpdateHandler>; readonly locks: Locks },
  method: string,
  params: readonly unknown[],
): void {
  switch (method) {
    case "update":
    case "update2":
    case "update3":
      handlers.get(String(params[0]))?.(method, params);
      return;
    case "locked":
      locks.granted(params[0]);
      return;
    case "monitor_canceled": // ovsdb-server(7) §4.1.17: the database went away
      if (handlers.has(String(params[0]))) throw new NetError("UNAVAILABLE", "ovsdb-server cancelled a monitor");
      return;
    default:
  }
}

function endWith(session: Session, signal: AbortSignal | undefined): void {
  const ignore = onAbort(signal, () => session.end(undefined));
  void session.closed.then(ignore);
}
