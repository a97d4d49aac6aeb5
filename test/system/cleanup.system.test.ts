import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  cniSocketPath,
  netpluginName,
  netpluginReady,
  ovsdbName,
  ovsRunDirectory,
  projectRoot,
  startNetplugin,
  startOvs,
  vswitchdName,
} from "../../deploy/cluster/components.ts";
import { inNetns, type RunResult, run } from "../../deploy/cluster/exec.ts";
import { controlNetns, netnsExists, nodeNetns, panelNetns } from "../../deploy/cluster/underlay.ts";
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

function cleanup(...more: readonly string[]): Promise<RunResult> {
  const { layout } = world.cluster;
  const argv = [process.execPath, join(projectRoot(), "dist/netplugin/main.js"), "cleanup"];
  const places = ["--ovs-run-dir", ovsRunDirectory(layout, 1), "--panel-netns", panelNetns(layout.underlay, 1)];
  const settings = [...places, "--cni-socket", cniSocketPath(layout, 1)];
  return run(inNetns(nodeNetns(layout.underlay, 1), [...argv, ...settings, ...more]), { allowFailure: true });
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

const SPARE = "eth5";
const SPARE_BRIDGE = `cu-${SPARE}`;

/** A second NIC with a neighbour, an address and a route. */
async function addSpareNic(): Promise<void> {
  const { underlay } = world.cluster.layout;
  const netns = nodeNetns(underlay, 1);
  const control = (...argv: string[]) => run(inNetns(controlNetns(underlay), ["ip", ...argv]));
  await control("link", "add", "spare", "type", "veth", "peer", "name", SPARE, "netns", netns);
  await control("address", "add", "192.168.77.1/24", "dev", "spare");
  await control("link", "set", "spare", "up");
  await onNode(
    `ip link set ${SPARE} up && ip address add 192.168.77.2/24 dev ${SPARE} && ip route add 10.77.0.0/16 via 192.168.77.1`,
  );
}

async function onNode(script: string): Promise<string> {
  const { exitCode, stdout, stderr } = await world.onNode(1, ["sh", "-c", script]);
  expect(exitCode, `${script}: ${stderr}`).toBe(0);
  return stdout;
}

/** Netplugin anew, with or without the second NIC among its uplinks. */
async function startWith(...uplinks: readonly string[]): Promise<void> {
  const { layout } = world.cluster;
  await world.kill(NETPLUGIN, "SIGTERM");
  const more = uplinks.flatMap((uplink) => ["--uplink", uplink]);
  await startNetplugin({ ...layout, extraArguments: { netplugin: more } }, 1);
  await netpluginReady(layout, 1);
}

/** What a link carries. */
const shown = (link: string) =>
  onNode(
    `ip -o -4 address show dev ${link}; ip route show dev ${link} proto boot; sysctl -n net.ipv6.conf.${link}.disable_ipv6`,
  );

const bridges = () => onNode(`ovs-vsctl --db=unix:${ovsRunDirectory(world.cluster.layout, 1)}/db.sock list-br`);

/** Everything about the second NIC in the switch's database. */
async function remembered(): Promise<string> {
  const vsctl = `ovs-vsctl --db=unix:${ovsRunDirectory(world.cluster.layout, 1)}/db.sock --columns=external_ids`;
  const dump = await onNode(`${vsctl} list Open_vSwitch; ${vsctl},name list Bridge; ${vsctl},name list Port`);
  return dump
    .split("\n")
    .filter((line) => line.includes(SPARE))
    .join("\n");
}

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly message: string;
}

/** Of the second NIC, as netmaster shows them. */
async function told(): Promise<readonly Condition[]> {
  const { conditions = [] } = await world.rest.get<{ conditions?: readonly Condition[] }>("/api/v1/nodes/n1/");
  return conditions.filter(({ type }) => type === `uplink/${SPARE}`);
}

async function expectGivenBack(address: string): Promise<void> {
  expect(await bridges()).toBe("contiv-int\ncu-eth0\n");
  const carried = await shown(SPARE);
  expect(carried).toContain(`inet ${address} `);
  expect(carried).toContain("10.77.0.0/16 via 192.168.77.1");
  expect(carried).toMatch(/\n0\n$/); // its settings, too
  await onNode("ping -n -c 1 -W 2 192.168.77.1");
  expect(await remembered()).toBe("");
  expect(await world.ping("p1", "10.1.0.2")).toBe(3);
}

