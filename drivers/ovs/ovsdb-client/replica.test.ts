import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, expectTypeOf, it } from "vitest";
import type { NetError } from "../../../state/errors.ts";
import { type FakeOvsdb, type FakeOvsdbOptions, startFakeOvsdb } from "../../../test/fakes/ovsdb-server.ts";
import { integer, mapOf, optional, setOf, string, uuid } from "./columns.ts";
import { connectOvsdb } from "./connection.ts";
import { openReplica } from "./open-replica.ts";
import * as ops from "./operations.ts";
import type { Replica, ReplicaChange } from "./replica.ts";
import { insertedUuid } from "./transact.ts";
import { named, type Uuid, type Value } from "./values.ts";

const TABLES = {
  Open_vSwitch: ["next_cfg", "external_ids", "bridges"],
  Bridge: { name: string, ports: setOf(uuid), external_ids: mapOf(string, string) },
  Port: { name: string, tag: optional(integer), interfaces: setOf(uuid) },
  Interface: { name: string, ofport: optional(integer), external_ids: mapOf(string, string) },
} as const;

let folder: string;
let fake: FakeOvsdb;
let opened: AsyncDisposable[] = [];
let reports: NetError[] = [];

async function start(options: FakeOvsdbOptions = {}): Promise<void> {
  fake = await startFakeOvsdb(join(folder, "db.sock"), options);
  opened.push(fake);
}

async function replicate(limits = {}): Promise<Replica<typeof TABLES>> {
  const replica = await openReplica(fake.socketPath, {
    tables: TABLES,
    timeoutMs: 2_000,
    backoff: { firstMs: 5, maxMs: 20 },
    report: (error) => reports.push(error),
    limits,
  });
  opened.push(replica);
  return replica;
}

function addBridge(name: string, ports: readonly string[] = []): ops.Operation[] {
  return [
    ...ports.flatMap((port, i) => [
      ops.insert("Interface", { name: port, external_ids: { owner: name } }, { as: `i${i}` }),
      ops.insert("Port", { name: port, interfaces: [named(`i${i}`)] }, { as: `p${i}` }),
    ]),
    ops.insert("Bridge", { name, ports: ports.map((_, i) => named(`p${i}`)) }, { as: "bridge" }),
    ops.mutate(
      "Open_vSwitch",
      [],
      [
        ["bridges", "insert", [named("bridge")]],
        ["next_cfg", "+=", 1],
      ],
    ),
  ];
}

function names(replica: Replica<typeof TABLES>, table: "Bridge" | "Port" | "Interface"): string[] {
  return [...replica.rows(table).values()].map(({ name }) => name).sort();
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "ovsdb-replica-"));
});

afterEach(async () => {
  for (const each of opened.reverse()) await each[Symbol.asyncDispose]();
  opened = [];
  reports = [];
  await rm(folder, { recursive: true, force: true });
});

describe.each([
  ["monitor_cond_since", []],
  ["monitor_cond", ["monitor_cond_since"]],
  ["monitor", ["monitor_cond_since", "monitor_cond"]],
] as const)("over %s", (method, unknownMethods) => {
  it("mirrors what is there and what comes, changes and goes", async () => {
    await start({ unknownMethods });
    const other = await connectOvsdb(fake.socketPath);
    opened.push(other);
    await other.transact(addBridge("br0", ["v0", "v1"]));

    const replica = await replicate();
    expect(replica.method).toBe(method);
    expect(names(replica, "Port")).toEqual(["v0", "v1"]);

    const changes: ReplicaChange[] = [];
    replica.onChange((change) => changes.push(change));
    const results = await replica.transact(addBridge("br1", ["v2"]));
    expect(names(replica, "Interface")).toEqual(["v0", "v1", "v2"]); // our own change is there at once
    const port = insertedUuid(results, 1);
    expect(changes.at(-1)?.rows.get("Port")).toEqual(new Set([port]));

    await other.transact([ops.update("Port", ops.byUuid(port), { tag: 7 })]);
    await replica.waitFor(() => replica.rows("Port").get(port)?.tag === 7);
    await other.transact([ops.mutate("Interface", [], [["external_ids", "insert", { a: "b" }]])]);
    await replica.waitFor(() => [...replica.rows("Interface").values()].every((row) => row.external_ids.has("a")));
    await other.transact([ops.mutate("Interface", [], [["external_ids", "delete", ["owner"]]])]);
    await replica.waitFor(() => [...replica.rows("Interface").values()].every((row) => row.external_ids.size === 1));
    await other.transact([ops.update("Open_vSwitch", [], { bridges: [] })]);
    await replica.waitFor(() => replica.rows("Interface").size === 0);
    expect(replica.rows("Bridge").size).toBe(0);
    expect(reports).toEqual([]);
  });

  it("comes back after the server was away, and says so", async () => {
    await start({ unknownMethods });
    const replica = await replicate();
    await replica.transact(addBridge("br0", ["v0"]));
    const seen: string[] = [];
    replica.onChange(({ resynchronised, rows }) => seen.push(`${resynchronised} ${[...rows.keys()].sort()}`));
    replica.onReconnect(() => seen.push("reconnect"));
    replica.onDisconnect((reason) => seen.push(reason.code));

    await fake.stop();
    await replica.waitFor(() => replica.connected, { timeoutMs: 1 }).catch(() => {});
    while (replica.connected) await delay(2);
    expect(names(replica, "Port")).toEqual(["v0"]); // the last rows stay
    await expect(replica.transact([ops.comment("x")])).rejects.toMatchObject({ code: "UNAVAILABLE" });
    await fake.start();
    await replica.waitFor(() => replica.connected);
    expect(seen).toEqual(["UNAVAILABLE", "true ", "reconnect"]);

    await fake.stop();
    await fake.start({ emptied: true });
    await replica.waitFor(() => replica.rows("Port").size === 0);
    expect(seen.slice(3)).toEqual(["UNAVAILABLE", "true Bridge,Interface,Open_vSwitch,Port", "reconnect"]);
    await replica.transact(addBridge("br9"));
    expect(names(replica, "Bridge")).toEqual(["br9"]);
  });
});

