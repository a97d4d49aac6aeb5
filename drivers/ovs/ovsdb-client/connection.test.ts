import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type FakeOvsdb, startFakeOvsdb } from "../../../test/fakes/ovsdb-server.ts";
import { connectOvsdb, type OvsdbConnection } from "./connection.ts";
import type { MonitorUpdate } from "./monitor.ts";
import * as ops from "./operations.ts";

let folder: string;
let fake: FakeOvsdb;
let connection: OvsdbConnection;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "ovsdb-connection-"));
  fake = await startFakeOvsdb(join(folder, "db.sock"));
  connection = await connectOvsdb(fake.socketPath);
});

afterEach(async () => {
  await connection[Symbol.asyncDispose]();
  await fake[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

const bump = ops.mutate("Open_vSwitch", [], [["next_cfg", "+=", 1]]);

describe("connectOvsdb", () => {
  it("reads the schema", () => {
    expect(connection.schema.name).toBe("Open_vSwitch");
    expect(connection.schema.tables.get("Port")?.columns.get("tag")).toMatchObject({ min: 0, max: 1 });
  });

  it("says that there is no such database", async () => {
    await expect(connectOvsdb(fake.socketPath, { database: "nope" })).rejects.toMatchObject({
      code: "REJECTED",
      reason: "unknown-database",
      message: /get_schema request specifies unknown database nope/,
    });
  });

  it("ends by its deadline before a server that says nothing", async () => {
    fake.stall();
    await expect(connectOvsdb(fake.socketPath, { timeoutMs: 30 })).rejects.toMatchObject({ code: "TIMEOUT" });
  });

  it("is ended by its signal, in peace", async () => {
    const controller = new AbortController();
    const other = await connectOvsdb(fake.socketPath, { signal: controller.signal });
    const waiting = expect(other.lock("l").then(() => other.transact([blocking()]))).rejects.toMatchObject({
      code: "CLOSED",
    });
    await delay(20);
    controller.abort();
    await waiting;
    expect(await other.closed).toBeUndefined();
  });
});

function blocking(): ops.Operation {
  return ops.wait("Open_vSwitch", [], {
    columns: ["next_cfg"],
    until: "==",
    rows: [{ next_cfg: 99 }],
    timeoutMs: 60_000,
  });
}

describe("transact", () => {
  it("commits all or nothing", async () => {
    const refused = connection.transact([bump, ops.insert("Bridge", { name: "br0", fail_mode: "loose" })]);
    await expect(refused).rejects.toMatchObject({
      code: "REJECTED",
      reason: "constraint-violation",
      message:
        "ovsdb-server refused operation 2 of 2 (insert Bridge): constraint violation: " +
        "loose is not one of the allowed values ([secure, standalone])",
    });
    expect(await connection.transact([ops.select("Open_vSwitch", [], ["next_cfg"])])).toEqual([
      { op: "select", rows: [{ next_cfg: 0 }] },
    ]);
  });

  it("takes a transaction back that is given up while the server holds it", async () => {
    await expect(connection.transact([blocking(), bump], { timeoutMs: 20 })).rejects.toMatchObject({ code: "TIMEOUT" });
    await connection.transact([ops.update("Open_vSwitch", [], { next_cfg: 99 })]);
    await delay(40);
    expect(await connection.transact([ops.select("Open_vSwitch", [], ["next_cfg"])])).toEqual([
      { op: "select", rows: [{ next_cfg: 99 }] },
    ]);
    expect(fake.received).toContain("cancel");
  });

  it("runs many at once under one signal, without a warning", async () => {
    const { signal } = new AbortController();
    const warnings: Error[] = [];
    const onWarning = (warning: Error) => warnings.push(warning);
    process.on("warning", onWarning);
    const results = await Promise.all(Array.from({ length: 200 }, () => connection.transact([bump], { signal })));
    await delay(10);
    process.off("warning", onWarning);
    expect(warnings).toEqual([]);
    expect(results.every(([result]) => result?.op === "mutate" && result.count === 1)).toBe(true);
  });
});

describe("monitor", () => {
  it("shows only rows that match a condition, and stops when disposed", async () => {
    const updates: MonitorUpdate[] = [];
    const where = [["next_cfg", "==", 1] as const];
    const monitor = await connection.monitor(
      { Open_vSwitch: { columns: ["next_cfg"], where } },
      { onUpdate: (update) => updates.push(update) },
    );
    expect(updates).toMatchObject([{ kind: "snapshot", method: "monitor_cond_since" }]);
    await connection.transact([bump]);
    await connection.transact([bump]);
    const kinds = updates.slice(1).map(({ changes }) => [...(changes.get("Open_vSwitch")?.values() ?? [])][0]?.kind);
    expect(kinds).toEqual(["put", "delete"]);
    await monitor[Symbol.asyncDispose]();
    await monitor[Symbol.asyncDispose]();
    await connection.transact([ops.update("Open_vSwitch", [], { next_cfg: 1 })]);
    expect(updates).toHaveLength(3);
    expect(fake.received.filter((method) => method === "monitor_cancel")).toHaveLength(1);
  });

  it("does not pass conditions over to a server that would ignore them", async () => {
    await using old = await startFakeOvsdb(join(folder, "old.sock"), {
      unknownMethods: ["monitor_cond", "monitor_cond_since"],
    });
    await using other = await connectOvsdb(old.socketPath);
    const where = [["next_cfg", "==", 1] as const];
    const started = other.monitor({ Open_vSwitch: { columns: ["next_cfg"], where } }, { onUpdate: () => {} });
    await expect(started).rejects.toMatchObject({ code: "UNSUPPORTED", message: /too old/ });
  });

  it("ends the connection when an update cannot be taken", async () => {
    let calls = 0;
    await connection.monitor(
      { Open_vSwitch: { columns: ["next_cfg"] } },
      {
        onUpdate: () => {
          calls += 1;
          if (calls === 2) throw new Error("out of step");
        },
      },
    );
    await expect(connection.transact([bump])).rejects.toMatchObject({ code: "UNAVAILABLE", reason: "outcome-unknown" });
    expect(await connection.closed).toMatchObject({ code: "INTERNAL", message: /out of step/ });
  });

  it("runs several side by side", async () => {
    const seen: string[] = [];
    const watch = (name: string) =>
      connection.monitor(
        { Open_vSwitch: { columns: ["next_cfg"] } },
        { onUpdate: ({ kind }) => seen.push(name + kind) },
      );
    await Promise.all([watch("a "), watch("b ")]);
    await connection.transact([bump]);
    expect(seen).toEqual(["a snapshot", "b snapshot", "a delta", "b delta"]);
  });
});

describe("locks", () => {
  it("guard transactions, and pass on when they are given back", async () => {
    await using other = await connectOvsdb(fake.socketPath);
    await connection.lock("agent");
    await connection.transact([ops.assertLock("agent"), bump]);
    await expect(other.transact([ops.assertLock("agent"), bump])).rejects.toMatchObject({ reason: "not-owner" });
    await expect(other.lock("agent", { timeoutMs: 20 })).rejects.toMatchObject({ code: "TIMEOUT" });
    const waiting = other.lock("agent");
    await connection.unlock("agent");
    await waiting;
    await other.transact([ops.assertLock("agent"), bump]);
    await expect(other.lock("a b")).rejects.toMatchObject({ code: "INVALID" });
  });
});