describe("netplugin cleanup --only-uplink", () => {
  it("is refused for a NIC that is an uplink of the netplugin that runs, or that contiv does not have", async () => {
    await addSpareNic();
    await startWith(`storage=${SPARE}`);
    expect(await shown(SPARE_BRIDGE)).toContain("inet 192.168.77.2/24");
    const before = [await node(), await remembered()];
    for (const [nic, more, reason] of [
      [SPARE, [], /"eth5" is a configured uplink \(--uplink storage=eth5\).*restart netplugin first/],
      [SPARE, ["--uplink", `other=${SPARE}`], /configured uplink \(--uplink other=eth5\)/],
      ["eth9", [], /no uplink bridge of contiv with NIC "eth9".*cu-eth0 \(eth0\)/],
    ] as const) {
      const { exitCode, stdout, stderr } = await cleanup("--only-uplink", nic, ...more);
      expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
      expect(stderr).toMatch(reason);
      expect(stderr).toMatch(/^error: Cannot give NIC .*nothing was changed\n$/);
    }
    expect([await node(), await remembered()]).toEqual(before);
  });

  it("gives a left-over NIC back while netplugin runs, as the condition says", async () => {
    await startWith();
    expect(await shown(SPARE_BRIDGE)).toContain("inet 192.168.77.2/24");
    const [condition] = await eventually("the condition", told, (all) => all.length === 1, 20_000);
    expect(condition?.status).toBe("degraded");
    expect(condition?.message).toMatch(/left over.*192\.168\.77\.2\/24.*netplugin cleanup --only-uplink eth5$/);
    const readyz = await onNode("curl -s http://127.0.0.1:9090/readyz");
    expect(readyz).toContain(condition?.message.replaceAll('"', '\\"'));
    expect(world.log(NETPLUGIN, 200)).toContain("An uplink of an earlier configuration is still there");

    // Nobody follows what an admin changes there any more: it is seen when the NIC is given back.
    await onNode(
      `ip address add 192.168.77.3/24 dev ${SPARE_BRIDGE} && ip address delete 192.168.77.2/24 dev ${SPARE_BRIDGE}`,
    );
    await onNode(`ip route replace 10.77.0.0/16 via 192.168.77.1`);
    const { exitCode, stdout, stderr } = await cleanup("--only-uplink", SPARE);
    expect({ exitCode, stdout, stderr }).toEqual({
      exitCode: 0,
      stdout: "removed: cu-eth5; NIC eth5 has 192.168.77.3/24\n",
      stderr: "",
    });
    await expectGivenBack("192.168.77.3/24");
    await eventually("no condition", told, (all) => all.length === 0, 20_000);
    expect(world.log(NETPLUGIN, 200)).toContain("The uplink of an earlier configuration is gone");
    expect(world.log(NETPLUGIN, 200)).not.toMatch(/not as they should be|are blocked again/);
    expect((await cleanup("--only-uplink", SPARE)).stderr).toContain("no uplink bridge of contiv");
  });

  it("gives back what is remembered when the bridge is bare, as after a restart of the node", async () => {
    await startWith(`storage=${SPARE}`);
    await startWith();
    await onNode(`ip address flush dev ${SPARE_BRIDGE}`);
    expect((await cleanup("--only-uplink", SPARE)).stdout).toContain("has 192.168.77.3/24");
    await expectGivenBack("192.168.77.3/24");
  });

  it("ends what was asked for when netplugin was killed amid it", async () => {
    await startWith(`storage=${SPARE}`);
    await startWith();
    await world.kill(NETPLUGIN, "SIGSTOP");
    const asked = cleanup("--only-uplink", SPARE);
    await eventually("asked", remembered, (text) => text.includes("contiv-give-back:eth5"), 20_000);
    await world.kill(NETPLUGIN, "SIGKILL");
    await startNetplugin(world.cluster.layout, 1);
    expect((await asked).stdout).toBe("removed: cu-eth5; NIC eth5 has 192.168.77.3/24\n");
    await netpluginReady(world.cluster.layout, 1);
    await expectGivenBack("192.168.77.3/24");
  });

  it("does it itself when netplugin does not run, also after somebody has deleted the bridge", async () => {
    for (const isBridgeThere of [true, false]) {
      await startWith(`storage=${SPARE}`);
      await world.kill(NETPLUGIN, "SIGKILL");
      const socket = `${ovsRunDirectory(world.cluster.layout, 1)}/db.sock`;
      if (!isBridgeThere) await onNode(`ovs-vsctl --db=unix:${socket} del-br ${SPARE_BRIDGE}`);
      const { exitCode, stdout } = await cleanup("--only-uplink", SPARE);
      expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: expect.stringContaining("has 192.168.77.3/24") });
      await expectGivenBack("192.168.77.3/24");
    }
    await startWith();
  });
});

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