describe("a replica", () => {
  it("types its rows by the columns asked for", async () => {
    await start();
    const replica = await replicate();
    expectTypeOf(replica.rows("Port")).toEqualTypeOf<
      ReadonlyMap<
        Uuid,
        { readonly name: string; readonly tag: number | undefined; readonly interfaces: readonly Uuid[] }
      >
    >();
    expectTypeOf(replica.rows("Open_vSwitch")).toEqualTypeOf<
      ReadonlyMap<Uuid, Readonly<Record<"next_cfg" | "external_ids" | "bridges", Value>>>
    >();
  });

  it("asks only for what changed when the server kept its history", async () => {
    await start({ keepsHistory: true });
    const replica = await replicate();
    await replica.transact(addBridge("br0", ["v0"]));
    const before = [...replica.rows("Interface").values()][0];
    const changes: ReplicaChange[] = [];
    replica.onChange((change) => changes.push(change));
    await fake.stop();
    fake.transact([{ op: "update", table: "Port", where: [], row: { tag: 3 } }]);
    await fake.start();
    await replica.waitFor(() => [...replica.rows("Port").values()].every(({ tag }) => tag === 3));
    expect([...replica.rows("Interface").values()][0]).toBe(before);
    expect(changes).toHaveLength(1);
    expect([...(changes[0]?.rows.keys() ?? [])]).toEqual(["Port"]);
    expect(fake.resumed).toBe(1);
  });

  it("takes the whole picture anew after it was out of step, history or not", async () => {
    await start({ keepsHistory: true });
    const replica = await replicate();
    await replica.transact(addBridge("br0", ["v0"]));
    const ghost = "00000000-0000-0000-0000-00000000000e";
    const last = "00000000-0000-0000-0000-00000000000f";
    const send = (rows: object) =>
      fake.sendRaw(JSON.stringify({ id: null, method: "update3", params: ["m1", last, { Port: rows }] }));
    send({ [ghost]: { insert: { name: "ghost" } } });
    await replica.waitFor(() => names(replica, "Port").includes("ghost"));
    await replica.transact([ops.mutate("Open_vSwitch", [], [["next_cfg", "+=", 1]])]); // a place in the real history
    send({ [last]: { modify: { tag: 1 } } });
    await replica.waitFor(() => !names(replica, "Port").includes("ghost"));
    expect(fake.resumed).toBe(0);
  });

  it("waits for the ofport that the switch gives", async () => {
    await start({ vswitchd: { refuses: { bad: "could not open network device bad" } } });
    const replica = await replicate();
    await replica.transact(addBridge("br0", ["v0", "bad"]));
    const byName = (name: string) => [...replica.rows("Interface").values()].find((row) => row.name === name)?.ofport;
    expect(await replica.waitFor(() => byName("v0"))).toBe(1);
    expect(await replica.waitFor(() => byName("bad"))).toBe(-1);
  });

  it("contains what listeners throw, and reports it", async () => {
    await start();
    const replica = await replicate();
    let calls = 0;
    replica.onChange(() => {
      throw new Error("broken listener");
    });
    replica.onChange((async () => {
      throw new Error("broken async listener");
    }) as () => void);
    const remove = replica.onChange(() => {
      calls += 1;
    });
    await replica.transact([ops.mutate("Open_vSwitch", [], [["next_cfg", "+=", 1]])]);
    remove();
    await replica.transact([ops.mutate("Open_vSwitch", [], [["next_cfg", "+=", 1]])]);
    expect(calls).toBe(1);
    expect(reports.map(({ message }) => message)).toEqual([
      "Cannot finish a listener of change: broken listener",
      "Cannot finish a listener of change: broken async listener",
      "Cannot finish a listener of change: broken listener",
      "Cannot finish a listener of change: broken async listener",
    ]);
    expect(replica.connected).toBe(true);
  });

  it("begins anew when an update makes no sense", async () => {
    await start();
    const replica = await replicate();
    await replica.transact(addBridge("br0", ["v0"]));
    let reconnects = 0;
    replica.onReconnect(() => {
      reconnects += 1;
    });
    const unknown = "00000000-0000-0000-0000-00000000000f";
    const wrong = { Port: { [unknown]: { modify: { tag: 1 } } } };
    fake.sendRaw(JSON.stringify({ id: null, method: "update3", params: ["m1", unknown, wrong] }));
    await replica.waitFor(() => reconnects === 1);
    expect(reports[0]).toMatchObject({ code: "PROTOCOL" });
    expect(names(replica, "Port")).toEqual(["v0"]);
  });

  it("finds a server that says nothing any more", async () => {
    await start();
    const replica = await replicate({ probeIntervalMs: 30 });
    fake.stall();
    while (replica.connected) await delay(5);
    expect(reports[0]).toMatchObject({ code: "TIMEOUT" });
  });

  it("is refused when the schema has no such column or another type", async () => {
    await start();
    const open = (tables: Parameters<typeof openReplica>[1]["tables"]) =>
      openReplica(fake.socketPath, { tables, timeoutMs: 2_000 });
    await expect(open({ Nope: [] })).rejects.toMatchObject({ code: "UNSUPPORTED", message: /no table "Nope"/ });
    await expect(open({ Port: ["nope"] })).rejects.toMatchObject({ message: /Port has no column "nope"/ });
    await expect(open({ Port: { tag: integer } })).rejects.toMatchObject({
      message: "Column Port.tag is integer?, not scalar of integer",
    });
  });

  it("ends waits: by predicate, deadline, signal, and close", async () => {
    await start();
    const replica = await replicate();
    const never = () => undefined;
    await expect(
      replica.waitFor(() => {
        throw new RangeError("broken");
      }),
    ).rejects.toThrow(RangeError);
    await expect(replica.waitFor(never, { timeoutMs: 10, deed: "see it" })).rejects.toMatchObject({
      code: "TIMEOUT",
      message: "Cannot see it: no success within 10 ms",
    });
    await expect(replica.waitFor(never, { signal: AbortSignal.timeout(10) })).rejects.toMatchObject({ code: "CLOSED" });
    const waiting = expect(replica.waitFor(never)).rejects.toMatchObject({ code: "CLOSED" });
    await replica[Symbol.asyncDispose]();
    await waiting;
    await expect(replica.waitFor(never)).rejects.toMatchObject({ code: "CLOSED" });
    await expect(replica.transact([])).rejects.toMatchObject({ code: "CLOSED" });
    expect(reports).toEqual([]);
  });

  it("waits for a server that comes late, and says who is missing when none comes", async () => {
    const socketPath = join(folder, "late.sock");
    const opening = openReplica(socketPath, { tables: TABLES, timeoutMs: 5_000, backoff: { firstMs: 5, maxMs: 20 } });
    await delay(50);
    opened.push(await startFakeOvsdb(socketPath));
    opened.push(await opening);
    const nowhere = openReplica(join(folder, "none.sock"), { tables: TABLES, timeoutMs: 60 });
    await expect(nowhere).rejects.toMatchObject({ code: "UNAVAILABLE", message: /within 60 ms: .*ENOENT/ });
    const controller = new AbortController();
    const ended = openReplica(join(folder, "none.sock"), { tables: TABLES, signal: controller.signal });
    controller.abort();
    await expect(ended).rejects.toMatchObject({ code: "CLOSED" });
  });

  it("equals the database after any changes, losses and restarts", { timeout: 60_000 }, async () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant("add" as const), name: fc.constantFrom("a", "b", "c") }),
      fc.record({ do: fc.constant("remove" as const), name: fc.constantFrom("a", "b", "c") }),
      fc.record({ do: fc.constant("tag" as const), tag: fc.option(fc.nat(4_095), { nil: undefined }) }),
      fc.record({
        do: fc.constant("label" as const),
        key: fc.constantFrom("k", "l"),
        value: fc.constantFrom("1", "2"),
      }),
      fc.record({ do: fc.constant("unlabel" as const), key: fc.constantFrom("k", "l") }),
      fc.record({ do: fc.constant("drop" as const) }),
      fc.record({ do: fc.constant("restart" as const), emptied: fc.boolean() }),
    );
    const methods = fc.constantFrom<string[]>([], ["monitor_cond_since"], ["monitor_cond_since", "monitor_cond"]);
    let run = 0;
    const property = fc.asyncProperty(
      methods,
      fc.boolean(),
      fc.array(step, { maxLength: 12 }),
      async (unknown, history, steps) => {
        run += 1;
        await using server = await startFakeOvsdb(join(folder, `p${run}.sock`), {
          unknownMethods: unknown,
          keepsHistory: history,
        });
        await using replica = await openReplica(server.socketPath, {
          tables: TABLES,
          backoff: { firstMs: 1, maxMs: 2 },
          report: () => {},
        });
        for (const each of steps) await play(server, each);
        const cfg = 1_000 + run;
        server.transact([{ op: "update", table: "Open_vSwitch", where: [], row: { next_cfg: cfg } }]);
        await replica.waitFor(() => [...replica.rows("Open_vSwitch").values()][0]?.next_cfg === cfg);
        expect(plainRows(replica)).toEqual(kept(server));
      },
    );
    await fc.assert(property, { numRuns: 60 });
  });
});

