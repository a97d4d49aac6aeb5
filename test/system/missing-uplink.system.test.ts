import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  cniSocketPath,
  INSPECT_PORT,
  netpluginName,
  netpluginReady,
  ovsdbName,
  ovsRunDirectory,
  projectRoot,
  startNetplugin,
  startOvs,
  vswitchdName,
} from "../../deploy/cluster/components.ts";
import { stopDaemon } from "../../deploy/cluster/daemon.ts";
import { NODE_NIC, nodeAddress, panelNetns } from "../../deploy/cluster/underlay.ts";
import { eventually, startTestCluster, type TestCluster } from "./test-cluster.ts";

/** A node whose switch or whose uplink's NIC is not there: it is registered all the same, and says what is missing. */
let world: TestCluster;
const NODE_TIMEOUT_S = 5;
const TOLD_MS = 20_000;
const LOST = "Open vSwitch does not answer on this node; no pod can be attached";
const BACK = "Open vSwitch answers again";

interface NodeObject {
  readonly state?: string;
  readonly stateReasons?: readonly string[];
  readonly conditions?: readonly Condition[];
  readonly drivers?: { readonly ovs?: { readonly fault?: string } };
}

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly message: string;
}

beforeAll(async () => {
  const extraArguments = { netmaster: ["--node-timeout", `${NODE_TIMEOUT_S}s`, "--heartbeat-interval", "1s"] };
  world = await startTestCluster({ nodes: 2, extraArguments });
  await world.rest.post("/api/v1/tenants/t1/", { tenantName: "t1" });
  const network = { tenantName: "t1", networkName: "net", encap: "vxlan", subnet: "10.1.0.0/24" };
  await world.rest.post("/api/v1/networks/t1:net/", network);
});

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

async function nodeObject(): Promise<NodeObject | undefined> {
  const nodes = await world.rest.get<readonly (NodeObject & { readonly name: string })[]>("/api/v1/nodes/");
  return nodes.find(({ name }) => name === "n1");
}

async function conditions(): Promise<readonly Condition[]> {
  return (await nodeObject())?.conditions ?? [];
}

/** What `/readyz` of netplugin answers. */
async function readyz(): Promise<{ readonly status: string; readonly reasons?: readonly string[] }> {
  const { stdout } = await world.onNode(1, ["curl", "-s", `http://127.0.0.1:${INSPECT_PORT}/readyz`]);
  return JSON.parse(stdout || '{"status":"not listening yet"}');
}

/** The node in REST, `/readyz`, a CNI error and the last line of the log say the same. */
async function expectSameReason(pod: string): Promise<void> {
  const { status, reasons = [] } = await readyz();
  const isTold = (node: NodeObject | undefined) => node?.state === status && node?.stateReasons?.[0] === reasons[0];
  await eventually("the same in REST", nodeObject, isTold, TOLD_MS);
  expect(await world.addPod(pod, 1, { tenant: "t1", network: "net" }).catch(String)).toContain(
    `netplugin is ${status} on this node: ${reasons[0]}`,
  );
  expect(world.log(netpluginName(1), 200)).toContain(`"state":"${status}","reasons":${JSON.stringify(reasons)}`);
}

/** Lines of the log of the present netplugin. */
function lines(): readonly { readonly msg: string; readonly time: string }[] {
  const all = world
    .log(netpluginName(1), 2_000)
    .split("\n")
    .filter((line) => line.startsWith("{"));
  const parsed = all.map((line) => JSON.parse(line) as { msg: string; time: string });
  return parsed.slice(parsed.findLastIndex(({ msg }) => msg === "netplugin starts"));
}

function linesSaying(text: string): number {
  return lines().filter(({ msg }) => msg.startsWith(text)).length;
}

/** How long after its start the process has said it, in milliseconds. */
function saidAfterMs(text: string): number {
  const [first] = lines();
  const said = lines().find(({ msg }) => msg.startsWith(text));
  return Date.parse(said?.time ?? "") - Date.parse(first?.time ?? "");
}

/** It is refused while netmaster believes that the node lives. */
async function forgetNode(): Promise<boolean> {
  return world.rest.delete("/api/v1/nodes/n1/").then(
    () => true,
    () => false,
  );
}

/** As root of the node would, with netplugin out of service. */
async function ip(...argv: string[]): Promise<void> {
  await world.onNode(1, ["ip", ...argv]);
}

async function renameNic(from: string, to: string): Promise<void> {
  await ip("link", "set", from, "down");
  await ip("link", "set", from, "name", to);
  await ip("link", "set", to, "up");
}

/** The node is as if contiv had never been there, and netmaster does not know it. */
async function forgetEverything(): Promise<void> {
  const { layout } = world.cluster;
  await stopDaemon(layout.home, netpluginName(1));
  const program = [process.execPath, join(projectRoot(), "dist/netplugin/main.js"), "cleanup"];
  const places = ["--ovs-run-dir", ovsRunDirectory(layout, 1), "--panel-netns", panelNetns(layout.underlay, 1)];
  await world.onNode(1, [...program, ...places, "--cni-socket", cniSocketPath(layout, 1)]);
  await eventually("n1 is gone", forgetNode, (isGone) => isGone, TOLD_MS);
}

