import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  cniSocketPath,
  netpluginName,
  ovsdbName,
  ovsRunDirectory,
  projectRoot,
  startOvs,
  vswitchdName,
} from "../../deploy/cluster/components.ts";
import { inNetns, type RunResult, run } from "../../deploy/cluster/exec.ts";
import { netnsExists, nodeNetns, panelNetns } from "../../deploy/cluster/underlay.ts";
import { recordsDirectoryOf } from "../../netplugin/machine/attachment-records.ts";
import { eventually, startTestCluster, type TestCluster } from "./test-cluster.ts";

/** `netplugin cleanup` takes a node apart when netplugin has ended, however it ended, and never while it runs. */
let world: TestCluster;
const NETPLUGIN = netpluginName(1);

beforeAll(async () => {
  world = await startTestCluster({ nodes: 1 });
  await world.rest.post("/api/v1/tenants/t1/", { tenantName: "t1" });
  const subnets = { encap: "vxlan", subnet: "10.1.0.0/24" };
  await world.rest.post("/api/v1/networks/t1:net/", { tenantName: "t1", networkName: "net", ...subnets });
  for (const name of ["p1", "p2"]) await world.addPod(name, 1, { tenant: "t1", network: "net" });
});

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

function cleanup(): Promise<RunResult> {
  const { layout } = world.cluster;
  const argv = [process.execPath, join(projectRoot(), "dist/netplugin/main.js"), "cleanup"];
  const places = ["--ovs-run-dir", ovsRunDirectory(layout, 1), "--panel-netns", panelNetns(layout.underlay, 1)];
  const settings = [...places, "--cni-socket", cniSocketPath(layout, 1)];
  return run(inNetns(nodeNetns(layout.underlay, 1), [...argv, ...settings]), { allowFailure: true });
}

/** Addresses, links, tables and bridges of the node. */
async function node(): Promise<string> {
  const vsctl = ["ovs-vsctl", `--db=unix:${ovsRunDirectory(world.cluster.layout, 1)}/db.sock`];
  const what = [
    ["ip", "-br", "address"],
    ["nft", "list", "tables"],
    [...vsctl, "list-br"],
  ];
  return (await Promise.all(what.map((argv) => world.onNode(1, argv)))).map(({ stdout }) => stdout).join("");
}

const records = () => recordsDirectoryOf(cniSocketPath(world.cluster.layout, 1));

async function expectRefused(sign: RegExp): Promise<void> {
  const before = await node();
  const { exitCode, stdout, stderr } = await cleanup();
  expect(exitCode).toBe(1);
  expect(stdout).toBe("");
  expect(stderr).toMatch(
    /^error: Cannot clean up: netplugin runs on this node \(.*\); nothing was changed\. Stop it first/,
  );
  expect(stderr).toMatch(sign);
  expect(await node()).toBe(before);
  expect(await world.ping("p1", "10.1.0.2")).toBe(3);
}

describe("netplugin cleanup", () => {
  it("is refused while netplugin runs, and changes nothing", async () => {
    await expectRefused(/answers on its CNI socket/);
  });

  it("is refused also without the socket's file, and after the switch has started anew", async () => {
    for (const isSwitchNew of [false, true]) {
      if (isSwitchNew) {
        for (const name of [vswitchdName(1), ovsdbName(1)]) await world.kill(name);
        await startOvs(world.cluster.layout, 1);
        await eventually(
          "the node is back",
          () => world.ping("p1", "10.1.0.2"),
          (count) => count === 3,
          20_000,
        );
      }
      await world.kill(NETPLUGIN, "SIGSTOP"); // it would make the file again
      rmSync(cniSocketPath(world.cluster.layout, 1), { force: true });
      await expectRefused(/holds its lock in the switch database/);
      await world.kill(NETPLUGIN, "SIGCONT");
    }
  });

  it("works as soon as netplugin was killed", async () => {
    expect(readdirSync(records())).toHaveLength(2);
    await world.kill(NETPLUGIN, "SIGKILL");
    const { exitCode, stdout } = await cleanup();
    expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: expect.stringMatching(/^removed: .*contiv-int/) });
    expect(netnsExists(panelNetns(world.cluster.layout.underlay, 1))).toBe(false);
    expect(await node()).not.toMatch(/contiv|cvh/);
    expect(existsSync(records())).toBe(false);
    expect((await cleanup()).stdout).toBe("removed: nothing was there\n");
  });
});
