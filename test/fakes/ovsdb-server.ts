import { randomUUID } from "node:crypto";
import { rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { emptyTables, type Outcome, readSchema, transact } from "./ovsdb-database.ts";
import { Refusal } from "./ovsdb-datum.ts";
import { type FakeMonitor, type MonitorMethod, readMonitor, updates } from "./ovsdb-monitors.ts";
import { readObjects } from "./ovsdb-session.ts";
import type { Row, Schema, Tables } from "./ovsdb-tables.ts";
import vswitchSchema from "./vswitch.schema.json" with { type: "json" }; // Open vSwitch 3.1, Apache-2.0
import { actAsVswitchd } from "./vswitchd.ts";

export interface FakeOvsdbOptions {
  /** The schema of Open vSwitch 3.1 unless given. */
  readonly schema?: { readonly name: string };
  /** Methods that this server is too old to know. */
  readonly unknownMethods?: readonly string[];
  /** Keeps the history that monitor_cond_since needs, as a clustered database does. */
  readonly keepsHistory?: boolean;
  /** Gives interfaces an ofport as ovs-vswitchd does; names in `refuses` get −1 and that text as error. */
  readonly vswitchd?: boolean | { readonly refuses: Readonly<Record<string, string>> };
}

/** A stand-in for ovsdb-server in memory, on a real UNIX socket. */
export interface FakeOvsdb extends AsyncDisposable {
  readonly socketPath: string;
  /** Methods that came, in order. */
  readonly received: readonly string[];
  /** How often a monitor was resumed from a point in the history. */
  readonly resumed: number;
  /** Runs wire operations as if another client had. */
  transact(operations: readonly unknown[]): readonly unknown[];
  /** The rows of a table, as they are kept. */
  rows(table: string): ReadonlyMap<string, Row>;
  /** Stops reading and answering; the connections stay. */
  stall(): void;
  /** Cuts all connections. */
  drop(): void;
  /** Writes to every client. */
  sendRaw(text: string): void;
  /** As a kill and a new start: the socket goes and comes back, with the rows or with a new database. */
  stop(): Promise<void>;
  start(options?: { readonly emptied?: boolean }): Promise<void>;
}

interface Client {
  readonly socket: Socket;
  readonly monitors: Map<string, FakeMonitor & { readonly id: unknown }>;
  readonly locks: Set<string>;
  readonly waiting: Map<string, () => void>;
}

interface State {
  readonly options: FakeOvsdbOptions;
  readonly name: string;
  readonly schema: Schema;
  readonly clients: Set<Client>;
  readonly received: string[];
  readonly history: Map<string, Tables>;
  tables: Tables;
  stalled: boolean;
  resumed: number;
}

const ZERO = "00000000-0000-0000-0000-000000000000";

/** Starts a fake ovsdb-server with one row in Open_vSwitch, as `ovs-vsctl init` leaves it. */
export async function startFakeOvsdb(socketPath: string, options: FakeOvsdbOptions = {}): Promise<FakeOvsdb> {
  const schema = readSchema(options.schema ?? vswitchSchema);
  const state: State = {
    options,
    name: options.schema?.name ?? vswitchSchema.name,
    schema,
    clients: new Set(),
    received: [],
    history: new Map(),
    tables: emptyTables(schema),
    stalled: false,
    resumed: 0,
  };
  let server = await listen(state, socketPath);
  fill(state);

  async function stop(): Promise<void> {
    for (const { socket } of state.clients) socket.destroy();
    await new Promise<void>((resolve) => server.close(() => resolve()));
    await rm(socketPath, { force: true });
  }
  return {
    socketPath,
    received: state.received,
    get resumed() {
      return state.resumed;
    },
    transact: (operations) => runTransaction(state, operations, () => false).results,
    rows: (table) => state.tables.get(table) ?? new Map(),
    stall: () => {
      state.stalled = true;
      for (const { socket } of state.clients) socket.pause();
    },
    drop: () => {
      for (const { socket } of state.clients) socket.destroy();
    },
    sendRaw: (text) => {
      for (const { socket } of state.clients) socket.write(text);
    },
    stop,
    start: async ({ emptied = false } = {}) => {
      state.stalled = false;
      if (emptied) {
        state.tables = emptyTables(schema);
        state.history.clear();
        fill(state);
      }
      server = await listen(state, socketPath);
    },
    [Symbol.asyncDispose]: stop,
  };
}

function fill(state: State): void {
  if (state.schema.has("Open_vSwitch")) {
    runTransaction(state, [{ op: "insert", table: "Open_vSwitch", row: {} }], () => false);
  }
}

async function listen(state: State, socketPath: string): Promise<Server> {
  const server = createServer((socket) => accept(state, socket));
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(socketPath, resolve);
  });
  return server;
}