describe("Open vSwitch that is not there", () => {
  it("the node is registered all the same, and netmaster, probes and runtimes are told why it attaches nothing", async () => {
    const { layout } = world.cluster;
    await forgetEverything();
    await stopDaemon(layout.home, vswitchdName(1));
    await stopDaemon(layout.home, ovsdbName(1));
    await startNetplugin(layout, 1);
    await eventually("not ready", readyz, ({ status }) => status === "not-ready", TOLD_MS);
    const told = await eventually("told", conditions, (all) => all.length > 0, TOLD_MS);
    expect(saidAfterMs("netplugin is not-ready")).toBeLessThan(1_000);
    expect(told).toEqual([{ type: "switch", status: "failed", message: expect.stringContaining("db.sock") }]);
    await expectSameReason("early");
    const isFaulty = (node: NodeObject | undefined) => node?.drivers?.ovs?.fault !== undefined;
    const node = await eventually("the driver's fault", nodeObject, isFaulty, TOLD_MS);
    expect(told[0]?.message).toContain(`${node?.drivers?.ovs?.fault}: `);
    expect(node).not.toHaveProperty("vtepIp");
    expect((await readyz()).reasons?.[0]).toContain("db.sock");
  });

  it("other nodes go on, and once it is there the node is as any other", async () => {
    const { layout } = world.cluster;
    await world.addPod("other", 2, { tenant: "t1", network: "net" });
    await startOvs(layout, 1);
    await netpluginReady(layout, 1);
    await world.addPod("late", 1, { tenant: "t1", network: "net" });
    const [address = ""] = await world.addresses("other");
    await eventually(
      "other answers",
      () => world.ping("late", address, 1),
      (count) => count === 1,
      TOLD_MS,
    );
    const isWell = (all: readonly Condition[]) => all.some(({ type, status }) => type === "switch" && status === "ok");
    await eventually("the switch is well", conditions, isWell, TOLD_MS);
    await eventually("ready in REST", nodeObject, (node) => node?.state === "ready", TOLD_MS);
    expect(await nodeObject()).not.toHaveProperty("stateReasons");
    expect([linesSaying(LOST), linesSaying(BACK), linesSaying("netplugin is ready")]).toEqual([1, 1, 1]);
    expect((await nodeObject())?.drivers?.ovs).not.toHaveProperty("fault");
    for (const pod of ["late", "other"]) await world.removePod(pod);
  });
});

describe("an uplink's NIC that is not there", () => {
  it("the node is registered with the address by which it reaches netmaster, and says what is missing", async () => {
    const { layout } = world.cluster;
    await forgetEverything();
    await renameNic(NODE_NIC, "eth9");
    await startNetplugin(layout, 1);
    const told = await eventually("told", conditions, (all) => all.some(({ type }) => type === "tunnel"), TOLD_MS);
    const [tunnel, uplink] = ["tunnel", "uplink/default"].map((type) => told.find((each) => each.type === type));
    expect(uplink).toMatchObject({ status: "failed", message: expect.stringContaining(NODE_NIC) });
    expect(tunnel?.status).toBe("failed");
    expect(tunnel?.message).toContain(`it is registered with ${nodeAddress(layout.underlay, 1)}`);
    expect(tunnel?.message).toMatch(/--uplink default=.*--vtep-ip/);
    expect(world.log(netpluginName(1), 200)).toContain("Tunnels of this node do not work");
  });

  it("pods of the node are attached and reach each other", async () => {
    await world.addPod("a", 1, { tenant: "t1", network: "net" });
    await world.addPod("b", 1, { tenant: "t1", network: "net" });
    const [address = ""] = await world.addresses("b");
    expect(await world.ping("a", address, 3)).toBe(3);
  });

  // With an uplink in a userspace switch the node would reach nobody while ovs-vswitchd is away.
  it("tells netmaster within seconds when ovs-vswitchd is away, too, beside a database that answers", async () => {
    const { layout } = world.cluster;
    await stopDaemon(layout.home, netpluginName(1));
    await stopDaemon(layout.home, vswitchdName(1));
    const isAway = ({ type, status }: Condition) => type === "switch" && status === "failed";
    expect((await conditions()).some(isAway)).toBe(false);
    await startNetplugin(layout, 1);
    const told = await eventually("told", conditions, (all) => all.some(isAway), TOLD_MS);
    expect(saidAfterMs("netplugin is not-ready")).toBeLessThan(3_000);
    const message = expect.stringMatching(/does not answer for bridge contiv-int: .*see that ovs-vswitchd runs/);
    expect(told).toEqual([{ type: "switch", status: "failed", message }]);
    await expectSameReason("earlier");
    const isFaulty = (node: NodeObject | undefined) =>
      told[0]?.message.startsWith(`${node?.drivers?.ovs?.fault}: `) ?? false;
    await eventually("the driver's fault", nodeObject, isFaulty, TOLD_MS);
    await startOvs(layout, 1);
    await netpluginReady(layout, 1);
    const isWell = (all: readonly Condition[]) => all.some(({ type, status }) => type === "switch" && status === "ok");
    await eventually("the switch is well", conditions, isWell, TOLD_MS);
  });

  it("and once the NIC is there, other nodes too", async () => {
    await world.addPod("c", 2, { tenant: "t1", network: "net" });
    await renameNic("eth9", NODE_NIC);
    const [address = ""] = await world.addresses("c");
    await eventually(
      "c answers",
      () => world.ping("a", address, 1),
      (count) => count === 1,
      TOLD_MS,
    );
    const left = await eventually(
      "no condition is left",
      conditions,
      (all) => all.every(({ type }) => type !== "tunnel"),
      TOLD_MS,
    );
    expect(left.find(({ type }) => type === "uplink/default")).toMatchObject({ status: "ok" });
  });
});
