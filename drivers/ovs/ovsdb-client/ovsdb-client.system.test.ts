import { connect as connectSocket, createServer } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import type { NetError } from "../../../state/errors.ts";
import { type RealOvsdb, type RealOvsdbOptions, startRealOvsdb } from "../../../test/system/real-ovsdb.ts";
import { boolean, integer, mapOf, optional, setOf, string, uuid } from "./columns.ts";
import { connectOvsdb, type OvsdbConnection } from "./connection.ts";
import type { MonitorUpdate } from "./monitor.ts";
import { openReplica } from "./open-replica.ts";
import * as ops from "./operations.ts";
import type { Replica } from "./replica.ts";
import { insertedUuid, selectedRows } from "./transact.ts";
import { named, type Uuid } from "./values.ts";

const TABLES = {
  Open_vSwitch: { next_cfg: integer, cur_cfg: integer, external_ids: mapOf(string, string), bridges: setOf(uuid) },
  Bridge: { name: string, ports: setOf(uuid), fail_mode: optional(string), stp_enable: boolean },
  Port: { name: string, tag: optional(integer), trunks: setOf(integer), external_ids: mapOf(string, string) },
  Interface: { name: string, ofport: optional(integer), statistics: mapOf(string, integer) },
} as const;

const opened: AsyncDisposable[] = [];
const reports: NetError[] = [];
let real: RealOvsdb;

async function start(options: RealOvsdbOptions = {}): Promise<OvsdbConnection> {
  real = await startRealOvsdb(options);
  opened.push(real);
  return connection();
}

async function connection(): Promise<OvsdbConnection> {
  const connected = await connectOvsdb(real.socketPath);
  opened.push(connected);
  return connected;
}

async function replicate(socketPath = real.socketPath, limits = {}): Promise<Replica<typeof TABLES>> {
  const replica = await openReplica(socketPath, {
    tables: TABLES,
    report: (error) => reports.push(error),
    limits,
    backoff: { firstMs: 20, maxMs: 200 },
  });
  opened.push(replica);
  return replica;
}

function addBridge(name: string, ports: readonly string[] = []): ops.Operation[] {
  return [
    ...ports.flatMap((port, i) => [
      ops.insert("Interface", { name: port, type: "internal" }, { as: `i${i}` }),
      ops.insert("Port", { name: port, interfaces: [named(`i${i}`)] }, { as: `p${i}` }),
    ]),
    ops.insert("Bridge", { name, datapath_type: "netdev", ports: ports.map((_, i) => named(`p${i}`)) }, { as: "b" }),
    ops.mutate(
      "Open_vSwitch",
      [],
      [
        ["bridges", "insert", [named("b")]],
        ["next_cfg", "+=", 1],
      ],
    ),
  ];
}

function portNames(replica: Replica<typeof TABLES>): string[] {
  return [...replica.rows("Port").values()].map(({ name }) => name).sort();
}

afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each[Symbol.asyncDispose]();
  reports.length = 0;
});

