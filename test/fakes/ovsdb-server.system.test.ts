import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { startRealOvsdb } from "../system/real-ovsdb.ts";
import { runContract } from "./ovsdb-contract.ts";
import { startFakeOvsdb } from "./ovsdb-server.ts";

it("the fake answers every transaction of the contract as the real server does", async () => {
  const folder = await mkdtemp(join(tmpdir(), "ovsdb-contract-"));
  try {
    await using real = await startRealOvsdb();
    await using fake = await startFakeOvsdb(join(folder, "db.sock"));
    expect(await runContract(fake.socketPath)).toEqual(await runContract(real.socketPath));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

it("the fake's schema is that of the Open vSwitch installed", async () => {
  const installed = JSON.parse(await readFile("/usr/share/openvswitch/vswitch.ovsschema", "utf8"));
  const ours = JSON.parse(await readFile(new URL("vswitch.schema.json", import.meta.url), "utf8"));
  expect(ours).toEqual(installed);
});
