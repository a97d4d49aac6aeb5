import { mkdtempSync, rmSync, symlinkSync, unlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import {
  cniSocketPath,
  netpluginName,
  netpluginReady,
  ovsRunDirectory,
  startNetplugin,
} from "../../deploy/cluster/components.ts";
import { run } from "../../deploy/cluster/exec.ts";
import { discardPod, type Pod, preparePod } from "../../deploy/cluster/pods.ts";
import { nodeNetns, panelNetns, podNetns } from "../../deploy/cluster/underlay.ts";
import { expectSound } from "./invariants.ts";
import { type CniAnswer, type CniCommand, callCni, resultOf, type ShimWish } from "./shim.ts";
import { startTestCluster, type TestCluster } from "./test-cluster.ts";

/** What CNI_NETNS may lead to: a pod's namespace, and nothing else. Neither the node's own links nor the panel's are ever touched. */
let world: TestCluster;
let directory: string;
const NET = { tenant: "t1", network: "net" };

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "netns-paths-"));
  await run(["mkfifo", join(directory, "pipe")]);
  world = await startTestCluster({ nodes: 1 });
  await world.rest.post("/api/v1/tenants/t1/", { tenantName: "t1" });
  const subnets = { encap: "vxlan", subnet: "10.1.0.0/16", gateway: "10.1.0.1", ipv6Subnet: "fd01::/64" };
  await world.rest.post("/api/v1/networks/t1:net/", { tenantName: "t1", networkName: "net", ...subnets });
});

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
});

afterEach(async () => {
  await world.removeAllPods();
  await expectSound(world, 15_000);
});

const underlay = () => world.cluster.layout.underlay;
const node = () => nodeNetns(underlay(), 1);
const panel = () => panelNetns(underlay(), 1);

function cni(pod: Pod, command: CniCommand, wish: ShimWish = {}): Promise<CniAnswer> {
  return callCni(world.cluster.layout, pod, command, wish);
}

function prepare(name: string): Promise<Pod> {
  return preparePod(world.cluster.layout, name, 1, NET);
}

interface Link {
  readonly ifname: string;
  readonly ifindex: number;
  readonly ifalias?: string;
  readonly link_index?: number;
}

async function links(netns: string): Promise<readonly Link[]> {
  return JSON.parse((await run(["ip", "-n", netns, "-json", "link", "show"])).stdout);
}

async function names(netns: string): Promise<readonly string[]> {
  return (await links(netns)).map(({ ifname }) => ifname);
}