describe("against ovsdb-server", () => {
  it("refuses in the server's words, and names the operation", async () => {
    const server = await start();
    const refused = async (...operations: ops.Operation[]) => {
      const error: NetError = await server.transact(operations).then(
        () => expect.unreachable("it was accepted"),
        (thrown) => thrown,
      );
      return `${error.code} ${error.reason}: ${error.message}`;
    };
    const bridge = ops.insert("Bridge", { name: "br0", fail_mode: "loose" });
    expect(await refused(ops.comment("x"), bridge)).toBe(
      "REJECTED constraint-violation: ovsdb-server refused operation 2 of 2 (insert Bridge): " +
        "constraint violation: loose is not one of the allowed values ([secure, standalone])",
    );
    expect(await refused(ops.insert("Port", { name: "p" }))).toMatch(
      /^REJECTED referential-integrity-violation: ovsdb-server refused the commit of 1 operations: referential integrity violation: Table Port column interfaces/,
    );
    expect(await refused(ops.update("Bridge", [], { name: "x" }))).toMatch(/Cannot update immutable column name/);
    expect(await refused(ops.abort())).toMatch(
      /^REJECTED aborted: .*operation 1 of 1 \(abort\): aborted: aborted by request/,
    );
    expect(await refused(ops.assertLock("l"))).toMatch(/^REJECTED not-owner: .*Asserted lock l not held/);
    expect(await refused(...addBridge("b", ["p", "p"]))).toMatch(/identical values \(p\) for index on column "name"/);
    await expect(connectOvsdb(real.socketPath, { database: "x" })).rejects.toMatchObject({
      message: /unknown database: get_schema request specifies unknown database x/,
    });
  });

  it("does not end the connection by what the server would not parse", async () => {
    const server = await start();
    for (const text of ["a\0b", "a\ud800b"]) {
      await expect(server.transact([ops.comment(text)])).rejects.toMatchObject({ code: "INVALID" });
    }
    const treacherous = '\u2028 "}{" \\ \u0001 🙂 __proto__';
    await server.transact([ops.update("Open_vSwitch", [], { external_ids: { [treacherous]: treacherous } })]);
    const results = await server.transact([ops.select("Open_vSwitch", [], ["external_ids"])]);
    expect(selectedRows(results, 0)).toEqual([{ external_ids: new Map([[treacherous, treacherous]]) }]);
  });

  it("writes and reads back any value of each kind of column", async () => {
    const server = await start();
    const text = fc.string({ unit: "grapheme" }).filter((each) => !each.includes("\0"));
    const property = fc.asyncProperty(
      fc.dictionary(text, text),
      fc.option(fc.integer({ min: 0, max: 4_095 }), { nil: undefined }),
      fc.uniqueArray(fc.integer({ min: 0, max: 4_095 })),
      fc.boolean(),
      async (ids, tag, trunks, fake_bridge) => {
        const row = { external_ids: new Map(Object.entries(ids)), tag, trunks, fake_bridge };
        const results = await server.transact([
          ops.insert("Interface", { name: "v0" }, { as: "i" }),
          ops.insert("Port", { name: "v0", interfaces: [named("i")], ...row }),
          ops.select("Port", [], Object.keys(row)),
        ]);
        const [read] = selectedRows(results, 2);
        expect(read).toEqual({ ...row, trunks: [...trunks].sort((a, b) => a - b) });
      },
    );
    await fc.assert(property, { numRuns: 100 });
  });

  it("holds a transaction back, takes it back, and passes locks on", async () => {
    const server = await start();
    const wait = ops.wait("Open_vSwitch", [], {
      columns: ["next_cfg"],
      until: "==",
      rows: [{ next_cfg: 5 }],
      timeoutMs: 5_000,
    });
    const bump = ops.mutate("Open_vSwitch", [], [["next_cfg", "+=", 1]]);
    await expect(server.transact([wait, bump], { timeoutMs: 50 })).rejects.toMatchObject({ code: "TIMEOUT" });
    const held = server.transact([wait, bump]);
    await server.transact([ops.update("Open_vSwitch", [], { next_cfg: 5 })]);
    await held;
    const results = await server.transact([ops.select("Open_vSwitch", [], ["next_cfg"])]);
    expect(selectedRows(results, 0)).toEqual([{ next_cfg: 6 }]); // once: the first was taken back

    const other = await connection();
    await server.lock("agent");
    await server.transact([ops.assertLock("agent"), bump]);
    await expect(other.lock("agent", { timeoutMs: 50 })).rejects.toMatchObject({ code: "TIMEOUT" });
    const waiting = other.lock("agent");
    await server.unlock("agent");
    await waiting;
    await other.transact([ops.assertLock("agent"), bump]);
  });

  it("shows rows that match any condition", async () => {
    const server = await start();
    const updates: MonitorUpdate[] = [];
    const where = [["name", "==", "a"] as const, ["name", "==", "b"] as const];
    await server.monitor({ Bridge: { columns: ["name"], where } }, { onUpdate: (update) => updates.push(update) });
    for (const name of ["a", "b", "c"]) await server.transact(addBridge(name));
    const seen = updates.flatMap(({ changes }) => [...(changes.get("Bridge")?.values() ?? [])]);
    expect(seen).toMatchObject([
      { kind: "put", row: { name: "a" } },
      { kind: "put", row: { name: "b" } },
    ]);
  });
});