function accept(state: State, socket: Socket): void {
  const client: Client = { socket, monitors: new Map(), locks: new Set(), waiting: new Map() };
  state.clients.add(client);
  socket.on("error", () => {}); // a client that goes away is no fault
  socket.on("close", () => {
    state.clients.delete(client);
    for (const give of client.waiting.values()) give();
  });
  readObjects(socket, (json) => {
    if (!state.stalled) onMessage(state, client, json);
  });
  if (state.stalled) socket.pause();
}

interface Request {
  readonly id: unknown;
  readonly params: readonly unknown[];
}

function onMessage(state: State, client: Client, json: Readonly<Record<string, unknown>>): void {
  if (typeof json.method !== "string") return; // an answer to our echo
  const request: Request = { id: json.id, params: json.params as readonly unknown[] };
  state.received.push(json.method);
  try {
    const result = answer(state, client, json.method, request);
    if (result !== undefined) send(client, { id: request.id, result, error: null });
  } catch (thrown) {
    if (!(thrown instanceof Refusal)) throw thrown;
    const { error } = thrown.wire;
    const bare = Object.keys(thrown.wire).length === 1;
    send(client, { id: request.id, error: bare ? error : thrown.wire });
  }
}

/** The result to send; undefined when it comes later or never. */
function answer(state: State, client: Client, method: string, request: Request): unknown {
  if (state.options.unknownMethods?.includes(method)) throw new Refusal("unknown method");
  const { params } = request;
  switch (method) {
    case "list_dbs":
      return [state.name];
    case "echo":
      return params;
    case "get_schema":
      checkDatabase(state, method, params);
      return state.options.schema ?? vswitchSchema;
    case "transact":
      checkDatabase(state, method, params);
      attempt(state, client, request, performance.now());
      return undefined;
    case "cancel":
      client.waiting.get(JSON.stringify(params[0]))?.();
      return undefined;
    case "monitor":
    case "monitor_cond":
    case "monitor_cond_since":
      checkDatabase(state, method, params);
      return monitor(state, client, method, params);
    case "monitor_cancel":
      if (client.monitors.delete(JSON.stringify(params[0]))) return {};
      throw new Refusal("unknown monitor");
    case "lock":
      return lock(state, client, String(params[0]));
    case "unlock":
      return unlock(state, client, String(params[0]));
    default:
      throw new Refusal("unknown method");
  }
}

function checkDatabase(state: State, method: string, params: readonly unknown[]): void {
  if (params[0] === state.name) return;
  const text = `${method} request specifies unknown database ${String(params[0])}`;
  throw new Refusal("unknown database", text, params);
}