type Step = { do: string; name?: string; tag?: number | undefined; key?: string; value?: string; emptied?: boolean };

async function play(server: FakeOvsdb, step: Step): Promise<void> {
  const { name } = step;
  switch (step.do) {
    case "add":
      server.transact([
        { op: "insert", table: "Interface", row: { name }, "uuid-name": "i" },
        { op: "insert", table: "Port", row: { name, interfaces: ["named-uuid", "i"] }, "uuid-name": "p" },
        { op: "insert", table: "Bridge", row: { name, ports: ["named-uuid", "p"] }, "uuid-name": "b" },
        { op: "mutate", table: "Open_vSwitch", where: [], mutations: [["bridges", "insert", ["named-uuid", "b"]]] },
      ]);
      return;
    case "remove":
      for (const [id, row] of server.rows("Bridge")) {
        if (row.name?.keys[0] !== name) continue;
        server.transact([
          { op: "mutate", table: "Open_vSwitch", where: [], mutations: [["bridges", "delete", ["uuid", id]]] },
        ]);
      }
      return;
    case "tag":
      server.transact([{ op: "update", table: "Port", where: [], row: { tag: step.tag ?? ["set", []] } }]);
      return;
    case "label":
      server.transact([
        {
          op: "mutate",
          table: "Interface",
          where: [],
          mutations: [
            ["external_ids", "delete", ["set", [step.key]]],
            ["external_ids", "insert", ["map", [[step.key, step.value]]]],
          ],
        },
      ]);
      return;
    case "unlabel":
      server.transact([
        { op: "mutate", table: "Interface", where: [], mutations: [["external_ids", "delete", ["set", [step.key]]]] },
      ]);
      return;
    case "drop":
      server.drop();
      return;
    default:
      await server.stop();
      await server.start({ emptied: step.emptied === true });
  }
}

function plainRows(replica: Replica<typeof TABLES>): unknown {
  const rows = [...replica.rows("Port")].map(([id, { name, tag }]) => [id, name, tag]);
  const interfaces = [...replica.rows("Interface")].map(([id, row]) => [id, row.name, [...row.external_ids].sort()]);
  const bridges = [...replica.rows("Bridge")].map(([id, { name, ports }]) => [id, name, [...ports].sort()]);
  return [rows.sort(), interfaces.sort(), bridges.sort()];
}

function kept(server: FakeOvsdb): unknown {
  const rows = [...server.rows("Port")].map(([id, row]) => [id, row.name?.keys[0], row.tag?.keys[0]]);
  const interfaces = [...server.rows("Interface")].map(([id, { name, external_ids: ids }]) => [
    id,
    name?.keys[0],
    (ids?.keys ?? []).map((key, i) => [key, ids?.values?.[i]]),
  ]);
  const bridges = [...server.rows("Bridge")].map(([id, { name, ports }]) => [
    id,
    name?.keys[0],
    [...(ports?.keys ?? [])].sort(),
  ]);
  return [rows.sort(), interfaces.sort(), bridges.sort()];
}