/** A server too old for some methods: the real one behind a relay that refuses them as it refuses unknown ones. */
async function olderServer(unknown: readonly string[]): Promise<string> {
  const socketPath = `${real.socketPath}.old`;
  const relay = createServer((client) => {
    const server = connectSocket(real.socketPath);
    client.on("error", () => {});
    server.on("error", () => {});
    client.on("close", () => server.destroy());
    server.on("close", () => client.destroy());
    server.on("data", (chunk) => client.write(chunk));
    client.on("data", (chunk) => {
      const request = asCall(chunk.toString());
      if (request === undefined || !unknown.includes(request.method)) server.write(chunk);
      else client.write(JSON.stringify({ id: request.id, error: "unknown method" }));
    });
  });
  await new Promise<void>((resolve) => relay.listen(socketPath, resolve));
  opened.push({ [Symbol.asyncDispose]: async () => void relay.close() });
  return socketPath;
}

function asCall(text: string): { method: string; id: unknown } | undefined {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // several messages at once: none of them the first monitor
  }
}

describe.each([
  ["monitor_cond_since", []],
  ["monitor_cond", ["monitor_cond_since"]],
  ["monitor", ["monitor_cond_since", "monitor_cond"]],
] as const)("a replica over %s", (method, unknown) => {
  it("equals the database after any changes", async () => {
    const server = await start();
    const replica = await replicate(await olderServer(unknown));
    expect(replica.method).toBe(method);
    const name = fc.constantFrom("a", "b", "c");
    const change = fc.oneof(
      name.map((each) => addBridge(each, [`${each}0`, `${each}1`])),
      fc.constant([ops.update("Open_vSwitch", [], { bridges: [] })]),
      fc
        .tuple(name, fc.option(fc.nat(4_095), { nil: undefined }))
        .map(([each, tag]) => [ops.update("Port", ops.byColumn("name", `${each}0`), { tag })]),
      fc.uniqueArray(fc.nat(8)).map((trunks) => [ops.update("Port", [], { trunks })]),
      fc
        .dictionary(fc.constantFrom("k", "l", "m"), fc.constantFrom("1", "2"))
        .map((ids) => [ops.update("Port", [], { external_ids: ids })]),
      fc.constantFrom("k", "l").map((key) => [ops.mutate("Port", [], [["external_ids", "delete", [key]]])]),
      fc.boolean().map((stp_enable) => [ops.update("Bridge", [], { stp_enable })]),
    );
    const property = fc.asyncProperty(fc.array(change, { maxLength: 15 }), async (changes) => {
      for (const each of changes) await server.transact(each).catch(() => {}); // a name may be taken
      await replica.transact([ops.mutate("Open_vSwitch", [], [["next_cfg", "+=", 1]])]);
      for (const table of ["Open_vSwitch", "Bridge", "Port"] as const) {
        const columns = ["_uuid", ...Object.keys(TABLES[table])];
        const rows = selectedRows(await server.transact([ops.select(table, [], columns)]), 0);
        const wanted = new Map(rows.map(({ _uuid, ...row }) => [_uuid as Uuid, row]));
        expect(new Map<Uuid, object>(replica.rows(table))).toEqual(wanted);
      }
    });
    await fc.assert(property, { numRuns: 25 });
    expect(reports).toEqual([]);
  });

  it("returns after a kill -9, with the old database and with a new one", async () => {
    await start();
    const replica = await replicate(unknown.length === 0 ? real.socketPath : await olderServer(unknown));
    await replica.transact(addBridge("br0", ["v0", "v1"]));
    const seen: string[] = [];
    replica.onChange(({ resynchronised }) => resynchronised && seen.push("resynchronised"));
    replica.onDisconnect(() => seen.push("away"));

    await real.kill();
    await replica.waitFor(() => !replica.connected, { timeoutMs: 50 }).catch(() => {});
    while (replica.connected) await delay(5);
    expect(portNames(replica)).toEqual(["v0", "v1"]);
    await real.start();
    await replica.waitFor(() => replica.connected);
    await replica.transact([ops.comment("back")]);
    expect(portNames(replica)).toEqual(["v0", "v1"]);

    await real.kill();
    await real.start({ emptied: true });
    await replica.waitFor(() => replica.rows("Port").size === 0);
    await replica.transact(addBridge("br1", ["v9"]));
    expect(portNames(replica)).toEqual(["v9"]);
    expect(seen).toContain("away");
    expect(seen.filter((each) => each === "resynchronised").length).toBeGreaterThanOrEqual(2);
  });
});

