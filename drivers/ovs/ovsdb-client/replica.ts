import type { NetError } from "../../../state/errors.ts";
import type { BackOffBounds } from "../../../state/waiting/back-off.ts";
import type { CallOptions } from "../../../state/waiting/limit.ts";
import type { RowOf, TableSpecs } from "./columns.ts";
import type { ConnectOptions } from "./connection.ts";
import type { ChangedRows } from "./mirror.ts";
import type { MonitorMethod } from "./monitor.ts";
import type { Operation, OperationResult } from "./operations.ts";
import type { Uuid } from "./values.ts";

export interface ReplicaOptions<T extends TableSpecs> extends ConnectOptions {
  /** The columns to mirror, by table. */
  readonly tables: T;
  /** Deadline of the first complete picture; 10 s unless given. */
  readonly timeoutMs?: number | undefined;
  /** Pauses between attempts to reconnect; 50 ms doubling to 2 s unless given. */
  readonly backoff?: Pick<BackOffBounds, "firstMs" | "maxMs"> | undefined;
  /** Receives losses of the connection, failed attempts and what listeners throw; a process warning unless given. */
  readonly report?: ((error: NetError) => void) | undefined;
}

/** Says "look again" at these rows: they are new, changed or gone. */
export interface ReplicaChange {
  readonly rows: ChangedRows;
  /** True for the comparison after a reconnection: all that changed meanwhile at once, possibly nothing. */
  readonly resynchronised: boolean;
}

export interface WaitOptions extends CallOptions {
  /** What is waited for, for the error: completes "Cannot …". */
  readonly deed?: string | undefined;
}

/**
 * Chosen columns of chosen tables in memory, kept up over reconnections. While the server is away the last rows stay
 * and `connected` is false. What our own transaction changed is there when its `transact` returns.
 */
export interface Replica<T extends TableSpecs = TableSpecs> extends AsyncDisposable {
  /** Live view: it changes between turns of the event loop, the rows themselves never do. */
  rows<N extends keyof T & string>(table: N): ReadonlyMap<Uuid, RowOf<T[N]>>;
  /** Adds a listener and returns what removes it. An exception in a listener goes to `report`. */
  onChange(listener: (change: ReplicaChange) => void): () => void;
  /** Calls back when the rows are complete again after the server was away; changes are announced first. */
  onReconnect(listener: () => void): () => void;
  onDisconnect(listener: (reason: NetError) => void): () => void;
  /** Waits until `find`, called now and after every change, gives something other than `undefined` or `false`. */
  waitFor<V>(find: () => V | undefined | false, options?: WaitOptions): Promise<V>;
  /** Runs a transaction; UNAVAILABLE at once while the server is away. */
  transact(operations: readonly Operation[], options?: CallOptions): Promise<readonly OperationResult[]>;
  readonly connected: boolean;
  /** How the server is watched at present. */
  readonly method: MonitorMethod | undefined;
}
