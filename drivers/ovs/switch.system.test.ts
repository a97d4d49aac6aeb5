import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ClusterOptions, layoutOf, stopCluster } from "../../deploy/cluster/cluster.ts";
import { ovsRunDirectory, startOvs, vswitchdName } from "../../deploy/cluster/components.ts";
import { stopDaemon } from "../../deploy/cluster/daemon.ts";
import { inNetns, run } from "../../deploy/cluster/exec.ts";
import { ensureControl, ensureNode, nodeNetns, panelNetns } from "../../deploy/cluster/underlay.ts";
import type { NetError } from "../../state/errors.ts";
import { type NetnsHandle, openNetns } from "../netlink/netns.ts";
import type { Flow } from "./openflow/flow.ts";
import { flowKey } from "./openflow/flow-identity.ts";
import { packFlow } from "./openflow/packed-flow.ts";
import { openPanel, type Panel } from "./pod-ports/panel.ts";
import { openPortPool, peerNameOf } from "./pod-ports/port-pool.ts";
import { type OpenOvsDriver, openOvsDriver, removeEverything } from "./switch.ts";

const COOKIE = 0xc0c0_0000_0000_0000n;
const COOKIE_MASK = 0xffff_0000_0000_0000n;

const options: ClusterOptions = {
  directory: mkdtempSync(join(tmpdir(), "contiv-ovs-")),
  underlay: { prefix: `cd${process.pid}`, subnet: "192.168.214" },
  nodes: 1,
  restPort: 0,
  tied: true,
};
const layout = layoutOf(options);
const netnsName = nodeNetns(options.underlay, 1);
const errors: NetError[] = [];
const panelName = panelNetns(options.underlay, 1);
let netns: NetnsHandle;
let panel: Panel;

beforeAll(async () => {
  await ensureControl(options.underlay);
  await ensureNode(options.underlay, 1);
  await startOvs(layout, 1);
  netns = openNetns(`/run/netns/${netnsName}`);
  panel = await openPanel(panelName);
});

afterAll(async () => {
  panel[Symbol.dispose]();
  netns[Symbol.dispose]();
  await stopCluster(options);
});

interface DriverSettings {
  readonly allowDefaultRouteUplink?: boolean;
  readonly verifyUplink?: (signal: AbortSignal) => Promise<void>;
  readonly onRepair?: (found: readonly string[]) => void;
}

function openDriver(settings: DriverSettings = {}): Promise<OpenOvsDriver> {
  return openOvsDriver({
    runDirectory: ovsRunDirectory(layout, 1),
    datapath: "netdev",
    uplinks: [{ alias: "default", nic: "eth0" }],
    allowDefaultRouteUplink: false,
    vxlanUdpPort: 4789,
    cookie: COOKIE,
    cookieMask: COOKIE_MASK,
    netns,
    signal: new AbortController().signal,
    report: (error) => errors.push(error),
    ...settings,
  });
}

async function onNode(...argv: string[]): Promise<string> {
  return (await run(inNetns(netnsName, argv))).stdout;
}

async function addressesOf(device: string): Promise<string[]> {
  const rows = JSON.parse(await onNode("ip", "-json", "-4", "address", "show", device)) as {
    addr_info: { local: string }[];
  }[];
  return rows.flatMap((row) => row.addr_info.map((each) => each.local));
}

async function controlReachable(): Promise<boolean> {
  const ping = inNetns(netnsName, ["ping", "-n", "-c", "2", "-i", "0.2", "-W", "2", "192.168.214.1"]);
  return (await run(ping, { allowFailure: true })).exitCode === 0;
}

function vsctl(...args: string[]): Promise<string> {
  return onNode("ovs-vsctl", `--db=unix:${ovsRunDirectory(layout, 1)}/db.sock`, "--timeout=10", ...args);
}

/** Puts and removes flows in one bundle. */
async function change({ flows }: OpenOvsDriver, put: readonly Flow[], removed: readonly Flow[]): Promise<void> {
  using bundle = flows.begin();
  for (const flow of removed) bundle.remove(flowKey(flow));
  for (const { key, deed } of put.map((flow) => packFlow(flow))) bundle.put(key, deed);
  expect((await bundle.commit()).size).toBe(0);
}

