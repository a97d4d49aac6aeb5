import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  netmasterName,
  netmasterReady,
  netpluginName,
  netpluginReady,
  startNetmaster,
  startNetplugin,
} from "../../deploy/cluster/components.ts";
import { stopDaemon } from "../../deploy/cluster/daemon.ts";
import { findPod, listPods } from "../../deploy/cluster/pods.ts";
import { buildPreviousRelease, type PreviousRelease, whyNoPreviousRelease } from "./previous-release.ts";
import { callCni } from "./shim.ts";
import { ONCE_MORE, startSteadyPing } from "./steady-ping.ts";
import { eventually, startTestCluster, type TestCluster } from "./test-cluster.ts";

/**
 * One cluster is upgraded, rolled back and upgraded again, one program at a time. After each step pods of every release are attached, pinged, denied
 * and detached, whichever release attached them.
 */
type Release = "previous" | "this";

interface Mix {
  readonly netmaster: Release;
  readonly nodes: readonly [Release, Release];
}

interface Step {
  readonly what: string;
  readonly mix: Mix;
  /** Where the pods that the release before has attached are detached. */
  readonly node: 1 | 2;
}

/** Each differs from the one before it in one program. Both nodes are upgraded, each under another netmaster. */
const OLD: Mix = { netmaster: "previous", nodes: ["previous", "previous"] };
const STEPS: readonly Step[] = [
  { what: "netmaster is upgraded", mix: { ...OLD, netmaster: "this" }, node: 1 },
  { what: "one netplugin is upgraded", mix: { netmaster: "this", nodes: ["this", "previous"] }, node: 1 },
  { what: "netmaster is rolled back", mix: { netmaster: "previous", nodes: ["this", "previous"] }, node: 1 },
  { what: "the other netplugin is upgraded", mix: { netmaster: "previous", nodes: ["this", "this"] }, node: 2 },
  { what: "netmaster is upgraded last", mix: { netmaster: "this", nodes: ["this", "this"] }, node: 2 },
];
const NODES = [1, 2] as const;
/** A node's complaints are written to the store every 5 s at most. */
const NODE_TIMEOUT_MS = 20_000;

let world: TestCluster;
let previous: PreviousRelease;
let now: Mix = OLD;

const missing = await whyNoPreviousRelease();
if (missing !== undefined) console.warn(`SKIPPED test/system/mixed-releases: ${missing}`);

beforeAll(async () => {
  if (missing !== undefined) return;
  previous = await buildPreviousRelease();
  const { compiledRoot } = previous;
  world = await startTestCluster({ nodes: 2, compiled: { netmaster: compiledRoot, netplugin: compiledRoot } });
  await configure();
  for (const name of ["vx", "vl"]) await attachBoth(name, name);
  for (const [index, { node }] of STEPS.entries()) {
    const fates = [`del-${index}`, `gc-${index}`];
    await Promise.all(fates.map((name) => world.addPod(name, node, { tenant: "t1", network: "vx" })));
  }
  await world.addPod("web", 2, { tenant: "t1", network: "vx", group: "web" });
  for (const [from, to] of [
    ["vx-1", "vx-2"],
    ["vl-1", "vl-2"],
    ["vx-1", "web"],
  ] as const)
    await untilPinged(from, to, 1);
});

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
  previous?.[Symbol.dispose]();
});

async function configure(): Promise<void> {
  await world.rest.post("/api/v1/tenants/t1/", { tenantName: "t1" });
  for (const [networkName, encap, third] of [
    ["vx", "vxlan", 1],
    ["vl", "vlan", 2],
  ] as const) {
    const subnets = { subnet: `10.1.${third}.0/24`, ipv6Subnet: `fd0${third}::/64` };
    await world.rest.post(`/api/v1/networks/t1:${networkName}/`, { tenantName: "t1", networkName, encap, ...subnets });
  }
  await world.rest.post("/api/v1/policys/t1:web/", { tenantName: "t1", policyName: "web" });
  const group = { tenantName: "t1", groupName: "web", networkName: "vx", policies: ["web"] };
  await world.rest.post("/api/v1/endpointGroups/t1:web/", group);
}

/** `name-1` on node 1 and `name-2` on node 2. */
async function attachBoth(name: string, network: string): Promise<void> {
  await Promise.all(NODES.map((node) => world.addPod(`${name}-${node}`, node, { tenant: "t1", network })));
}

async function target(pod: string, family: 4 | 6 = 4): Promise<string> {
  return (await world.addresses(pod))[family === 4 ? 0 : 1] ?? "";
}

async function untilPinged(from: string, to: string, answers: 0 | 1): Promise<void> {
  const address = await target(to);
  await eventually(
    `ping from ${from} to ${to}`,
    () => world.ping(from, address, 1),
    (got) => got === answers,
  );
}

/** Restarts what is of another release than asked for. */
async function bring(mix: Mix): Promise<void> {
  const { compiled: _, ...layout } = world.cluster.layout;
  const layoutOf = (release: Release) =>
    release === "this"
      ? layout
      : { ...layout, compiled: { netmaster: previous.compiledRoot, netplugin: previous.compiledRoot } };
  if (mix.netmaster !== now.netmaster) {
    await stopDaemon(layout.home, netmasterName(1));
    await startNetmaster(layoutOf(mix.netmaster), 1);
    await netmasterReady(layout, 1);
  }
  for (const [index, release] of mix.nodes.entries()) {
    if (release === now.nodes[index]) continue;
    await stopDaemon(layout.home, netpluginName(index + 1));
    await startNetplugin(layoutOf(release), index + 1);
    await netpluginReady(layout, index + 1);
  }
  now = mix;
}

