import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type FakeOvsdb, startFakeOvsdb } from "../../../test/fakes/ovsdb-server.ts";
import type { SocketPool } from "../../netlink/pool.ts";
import { ensureBridge } from "../bridge.ts";
import { findBridge, openDatabase, rootRow, type SwitchDatabase } from "../database.ts";
import { byColumn, update } from "../ovsdb-client/operations.ts";
import { uplinkBridgeSpec } from "./uplink-bridge.ts";
import { completeMemory, rememberState, savedState } from "./uplink-memory.ts";
import { recoverMemory } from "./uplink-recovery.ts";
import { type DeviceState, NO_STATE } from "./uplink-state.ts";

const NIC = "eth0";
const STATE: DeviceState = { addresses: ["192.0.2.1/24"], routes: [{ destination: "10.0.0.0/8", protocol: 4 }] };
const text = (state: DeviceState) => JSON.stringify(state);

let folder: string;
let fake: FakeOvsdb;
let database: SwitchDatabase;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "contiv-memory-"));
  fake = await startFakeOvsdb(join(folder, "db.sock"), { vswitchd: true });
  database = await openDatabase(folder, {});
  await ensureBridge(database, uplinkBridgeSpec(NIC, "netdev"));
});

afterEach(async () => {
  await database[Symbol.asyncDispose]();
  await fake[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

const copies = () => [
  findBridge(database, `cu-${NIC}`)?.external_ids.get("contiv-nic-state"),
  rootRow(database).external_ids.get(`contiv-nic-state:${NIC}`),
];

function write(inBridge: string, inRoot: string): Promise<unknown> {
  return database.transact([
    update("Bridge", byColumn("name", `cu-${NIC}`), { external_ids: { "contiv-nic-state": inBridge } }),
    update("Open_vSwitch", [], { external_ids: { [`contiv-nic-state:${NIC}`]: inRoot } }),
  ]);
}

describe("two copies of what is remembered of a NIC", () => {
  const other: DeviceState = { addresses: ["192.0.2.2/24"], routes: [] };
  it.each([
    ["the bridge's says more", text(STATE), text(other), STATE],
    ["the bridge's says nothing", text(NO_STATE), text(STATE), STATE],
    ["the bridge's cannot be read", "{", text(STATE), STATE],
    ["the other one says nothing", text(STATE), text(NO_STATE), STATE],
    ["both say nothing", text(NO_STATE), text(NO_STATE), NO_STATE],
  ])("%s", async (_what, inBridge, inRoot, state) => {
    await write(inBridge, inRoot);
    expect(savedState(NIC, database)).toEqual(state);
    await database.transact([...completeMemory(NIC, database)]);
    expect(copies()).toEqual([text(state), text(state)]);
  });
});

describe("what was remembered and is lost", () => {
  const notes: string[] = [];
  // A bridge that is in the database is not asked for in the kernel.
  const netlink = undefined as unknown as SocketPool;
  const recover = (states: ReadonlyMap<string, DeviceState>) => {
    notes.length = 0;
    const note = (what: string) => notes.push(what);
    return recoverMemory(NIC, { database, netlink, states, note, signal: new AbortController().signal });
  };

  it.each([
    ["nowhere any more", undefined],
    ["as nothing", NO_STATE],
  ])("is written again from this process, and told once: %s", async (_what, left) => {
    if (left !== undefined) await database.transact([...rememberState(NIC, left, database)]);
    await recover(new Map([[NIC, STATE]]));
    expect(copies()).toEqual([text(STATE), text(STATE)]);
    expect(notes).toEqual([`what is remembered of NIC ${NIC} (192.0.2.1/24)`]);
    await recover(new Map([[NIC, STATE]]));
    expect(notes).toEqual([]);
  });

  it("stays as it is while something is remembered, and while nothing is known", async () => {
    await recover(new Map());
    expect([copies(), notes]).toEqual([[undefined, undefined], []]);
    await database.transact([...rememberState(NIC, STATE, database)]);
    await recover(new Map([[NIC, { addresses: ["192.0.2.9/24"], routes: [] }]]));
    expect([copies(), notes]).toEqual([[text(STATE), text(STATE)], []]);
  });

  it("that never had an address is not told each time", async () => {
    const routesOnly = { ...STATE, addresses: [] };
    await database.transact([...rememberState(NIC, routesOnly, database)]);
    await recover(new Map([[NIC, routesOnly]]));
    expect(notes).toEqual([]);
  });
});