describe("uplink", () => {
  it("refuses a NIC with the default route unless it is allowed, and leaves it as it is", async () => {
    await onNode("ip", "route", "add", "default", "via", "192.168.214.1");
    await using driver = await openDriver();
    expect(driver.uplinkFailures().get("default")?.message).toContain("--allow-default-route-uplink");
    expect(await addressesOf("eth0")).toEqual(["192.168.214.11"]);
    await onNode("ip", "route", "del", "default");
  });

  it("undoes the move when the node cannot be reached any more", async () => {
    const verifyUplink = () => Promise.reject(new Error("no answer from netmaster"));
    await using driver = await openDriver({ verifyUplink });
    expect(driver.uplinkFailures().get("default")?.message).toContain("no answer from netmaster");
    expect(await addressesOf("eth0")).toEqual(["192.168.214.11"]);
    expect(await controlReachable()).toBe(true);
    expect(await vsctl("list-br")).toBe("contiv-int\n");
  });

  it("moves a single NIC's addresses and routes to the uplink bridge; the node stays reachable", async () => {
    await onNode("ip", "route", "add", "default", "via", "192.168.214.1");
    await using driver = await openDriver({ allowDefaultRouteUplink: true });
    expect([...driver.uplinkFailures().values()]).toEqual([]);
    expect(driver.uplinks().get("default")?.patchOfport).toBeGreaterThan(0);
    expect(await addressesOf("eth0")).toEqual([]);
    expect(await addressesOf("cu-eth0")).toEqual(["192.168.214.11"]);
    expect(await onNode("ip", "route", "show", "default")).toContain("via 192.168.214.1 dev cu-eth0");
    expect(await controlReachable()).toBe(true);
  });

  it("adopts what is there, and repairs addresses that somebody took away", async () => {
    await onNode("ip", "address", "flush", "dev", "cu-eth0");
    await using driver = await openDriver({ allowDefaultRouteUplink: true });
    expect([...driver.uplinkFailures().values()]).toEqual([]);
    expect(await addressesOf("cu-eth0")).toEqual(["192.168.214.11"]);
    expect(await controlReachable()).toBe(true);
  });
});

describe("flows", () => {
  const flow: Flow = { table: 0, priority: 5, cookie: COOKIE | 1n, match: { inPort: 7 }, actions: [], goto: 10 };
  const foreign: Flow = { table: 0, priority: 6, cookie: 1n, match: { inPort: 8 }, actions: [] };

  it("reads back what it installed, removes it, and never touches another's flows", async () => {
    await using driver = await openDriver();
    await expect.poll(() => driver.connected).toBe(true);
    await change(driver, [flow, foreign], []);
    expect([...(await driver.flows.read()).keys()]).toEqual([flowKey(flow)]);
    await change(driver, [], [flow]);
    expect((await driver.flows.read()).size).toBe(0);
    expect(await driver.flowConnection.connection().dumpFlows({ cookie: 1n })).toHaveLength(1);
  });

  it("comes back when the switch restarts, and says that all must be compared", async () => {
    await using driver = await openDriver();
    await expect.poll(() => driver.connected).toBe(true);
    let resyncs = 0;
    driver.onChange(({ resync }) => {
      if (resync) resyncs++;
    });
    await stopDaemon(layout.home, vswitchdName(1), "SIGKILL");
    await expect.poll(() => driver.flowConnection.connected, { timeout: 5_000 }).toBe(false);
    await startOvs(layout, 1);
    await expect.poll(() => driver.connected, { timeout: 15_000 }).toBe(true);
    expect(resyncs).toBeGreaterThan(0);
    await driver.ensureBase();
    expect(await addressesOf("cu-eth0")).toEqual(["192.168.214.11"]);
    expect(await controlReachable()).toBe(true);
  });
});