/** What a namespace path can be mistaken for, with what the refusal says it is. */
const WRONG: readonly (readonly [what: string, path: () => string, text: RegExp])[] = [
  ["a mount namespace", () => `/proc/${process.pid}/ns/mnt`, /a mount namespace, not a network namespace/],
  ["a process's namespace of users", () => "/proc/self/ns/user", /a user namespace, not a network namespace/],
  ["a file", () => "/etc/passwd", /a regular file, not a network namespace/],
  ["a directory", () => directory, /a directory, not a network namespace/],
  ["a named pipe", () => join(directory, "pipe"), /a named pipe, not a network namespace/],
  ["a device", () => "/dev/null", /a device, not a network namespace/],
  ["no path", () => "/run/netns/no-such", /no such path/],
  ["the node's namespace", () => `/run/netns/${node()}`, /is the node's own network namespace/],
  ["netplugin's by its process", () => "/proc/self/ns/net", /is the node's own network namespace/],
  ["the machine's", () => "/proc/1/ns/net", /is the node's own network namespace|permission denied/],
  ["the panel", () => `/run/netns/${panel()}`, /is the patch panel/],
];

describe("CNI_NETNS that is no pod's namespace", () => {
  it.each(WRONG)("%s: refused by ADD and CHECK, and DEL takes the pod off all the same", async (_what, path, text) => {
    const pod = await prepare("pod");
    const wish = { env: { CNI_NETNS: path() } };
    const refused = { code: 4, text: expect.stringMatching(text) };
    expect(await cni(pod, "ADD", wish)).toMatchObject(refused);
    expect(await cni(pod, "DEL", wish)).toMatchObject({ code: 0 }); // of what was never attached
    const prevResult = resultOf(await cni(pod, "ADD"));
    expect(await cni(pod, "ADD", wish)).toMatchObject(refused);
    expect(await cni(pod, "CHECK", { ...wish, config: { prevResult } })).toMatchObject(refused);
    expect(await cni(pod, "CHECK", { config: { prevResult } })).toMatchObject({ code: 0 });
    expect(await cni(pod, "DEL", wish)).toMatchObject({ code: 0 });
    expect(await names(podNetns(underlay(), "pod"))).not.toContain("eth0");
    expect(await names(node())).toContain("eth0");
  });

  it("the panel is refused even where the caller insists on the node's namespaces", async () => {
    const pod = await prepare("pod");
    const env = { CNI_NETNS: `/run/netns/${panel()}`, CNI_NETNS_OVERRIDE: "1" };
    expect(await cni(pod, "ADD", { env })).toMatchObject({
      code: 4,
      text: expect.stringMatching(/is the patch panel/),
    });
  });
});

describe("a link of the node that looks like the pod's", () => {
  const IF_NAME = "pub0";
  let pod: Pod;

  /** Same name as the pod's interface, and hanging on a link that has the number of the pod's far end. */
  async function makeLookalikes(): Promise<void> {
    const far = (await links(panel())).find(({ ifalias }) => ifalias?.includes(pod.containerId));
    const index = far?.ifindex ?? 0;
    expect(index).toBeGreaterThan(0);
    for (const [at, netns] of [node(), panel()].entries()) {
      const peer = await prepare(`peer${at}`);
      const ends = ["other", "index", String(index), "type", "veth", "peer", "name", IF_NAME, "netns", netns];
      await run(["ip", "-n", podNetns(underlay(), peer.name), "link", "add", ...ends]);
      expect((await links(netns)).find(({ ifname }) => ifname === IF_NAME)?.link_index).toBe(index);
    }
  }

  afterEach(async () => {
    for (const netns of [node(), panel()])
      await run(["ip", "-n", netns, "link", "del", IF_NAME], { allowFailure: true });
  });

  async function expectUntouched(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 1_000)); // links are deleted behind the answer
    expect(await names(node())).toContain(IF_NAME);
    expect(await names(panel())).toContain(IF_NAME);
    expect(await names(podNetns(underlay(), "pod"))).not.toContain(IF_NAME);
  }

  it.each([
    ["the node's namespace", () => node()],
    ["the panel", () => panel()],
  ])("stays when DEL names %s", async (_what, netns) => {
    pod = await prepare("pod");
    const env = { CNI_IFNAME: IF_NAME };
    resultOf(await cni(pod, "ADD", { env }));
    await makeLookalikes();
    const wish = { env: { ...env, CNI_NETNS: `/run/netns/${netns()}` } };
    expect(await cni(pod, "DEL", wish)).toMatchObject({ code: 0 });
    await expectUntouched();
    for (const each of ["peer0", "peer1"]) await discardPod(world.cluster.layout, each);
  });

  it("stays when the path of ADD leads to the node by now, as that of a process number that was used again", async () => {
    pod = await prepare("pod");
    const path = join(directory, "moving");
    symlinkSync(`/run/netns/${podNetns(underlay(), "pod")}`, path);
    const env = { CNI_IFNAME: IF_NAME, CNI_NETNS: path };
    resultOf(await cni(pod, "ADD", { env }));
    await makeLookalikes();
    unlinkSync(path);
    symlinkSync(`/run/netns/${node()}`, path);
    expect(await cni(pod, "DEL", { env: { ...env, CNI_NETNS: undefined } })).toMatchObject({ code: 0 });
    await expectUntouched();
    for (const each of ["peer0", "peer1"]) await discardPod(world.cluster.layout, each);
  });
});

describe("an attachment that nothing remembers", () => {
  it("DEL takes an interface out of the pod although nothing says any more whose it is", async () => {
    const { layout } = world.cluster;
    const pod = await prepare("forgotten");
    const port = resultOf(await cni(pod, "ADD")).interfaces[0]?.name ?? "";
    await world.kill(netpluginName(1));
    const forget = ["clear", "Port", port, "external_ids", "--"];
    const keep = ["set", "Port", port, "external_ids:contiv-owner=contiv-ts"];
    const database = `--db=unix:${ovsRunDirectory(layout, 1)}/db.sock`;
    expect(await world.onNode(1, ["ovs-vsctl", database, ...forget, ...keep])).toMatchObject({ exitCode: 0 });
    await run(["ip", "-n", panel(), "link", "set", port.replace("cvh", "cvp"), "alias", ""]);
    rmSync(join(dirname(cniSocketPath(layout, 1)), "attachments", `${port}.json`));
    await startNetplugin(layout, 1);
    await netpluginReady(layout, 1);
    expect((await world.inPod("forgotten", ["ip", "link", "show", "eth0"])).exitCode).toBe(0);
    expect(await cni(pod, "DEL")).toMatchObject({ code: 0 });
    expect((await world.inPod("forgotten", ["ip", "link", "show", "eth0"])).exitCode).not.toBe(0);
    expect(world.log(netpluginName(1), 200)).toContain("whose attachment is not known any more");
    await discardPod(layout, "forgotten");
  });
});
