import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type FakeOvsdb, startFakeOvsdb } from "../../../test/fakes/ovsdb-server.ts";
import { ensureBridge } from "../bridge.ts";
import { openDatabase, rootRow, type SwitchDatabase } from "../database.ts";
import { INTEGRATION_BRIDGE } from "../names.ts";
import { giveBackUplink } from "./give-back.ts";
import { answerTo, ask, LeftOverUplinks, withdraw } from "./left-over.ts";
import type { UndoOptions } from "./undo.ts";
import { uplinkBridgeSpec } from "./uplink-bridge.ts";
import { rememberState } from "./uplink-memory.ts";

const LONG = "enp65s0f1np1v12";

let folder: string;
let fake: FakeOvsdb;
let database: SwitchDatabase;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "contiv-left-"));
  fake = await startFakeOvsdb(join(folder, "db.sock"), { vswitchd: true });
  database = await openDatabase(folder, {});
  const plain = { datapathType: "netdev", failMode: "secure", externalIds: {} } as const;
  await ensureBridge(database, { ...plain, name: INTEGRATION_BRIDGE });
  for (const nic of ["eth1", "eth5", LONG]) await ensureBridge(database, uplinkBridgeSpec(nic, "netdev"));
});

afterEach(async () => {
  await database[Symbol.asyncDispose]();
  await fake[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

/** Those of a daemon whose settings name these NICs; nothing is given back here, so nothing needs the kernel. */
function leftOvers(...nics: readonly string[]): LeftOverUplinks {
  const kernel = { netlink: undefined, guard: undefined } as unknown as Omit<UndoOptions, "database">;
  return new LeftOverUplinks({ ...kernel, database, uplinks: nics.map((nic) => ({ alias: `of-${nic}`, nic })) });
}

const follow = (change: string) => expect.fail(change);

describe("uplinks of an earlier configuration", () => {
  it("are the bridges of NICs that no setting names, with the command that gives one back", async () => {
    await database.transact([...rememberState("eth5", { addresses: ["192.0.2.1/24"], routes: [] }, database)]);
    expect(leftOvers("eth1", "eth5", LONG).list()).toEqual([]);
    const [first, second] = leftOvers("eth1").list();
    expect(first).toMatchObject({ nic: "eth5", bridge: "cu-eth5" });
    expect(first?.warning).toMatch(
      /^bridge cu-eth5 with NIC "eth5" is left over .*192\.0\.2\.1\/24.* still on the bridge.*run on this node: netplugin cleanup --only-uplink eth5$/,
    );
    expect(second).toMatchObject({ nic: LONG, bridge: expect.stringMatching(/^cu-[0-9a-f]{8}$/) });
    expect(second?.warning).not.toContain("addresses");
  });

  it("are not given back while the settings name them: the request gets the reason", async () => {
    await ask("eth1", database);
    expect([leftOvers("eth1").isAsked(), answerTo("eth1", database)]).toEqual([true, "open"]);
    await leftOvers("eth1").giveBackAsked({ follow });
    expect(answerTo("eth1", database)).toEqual({ refusal: expect.stringContaining("--uplink of-eth1=eth1") });
    expect(leftOvers("eth1").isAsked()).toBe(false);
    await withdraw("eth1", database);
    expect([...rootRow(database).external_ids.keys()]).toEqual([]);
  });

  it("a NIC that nobody knows is refused, and the bridges that there are are named", async () => {
    await ask("eth9", database);
    await leftOvers("eth1").giveBackAsked({ follow });
    expect(answerTo("eth9", database)).toEqual({
      refusal: expect.stringMatching(/no uplink bridge .*"eth9".*cu-eth1 \(eth1\), cu-eth5 \(eth5\)/),
    });
  });

  it("what fails is asked for still, and the warning says why", async () => {
    const broken = leftOvers("eth1");
    await ask("eth5", database);
    await broken.giveBackAsked({ follow });
    expect(broken.isAsked()).toBe(true);
    expect(broken.list()[0]?.warning).toMatch(/it cannot be given back: .*; netplugin tries again/);
  });
});

describe("who asks a daemon that does not answer", () => {
  it("takes the request back, and says so", async () => {
    const options = { runDirectory: folder, vxlanUdpPort: 4789, isDaemonRunning: true, timeoutMs: 100 };
    await expect(giveBackUplink("eth5", options)).rejects.toThrow(/netplugin runs and has not done it in time/);
    expect([...rootRow(database).external_ids.keys()]).toEqual([]);
  });
});