describe("port pool", () => {
  const signal = new AbortController().signal;

  function openPool(driver: OpenOvsDriver, target: number, settings: { readonly surplusIdleMs?: number } = {}) {
    return openPortPool({
      ...settings,
      panel,
      ports: driver.ports,
      netlink: driver.netlink,
      target,
      mtuBytes: 1500,
      finishChecksums: true,
      closeNearEnds: (near) => driver.guard.closeNearEnds(near),
      netns,
      report: (error) => errors.push(error),
    });
  }

  it("hands out plugged-in ports, each once, also more than it keeps", async () => {
    await using driver = await openDriver();
    await using pool = await openPool(driver, 4);
    const ports = await Promise.all(Array.from({ length: 20 }, () => pool.take({ signal })));
    expect(new Set(ports.map((port) => port.ofport)).size).toBe(20);
    const { stdout } = await run(["ip", "-n", panelName, "-json", "link", "show"]);
    const links = JSON.parse(stdout) as { ifname: string; ifindex: number }[];
    for (const port of ports) {
      expect(links).toContainEqual(
        expect.objectContaining({ ifname: peerNameOf(port.name), ifindex: port.peerIfIndex }),
      );
    }
    const ethtool = ["ethtool", "-k", peerNameOf(ports[0]?.name ?? "")];
    expect((await run(inNetns(panelName, ethtool))).stdout).toMatch(/^tx-checksumming: off/m);
  });

  it("adopts ready ports after a restart and removes halves", async () => {
    await using driver = await openDriver();
    const [half] = [...driver.ports.read().keys()].filter((name) => name.startsWith("cvh"));
    await onNode("ip", "link", "del", half ?? "");
    await using pool = await openPool(driver, 4);
    const names = [...driver.ports.read().keys()].filter((name) => name.startsWith("cvh"));
    expect(names).not.toContain(half);
    expect(pool.size).toBe(names.length);
  });

  it("takes back used ports, passes over those that somebody unplugged, and removes what is left over", async () => {
    await using driver = await openDriver();
    await using pool = await openPool(driver, 4, { surplusIdleMs: 300 });
    await expect.poll(() => pool.size, { timeout: 5_000 }).toBe(4);
    const used = await Promise.all(Array.from({ length: 6 }, () => pool.take({ signal })));
    await driver.ports.mark(new Map(used.map(({ name }) => [name, { "contiv-role": "pod" }])));
    const first = peerNameOf(used[0]?.name ?? "");
    await run(inNetns(panelName, ["ethtool", "-K", first, "tx", "on"]));
    for (const { name } of used) pool.giveBack(await pool.clean(name));
    expect((await run(inNetns(panelName, ["ethtool", "-k", first]))).stdout).toMatch(/^tx-checksumming: off/m);
    expect(driver.ports.read().get(used[0]?.name ?? "")?.externalIds["contiv-role"]).toBe("warm");
    expect([pool.hasRoom(0), pool.hasRoom(16)]).toEqual([true, false]);
    const [unplugged] = [...driver.ports.read().keys()].filter((name) => name.startsWith("cvh"));
    await vsctl("del-port", "contiv-int", unplugged ?? "");
    await expect.poll(() => driver.ports.read().has(unplugged ?? "")).toBe(false);
    await expect.poll(() => pool.size, { timeout: 5_000 }).toBe(4);
    const again = await Promise.all(Array.from({ length: 4 }, () => pool.take({ signal })));
    expect(again.map((port) => port.name)).not.toContain(unplugged);
    await expect(pool.clean("cvhgone")).rejects.toThrow("cvhgone");
  });

  it("lets a waiting caller go when its signal aborts", async () => {
    await using driver = await openDriver();
    await using pool = await openPool(driver, 0);
    const aborted = AbortSignal.abort(new Error("deadline"));
    await expect(pool.take({ signal: aborted })).rejects.toThrow("deadline");
  });
});

describe("bridges and ports that somebody changed", () => {
  it.each([
    ["patch port", ["del-port", "contiv-int", "cpi-eth0"], "cpi-eth0"],
    ["patch port of the uplink bridge", ["del-port", "cu-eth0", "cpu-eth0"], "cpu-eth0"],
    ["NIC", ["del-port", "cu-eth0", "eth0"], "port eth0"],
    ["uplink bridge", ["del-br", "cu-eth0"], "cu-eth0 is gone"],
    ["tunnel port", ["del-port", "contiv-int", "contiv-vxlan"], "contiv-vxlan"],
    ["peer", ["set", "Interface", "cpi-eth0", "options:peer=other"], 'peer "other"'],
    ["VLAN of a port", ["set", "Port", "cpi-eth0", "tag=7"], "VLAN settings"],
    ["tunnel options", ["set", "Interface", "contiv-vxlan", "options:dst_port=4790"], "contiv-vxlan"],
    ["fail mode", ["set-fail-mode", "contiv-int", "standalone"], "fail mode"],
    ["controller", ["set-controller", "contiv-int", "tcp:127.0.0.1:6653"], "controller"],
    ["STP", ["set", "Bridge", "cu-eth0", "stp_enable=true"], "STP of bridge cu-eth0"],
    ["multicast snooping", ["set", "Bridge", "contiv-int", "mcast_snooping_enable=true"], "multicast snooping"],
  ])("are told and repaired: %s", async (_what, command, found) => {
    const repaired: string[] = [];
    await using driver = await openDriver({
      allowDefaultRouteUplink: true,
      onRepair: (what) => repaired.push(...what),
    });
    const isTold = new Promise((resolve) => driver.onChange(({ base }) => base && resolve(undefined)));
    await vsctl("--no-wait", ...command);
    await isTold;
    await driver.ensureBase();
    expect(repaired.join()).toContain(found);
    expect([...driver.uplinkFailures().values()]).toEqual([]);
    expect(await addressesOf("cu-eth0")).toEqual(["192.168.214.11"]);
    await expect.poll(controlReachable, { timeout: 10_000 }).toBe(true);
  });
});

describe("removal", () => {
  it("takes every bridge away and gives the NIC its addresses back", async () => {
    expect(await removeEverything({ runDirectory: ovsRunDirectory(layout, 1), panelNetns: panelName, netns })).toEqual(
      expect.arrayContaining(["contiv-int", "cu-eth0"]),
    );
    expect(await vsctl("list-br")).toBe("");
    expect(await addressesOf("eth0")).toEqual(["192.168.214.11"]);
    expect(await onNode("ip", "route", "show", "default")).toContain("via 192.168.214.1 dev eth0");
    expect(await controlReachable()).toBe(true);
  });
});
