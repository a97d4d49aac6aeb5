import { asNetError, NetError } from "../../../state/errors.ts";
import { BackOff } from "../../../state/waiting/back-off.ts";
import { type CallOptions, waitFor } from "../../../state/waiting/limit.ts";
import { pause } from "../../../state/waiting/pause.ts";
import { onAbort } from "../../../state/waiting/signals.ts";
import type { MonitoredTables } from "./changes.ts";
import { checkSpecs, columnNames, type RowOf, type TableSpecs } from "./columns.ts";
import { connectOvsdb, type OvsdbConnection } from "./connection.ts";
import { ovsdbLimit } from "./limit.ts";
import { createListeners } from "./listeners.ts";
import { applyUpdate, emptyMirror, type Mirror } from "./mirror.ts";
import type { MonitoredTable, MonitorMethod, MonitorUpdate } from "./monitor.ts";
import type { Operation, OperationResult } from "./operations.ts";
import type { Replica, ReplicaChange, ReplicaOptions, WaitOptions } from "./replica.ts";
import { type DatabaseSchema, pickColumns, tableOf } from "./schema.ts";
import type { Uuid } from "./values.ts";

const DEFAULT_BACKOFF = { firstMs: 50, maxMs: 2_000 };
const ATTEMPT_TIMEOUT_MS = 5_000;
const FIRST_PICTURE_TIMEOUT_MS = 10_000;
const WAIT_TIMEOUT_MS = 10_000;

interface Waiter {
  look(): void;
  giveUp(): void;
}

/** Keeps a mirror of the database: connects, watches, and begins anew whenever the connection is lost. */
export class Keeper<T extends TableSpecs> implements Replica<T> {
  readonly #socketPath: string;
  readonly #options: ReplicaOptions<T>;
  readonly #requests: Readonly<Record<string, MonitoredTable>>;
  readonly #mirror: Mirror;
  readonly #ending = new AbortController();
  readonly #waiters = new Set<Waiter>();
  readonly #report: (error: NetError) => void;
  readonly #changes;
  readonly #reconnects;
  readonly #disconnects;
  #ignoreSignal: () => void = () => undefined;
  readonly #running: Promise<void>;
  #connection: OvsdbConnection | undefined;
  #method: MonitorMethod | undefined;
  #pictures = 0;
  #position: { readonly transactionId: string; readonly schema: DatabaseSchema } | undefined;
  #lastError: NetError | undefined;
  #hopeless: NetError | undefined;

  constructor(socketPath: string, options: ReplicaOptions<T>) {
    this.#socketPath = socketPath;
    this.#options = options;
    this.#requests = monitorRequests(options.tables);
    this.#mirror = emptyMirror(Object.keys(options.tables));
    this.#report = options.report ?? ((error) => process.emitWarning(error));
    this.#changes = createListeners<ReplicaChange>("change", this.#report);
    this.#reconnects = createListeners<void>("reconnect", this.#report);
    this.#disconnects = createListeners<NetError>("disconnect", this.#report);
    this.#ignoreSignal = onAbort(options.signal, () => this.#end());
    this.#running = this.#run();
  }

  get connected(): boolean {
    return this.#connection !== undefined;
  }

  get method(): MonitorMethod | undefined {
    return this.#method;
  }

  rows<N extends keyof T & string>(table: N): ReadonlyMap<Uuid, RowOf<T[N]>> {
    const rows = this.#mirror.get(table);
    if (rows === undefined) throw new NetError("INTERNAL", `Table ${table} is not mirrored`);
    // The column types were checked against the schema when the connection was made.
    return rows as unknown as ReadonlyMap<Uuid, RowOf<T[N]>>;
  }

  onChange(listener: (change: ReplicaChange) => void): () => void {
    return this.#changes.add(listener);
  }

  onReconnect(listener: () => void): () => void {
    return this.#reconnects.add(listener);
  }

  onDisconnect(listener: (reason: NetError) => void): () => void {
    return this.#disconnects.add(listener);
  }