describe("a replica", () => {
  it("resumes from where it was when the database keeps its history", async () => {
    const server = await start({ clustered: true });
    const replica = await replicate(await olderServer([]));
    // The server keeps no more history than there is data: plenty of it, and small transactions.
    const ballast = Array.from({ length: 100 }, (_, i) => `v${i}`);
    await replica.transact(addBridge("br0", ballast));
    const kept = [...replica.rows("Bridge").values()][0];
    const tag = (value: number) => replica.transact([ops.update("Port", ops.byColumn("name", "v0"), { tag: value })]);
    await tag(2);
    const updates: MonitorUpdate[] = [];
    const watch = (since?: string) =>
      server.monitor({ Port: { columns: ["tag"] } }, { since, onUpdate: (update) => updates.push(update) });
    await watch();
    const position = updates[0]?.transactionId;
    await tag(3);
    await watch(position);
    expect(updates.map(({ kind }) => kind)).toEqual(["snapshot", "delta", "delta"]);
    expect(updates[2]?.changes).toEqual(updates[1]?.changes);
    await real.kill();
    await real.start();
    await replica.waitFor(() => replica.connected);
    await replica.transact([ops.comment("back")]);
    expect([...replica.rows("Bridge").values()][0]).toBe(kept);
  });

  it("finds a server that is frozen, and returns when it thaws", async () => {
    await start();
    const replica = await replicate(real.socketPath, { probeIntervalMs: 100 });
    real.freeze();
    const startMs = performance.now();
    while (replica.connected) await delay(5);
    expect(performance.now() - startMs).toBeLessThan(1_000);
    expect(reports[0]).toMatchObject({ code: "TIMEOUT" });
    real.thaw();
    await replica.waitFor(() => replica.connected);
  });

  it("waits for the ofport that ovs-vswitchd gives", async () => {
    await start();
    await real.startVswitchd();
    const replica = await replicate();
    await replica.transact(addBridge("br0", ["br0"]));
    await replica.waitFor(() => root(replica)?.cur_cfg === root(replica)?.next_cfg);
    const durationsMs: number[] = [];
    for (let i = 0; i < 20; i++) {
      const startMs = performance.now();
      const results = await replica.transact([
        ops.insert("Interface", { name: `p${i}`, type: "patch", options: { peer: `q${i}` } }, { as: "i" }),
        ops.insert("Port", { name: `p${i}`, interfaces: [named("i")] }, { as: "p" }),
        ops.mutate("Bridge", ops.byColumn("name", "br0"), [["ports", "insert", [named("p")]]]),
        ops.mutate("Open_vSwitch", [], [["next_cfg", "+=", 1]]),
      ]);
      const id = insertedUuid(results, 0);
      expect(await replica.waitFor(() => replica.rows("Interface").get(id)?.ofport)).toBeGreaterThan(0);
      durationsMs.push(performance.now() - startMs);
    }
    durationsMs.sort((a, b) => a - b);
    console.info(`insert to ofport: median ${durationsMs[10]?.toFixed(1)} ms of 20 patch ports`);
  });

  it("takes in thousands of rows at once", async () => {
    await start();
    const replica = await replicate();
    const ports = Array.from({ length: 2_000 }, (_, i) => `v${i}`);
    const startMs = performance.now();
    await replica.transact(addBridge("br0", ports));
    const committedMs = performance.now();
    expect(replica.rows("Port").size).toBe(2_000);
    await replicate();
    const openedMs = performance.now();
    console.info(
      `2,000 ports: inserted in ${(committedMs - startMs).toFixed(0)} ms, ` +
        `first picture in ${(openedMs - committedMs).toFixed(0)} ms`,
    );
  });
});

function root(replica: Replica<typeof TABLES>) {
  return [...replica.rows("Open_vSwitch").values()][0];
}