/** Runs a transaction, or again after the next commit while a `wait` in it does not hold. */
function attempt(state: State, client: Client, request: Request, startedMs: number): void {
  const outcome = runTransaction(state, request.params.slice(1), (name) => client.locks.has(name));
  const { blockedMs } = outcome;
  if (blockedMs === undefined) {
    send(client, { id: request.id, result: outcome.results, error: null });
    return;
  }
  const key = JSON.stringify(request.id);
  const again = setInterval(() => {
    if (performance.now() - startedMs > blockedMs) {
      finish({ result: timedOut(outcome.results, blockedMs), error: null });
    } else {
      clearInterval(again);
      attempt(state, client, request, startedMs);
    }
  }, 10);
  client.waiting.set(key, () => finish({ error: "canceled" }));

  function finish(reply: object): void {
    clearInterval(again);
    client.waiting.delete(key);
    send(client, { id: request.id, ...reply });
  }
}

function timedOut(results: readonly unknown[], timeoutMs: number): readonly unknown[] {
  const at = results.indexOf(null);
  return results.map((result, i) =>
    i === at ? { details: `"wait" timed out after ${timeoutMs} ms`, error: "timed out" } : result,
  );
}

function runTransaction(state: State, operations: readonly unknown[], holdsLock: (lock: string) => boolean): Outcome {
  const outcome = transact(state.schema, state.tables, operations, holdsLock);
  if (outcome.tables !== undefined) commit(state, outcome.tables);
  return outcome;
}

/** Tells every monitor before the transaction is answered, as the real server does. */
function commit(state: State, after: Tables): void {
  const before = state.tables;
  const transactionId = state.options.keepsHistory ? randomUUID() : ZERO;
  state.tables = after;
  state.history.set(transactionId, after);
  for (const client of state.clients) {
    for (const watching of client.monitors.values()) {
      const changes = updates(watching, before, after);
      if (changes !== undefined) send(client, notification(watching, transactionId, changes));
    }
  }
  const { vswitchd = false } = state.options;
  if (vswitchd === false) return;
  const refuses = vswitchd === true ? {} : vswitchd.refuses;
  actAsVswitchd(state.tables, refuses, (operations) => runTransaction(state, operations, () => false));
}

function notification({ method, id }: FakeMonitor & { readonly id: unknown }, transactionId: string, changes: unknown) {
  switch (method) {
    case "monitor":
      return { id: null, method: "update", params: [id, changes] };
    case "monitor_cond":
      return { id: null, method: "update2", params: [id, changes] };
    default:
      return { id: null, method: "update3", params: [id, transactionId, changes] };
  }
}

function monitor(state: State, client: Client, method: MonitorMethod, params: readonly unknown[]): unknown {
  const key = JSON.stringify(params[1]);
  if (client.monitors.has(key)) throw new Refusal("syntax error", "duplicate monitor ID", params[1]);
  const watching = readMonitor(state.schema, method, params[2]);
  client.monitors.set(key, { ...watching, id: params[1] });
  if (method !== "monitor_cond_since") return updates(watching, undefined, state.tables);
  const last = [...state.history.keys()].at(-1) ?? ZERO;
  const known = state.options.keepsHistory ? state.history.get(String(params[3])) : undefined;
  if (known === undefined) return [false, last, updates(watching, undefined, state.tables)];
  state.resumed += 1;
  return [true, last, updates(watching, known, state.tables) ?? {}];
}

function lock(state: State, client: Client, name: string): unknown {
  const free = [...state.clients].every(({ locks }) => !locks.has(name));
  if (free) {
    client.locks.add(name);
    return { locked: true };
  }
  client.waiting.set(`lock ${name}`, () => {});
  return { locked: false };
}

function unlock(state: State, client: Client, name: string): unknown {
  client.locks.delete(name);
  client.waiting.delete(`lock ${name}`);
  const next = [...state.clients].find(({ waiting }) => waiting.has(`lock ${name}`));
  if (next !== undefined) {
    next.waiting.delete(`lock ${name}`);
    next.locks.add(name);
    send(next, { id: null, method: "locked", params: [name] });
  }
  return {};
}

function send(client: Client, message: unknown): void {
  if (client.socket.writable) client.socket.write(JSON.stringify(message));
}