/** Requests that were not answered while one program was replaced. */
async function lostWhile(act: () => Promise<void>): Promise<readonly (readonly number[])[]> {
  const { underlay } = world.cluster.layout;
  const pings = [
    startSteadyPing(underlay, "vx-1", await target("vx-2")),
    startSteadyPing(underlay, "vl-2", await target("vl-1")),
    startSteadyPing(underlay, "vx-2", await target("vx-1", 6)),
  ];
  await sleep(300);
  await act();
  await sleep(500);
  const reports = await Promise.all(pings.map((ping) => ping.stop()));
  for (const report of reports) expect(report.sent).toBeGreaterThan(50);
  return reports.map(({ unanswered }) => unanswered);
}

/** Pods that are attached now reach those that were before, and are reached. */
async function attachesPods(name: string): Promise<void> {
  await attachBoth(name, "vx");
  await untilPinged(`${name}-1`, "vx-2", 1);
  await untilPinged("vx-1", `${name}-2`, 1);
  await untilPinged(`${name}-2`, `${name}-1`, 1);
}

async function enforcesRules(): Promise<void> {
  const rule = { tenantName: "t1", policyName: "web", ruleId: "deny", direction: "in", action: "deny" };
  await world.rest.post("/api/v1/rules/t1:web:deny/", { ...rule, protocol: "icmp" });
  await untilPinged("vx-1", "web", 0);
  await untilPinged("vx-2", "web", 0);
  await world.rest.delete("/api/v1/rules/t1:web:deny/");
  await untilPinged("vx-1", "web", 1);
}

interface Row {
  readonly containerID: string;
}

/** Leases that are still there of these containers. */
async function leased(containers: readonly string[]): Promise<readonly string[]> {
  const rows = await world.rest.get<Row[]>("/api/v1/endpoints/");
  return rows.map(({ containerID }) => containerID).filter((each) => containers.includes(each));
}

async function untilReleased(containers: readonly string[]): Promise<void> {
  await eventually(
    "leases that should end",
    () => leased(containers),
    ({ length }) => length === 0,
  );
}

async function detachesPods(names: readonly string[]): Promise<void> {
  const containers = names.map((name) => findPod(world.cluster.layout, name).containerId);
  expect((await leased(containers)).length).toBe(names.length);
  for (const name of names) await world.removePod(name);
  await untilReleased(containers);
}

/** Whatever the runtime does not name any more is detached; the pod's own namespace is still there. */
async function collects(name: string): Promise<void> {
  const { layout } = world.cluster;
  const pod = findPod(layout, name);
  const others = listPods(layout).filter((each) => each.name !== name);
  const attachments = others.map(({ containerId }) => ({ containerID: containerId, ifname: "eth0" }));
  const config = { cniVersion: "1.1.0", "cni.dev/valid-attachments": attachments };
  expect(await callCni(layout, pod, "GC", { config })).toEqual({ code: 0, text: "", stdout: "" });
  await untilReleased([pod.containerId]);
  expect((await leased(others.map(({ containerId }) => containerId))).length).toBe(others.length);
  await world.removePod(name);
}

interface ShownNode {
  readonly state: string;
  readonly drivers?: Readonly<Record<string, { readonly fault?: string }>>;
  readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message: string }[];
}

/** Nodes are ready and complain of nothing; their drivers are shown where agent and netmaster both know of drivers. */
async function isShown(mix: Mix): Promise<void> {
  for (const [index, release] of mix.nodes.entries()) {
    const drivers = release === "this" && mix.netmaster === "this" ? ["ovs: well"] : [];
    await eventually(
      `node n${index + 1}`,
      async () => summary(await world.rest.get<ShownNode>(`/api/v1/nodes/n${index + 1}/`)),
      (seen) => isDeepStrictEqual(seen, { state: "ready", drivers, complaints: [] }),
      NODE_TIMEOUT_MS,
    );
  }
}

function summary({ state, drivers = {}, conditions = [] }: ShownNode) {
  return {
    state,
    drivers: Object.entries(drivers).map(([name, { fault = "well" }]) => `${name}: ${fault}`),
    complaints: conditions.filter(({ status }) => status !== "ok"),
  };
}

describe.skipIf(missing !== undefined)(
  `two releases in one cluster${missing === undefined ? "" : `: ${missing}`}`,
  () => {
    describe.each(STEPS.map((step, index) => ({ ...step, index })))("$what", ({ mix, index }) => {
      it("nothing is lost meanwhile", ONCE_MORE, async () => {
        await bring(STEPS[index - 1]?.mix ?? OLD);
        expect(await lostWhile(() => bring(mix))).toEqual([[], [], []]);
      });

      it("pods come and go, whoever attached them, and rules hold", async () => {
        await isShown(mix);
        await attachesPods(`fresh-${index}`);
        await enforcesRules();
        await detachesPods([`del-${index}`, `fresh-${index}-1`, ...(index === 0 ? [] : [`fresh-${index - 1}-2`])]);
        await collects(`gc-${index}`);
      });
    });

    it("and nothing is left behind", async () => {
      await world.removeAllPods();
      await eventually(
        "no endpoints",
        () => world.rest.get<Row[]>("/api/v1/endpoints/"),
        ({ length }) => length === 0,
        1_000,
      );
    });
  },
);
