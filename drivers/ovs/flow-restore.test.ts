import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { type FakeOvsdb, startFakeOvsdb } from "../../test/fakes/ovsdb-server.ts";
import { openDatabase, rootRow, type SwitchDatabase } from "./database.ts";
import { FlowRestoreWait } from "./flow-restore.ts";
import { update } from "./ovsdb-client/operations.ts";

const ENDING = new AbortController();
const GRACE_MS = 10_000;

let folder: string;
let fake: FakeOvsdb;
let database: SwitchDatabase;
let isConnected: boolean;
let woken: number;
let wait: FlowRestoreWait;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "contiv-restore-"));
  fake = await startFakeOvsdb(join(folder, "db.sock"));
  database = await openDatabase(folder, {});
  vi.useFakeTimers({ toFake: ["performance", "setTimeout", "clearTimeout"] });
  isConnected = true;
  woken = 0;
  wait = new FlowRestoreWait({ database, isConnected: () => isConnected, wake: () => woken++, signal: ENDING.signal });
});

afterEach(async () => {
  wait.restart();
  vi.useRealTimers();
  await database[Symbol.asyncDispose]();
  await fake[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

const set = (config: Record<string, string>) =>
  database.transact([update("Open_vSwitch", [], { other_config: { "dpdk-init": "false", ...config } })]);
const config = () => Object.fromEntries(rootRow(database).other_config);

it("stays for the grace, and is removed after it; other keys stay", async () => {
  await set({ "flow-restore-wait": "True" });
  expect(wait.fault()).toContain("flow-restore-wait");
  expect(await wait.look()).toEqual([]);
  vi.advanceTimersByTime(GRACE_MS - 100);
  expect(await wait.look()).toEqual([]);
  expect([woken, wait.fault() === undefined]).toEqual([0, false]);
  vi.advanceTimersByTime(101);
  expect(woken).toBe(1);
  expect(await wait.look()).toEqual([expect.stringContaining("flow-restore-wait")]);
  expect([config(), wait.fault()]).toEqual([{ "dpdk-init": "false" }, undefined]);
  expect(await wait.look()).toEqual([]);
});

it("that ovs-ctl removes itself is not told, and the next one has its own grace", async () => {
  await set({ "flow-restore-wait": "true" });
  await wait.look();
  vi.advanceTimersByTime(GRACE_MS - 1);
  await set({});
  expect(await wait.look()).toEqual([]);
  vi.advanceTimersByTime(GRACE_MS);
  await set({ "flow-restore-wait": "true" });
  expect([await wait.look(), woken]).toEqual([[], 0]);
  expect(wait.fault()).toBeDefined();
});

it.each([
  ["is away", () => (isConnected = false)],
  ["has started meanwhile", () => wait.restart()],
])("has its whole grace when the switch %s", async (_what, happens) => {
  await set({ "flow-restore-wait": "true" });
  await wait.look();
  vi.advanceTimersByTime(GRACE_MS - 1);
  happens();
  await wait.look();
  isConnected = true;
  vi.advanceTimersByTime(GRACE_MS - 1);
  expect(await wait.look()).toEqual([]);
  vi.advanceTimersByTime(GRACE_MS + 1);
  expect(await wait.look()).toHaveLength(1);
});

it("is no fault with a value that the switch takes for false, and in a database without a row", async () => {
  await set({ "flow-restore-wait": "yes" });
  expect(wait.fault()).toBeUndefined();
  const empty = { rows: () => new Map(), transact: database.transact } as unknown as SwitchDatabase;
  const options = { database: empty, isConnected: () => true, wake: () => {}, signal: ENDING.signal };
  expect(new FlowRestoreWait(options).fault()).toBeUndefined();
});