  async transact(operations: readonly Operation[], options: CallOptions = {}): Promise<readonly OperationResult[]> {
    if (this.#connection !== undefined) return this.#connection.transact(operations, options);
    const deed = `change OVSDB at ${this.#socketPath}`;
    if (this.#ending.signal.aborted) throw closed(deed);
    throw this.#away(`Cannot ${deed}`);
  }

  async waitFor<V>(find: () => V | undefined | false, options: WaitOptions = {}): Promise<V> {
    const { deed = `find what is waited for in OVSDB at ${this.#socketPath}` } = options;
    let waiter: Waiter | undefined;
    try {
      return await waitFor<V>(ovsdbLimit(deed, options, WAIT_TIMEOUT_MS), (resolve, reject) => {
        waiter = {
          look: () => look(find, resolve, reject),
          giveUp: () => reject(closed(deed)),
        };
        this.#waiters.add(waiter);
        if (this.#ending.signal.aborted) waiter.giveUp();
        else waiter.look();
      });
    } finally {
      if (waiter !== undefined) this.#waiters.delete(waiter);
    }
  }

  /** Waits for the first complete picture, and says what stood in its way. */
  async firstPicture(): Promise<void> {
    const { timeoutMs = FIRST_PICTURE_TIMEOUT_MS } = this.#options;
    const deed = `mirror OVSDB at ${this.#socketPath}`;
    try {
      await this.waitFor(() => this.#isReady(), { deed, timeoutMs });
    } catch (thrown) {
      const late = thrown instanceof NetError && thrown.code === "TIMEOUT";
      throw late ? this.#away(`Cannot ${deed} within ${timeoutMs} ms`) : thrown;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end();
    await this.#running;
  }

  #end(): void {
    this.#ignoreSignal();
    this.#ending.abort();
    for (const waiter of [...this.#waiters]) waiter.giveUp();
  }

  #isReady(): boolean {
    if (this.#hopeless !== undefined) throw this.#hopeless;
    return this.#pictures > 0;
  }

  #away(text: string): NetError {
    const why = this.#lastError?.message ?? "it has not been reached yet";
    return new NetError("UNAVAILABLE", `${text}: ${why}`, { cause: this.#lastError });
  }

  async #run(): Promise<void> {
    const backOff = new BackOff({ ...DEFAULT_BACKOFF, ...this.#options.backoff, spread: "under" });
    while (!this.#ending.signal.aborted) {
      try {
        const connection = await this.#join();
        backOff.reset();
        this.#lost(await connection.closed);
      } catch (thrown) {
        this.#failed(asNetError(thrown, `mirror OVSDB at ${this.#socketPath}`));
      }
      await pause(backOff.nextMs(), this.#ending.signal);
    }
  }

  /** Connects and watches; the first picture is applied when it returns. */
  async #join(): Promise<OvsdbConnection> {
    const { tables, database, limits } = this.#options;
    const bounds = { signal: this.#ending.signal, timeoutMs: ATTEMPT_TIMEOUT_MS };
    const connection = await connectOvsdb(this.#socketPath, { ...bounds, database, limits });
    try {
      checkSpecs(connection.schema, tables);
      const columns = monitoredColumns(connection.schema, this.#requests);
      await connection.monitor(this.#requests, {
        ...bounds,
        since: this.#since(connection.schema),
        onUpdate: (update) => this.#onUpdate(connection, columns, update),
      });
      return connection;
    } catch (thrown) {
      await connection[Symbol.asyncDispose]();
      this.#connection = undefined;
      throw thrown;
    }
  }

  /** Differences make sense only to rows read under the same schema. */
  #since(schema: DatabaseSchema): string | undefined {
    return this.#position?.schema.version === schema.version ? this.#position.transactionId : undefined;
  }

  #onUpdate(connection: OvsdbConnection, columns: MonitoredTables, update: MonitorUpdate): void {
    const { schema } = connection;
    const first = this.#connection !== connection;
    const rows = applyUpdate(this.#mirror, columns, update);
    this.#position = update.transactionId === undefined ? undefined : { transactionId: update.transactionId, schema };
    this.#connection = connection;
    this.#method = update.method;
    if (first) this.#pictures += 1;
    const resynchronised = first && this.#pictures > 1;
    if (rows.size > 0 || resynchronised) this.#changes.call({ rows, resynchronised });
    if (resynchronised) this.#reconnects.call();
    this.#lookAgain();
  }

  #lost(reason: NetError | undefined): void {
    this.#connection = undefined;
    this.#method = undefined;
    if (reason === undefined) return; // we closed it
    if (reason.code !== "UNAVAILABLE" && reason.code !== "TIMEOUT") this.#position = undefined;
    this.#lastError = reason;
    this.#report(reason);
    this.#disconnects.call(reason);
  }

  /** Says the same failure once, and gives up only when the very first schema cannot do. */
  #failed(error: NetError): void {
    if (this.#ending.signal.aborted) return;
    const known = this.#lastError?.message === error.message;
    this.#lastError = error;
    if (error.code !== "UNAVAILABLE" && error.code !== "TIMEOUT") this.#position = undefined;
    if (this.#pictures === 0 && error.code === "UNSUPPORTED") this.#hopeless = error;
    if (this.#pictures === 0) this.#lookAgain();
    const isAsked = this.#pictures > 0 || this.#options.report !== undefined; // else firstPicture says it
    if (!known && isAsked && this.#hopeless === undefined) this.#report(error);
  }

  #lookAgain(): void {
    for (const waiter of [...this.#waiters]) waiter.look();
  }
}

function look<V>(find: () => V | undefined | false, resolve: (value: V) => void, reject: (e: unknown) => void): void {
  try {
    const found = find();
    if (found !== undefined && found !== false) resolve(found);
  } catch (thrown) {
    reject(thrown);
  }
}

function monitorRequests(specs: TableSpecs): Readonly<Record<string, MonitoredTable>> {
  const requests: Record<string, MonitoredTable> = {};
  for (const [table, spec] of Object.entries(specs)) requests[table] = { columns: columnNames(spec) };
  return requests;
}

function monitoredColumns(schema: DatabaseSchema, requests: Readonly<Record<string, MonitoredTable>>): MonitoredTables {
  return new Map(
    Object.entries(requests).map(([table, { columns }]) => [table, pickColumns(tableOf(schema, table), columns)]),
  );
}

function closed(deed: string): NetError {
  return new NetError("CLOSED", `Cannot ${deed}: the replica is closed`);
}
