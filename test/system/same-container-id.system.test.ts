import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Pod } from "../../deploy/cluster/pods.ts";
import { discardPod, preparePod } from "../../deploy/cluster/pods.ts";
import { expectSound } from "./invariants.ts";
import { type CniAnswer, type CniCommand, callCni, resultOf, type ShimWish } from "./shim.ts";
import { eventually, startTestCluster, type TestCluster } from "./test-cluster.ts";

/** One container id on two nodes, as made by hand, restored or cloned: two endpoints that have nothing to do with each other. */
let world: TestCluster;
const CONTAINER = "cnitool-77383ca0d4ef1a9b";
const NET = { tenant: "t1", network: "net" };

beforeAll(async () => {
  world = await startTestCluster({ nodes: 2, netmasters: 2 });
  await world.rest.post("/api/v1/tenants/t1/", { tenantName: "t1" });
  const subnets = { encap: "vxlan", subnet: "10.1.0.0/24", gateway: "10.1.0.1", ipv6Subnet: "fd01::/64" };
  await world.rest.post("/api/v1/networks/t1:net/", { tenantName: "t1", networkName: "net", ...subnets });
});

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

afterEach(async () => {
  await world.removeAllPods();
  await expectSound(world, 15_000);
  expect(await endpoints()).toEqual([]);
});

interface EndpointRow {
  readonly key: string;
  readonly containerID: string;
  readonly endpointID: string;
  readonly homingHost: string;
  readonly ipAddress: readonly string[];
}

async function endpoints(): Promise<readonly EndpointRow[]> {
  return await world.rest.get<EndpointRow[]>("/api/v1/endpoints/");
}

async function hosts(): Promise<readonly string[]> {
  return (await endpoints()).map(({ homingHost }) => homingHost).sort();
}

function cni(pod: Pod, command: CniCommand, wish: ShimWish = {}): Promise<CniAnswer> {
  return callCni(world.cluster.layout, pod, command, wish);
}

function prepare(name: string, node: number): Promise<Pod> {
  return preparePod(world.cluster.layout, name, node, { ...NET, containerId: CONTAINER });
}

const addressOf = (answer: CniAnswer) => resultOf(answer).ips[0]?.address.split("/")[0] ?? "";

/** Both ADDs at once. */
async function addBoth() {
  const pods = [await prepare("one", 1), await prepare("two", 2)] as const;
  const [first, second] = await Promise.all([cni(pods[0], "ADD"), cni(pods[1], "ADD")]);
  return {
    one: pods[0],
    two: pods[1],
    results: [resultOf(first), resultOf(second)],
    ips: [addressOf(first), addressOf(second)],
  };
}

async function expectTalk(ips: readonly string[]): Promise<void> {
  expect(await world.ping("one", ips[1] ?? "")).toBe(3);
  expect(await world.ping("two", ips[0] ?? "")).toBe(3);
}

describe("one container id on two nodes", () => {
  it("both pods are attached at once and talk, REST names both, and ADD and CHECK again find each its own", async () => {
    for (let round = 0; round < 3; round++) {
      const { one, two, results, ips } = await addBoth();
      expect(new Set(ips).size).toBe(2);
      await expectTalk(ips);
      await expectSound(world);
      const rows = await endpoints();
      expect(rows.map(({ containerID }) => containerID)).toEqual([CONTAINER, CONTAINER]);
      expect(new Set(rows.map(({ endpointID }) => endpointID)).size).toBe(2);
      for (const { endpointID, key, homingHost } of rows) {
        for (const name of [endpointID, key]) {
          const path = `/api/v1/inspect/endpoints/${encodeURIComponent(name)}/`;
          expect((await world.rest.get<{ Oper: EndpointRow }>(path)).Oper).toMatchObject({ homingHost });
        }
      }
      for (const [index, pod] of [one, two].entries()) {
        expect(addressOf(await cni(pod, "ADD"))).toBe(ips[index]);
        const prevResult = results[index];
        expect(await cni(pod, "CHECK", { config: { prevResult } })).toMatchObject({ code: 0 });
      }
      await Promise.all([world.removePod("one"), world.removePod("two")]);
      await eventually("no endpoints", endpoints, ({ length }) => length === 0, 1_000);
    }
  });

  it.each([
    ["one", "two", "n2"],
    ["two", "one", "n1"],
  ] as const)("DEL of %s leaves %s, which keeps its address when the other one is back", async (gone, left, host) => {
    const pods = await addBoth();
    const other = await world.addPod("other", 1, NET);
    const otherIp = other.ips[0]?.address.split("/")[0] ?? "";
    for (let round = 0; round < 2; round++) {
      expect(await cni(pods[gone], "DEL")).toMatchObject({ code: 0 });
      expect(await cni(pods[gone], "DEL")).toMatchObject({ code: 0 });
      await eventually("the endpoint gone", endpoints, ({ length }) => length === 2, 1_000);
      expect((await hosts()).filter((each) => each === host).length).toBe(host === "n1" ? 2 : 1);
      expect((await endpoints()).filter(({ containerID }) => containerID === CONTAINER)).toMatchObject([
        { homingHost: host },
      ]);
      expect(await world.ping(left, otherIp)).toBe(3);
      const before = pods.ips[left === "one" ? 0 : 1];
      expect(addressOf(await cni(pods[left], "ADD"))).toBe(before);
      pods.ips[gone === "one" ? 0 : 1] = addressOf(await cni(pods[gone], "ADD"));
      await expectTalk(pods.ips);
      await expectSound(world);
    }
  });

  it("GC of each node ends and keeps its own", async () => {
    const { one, two, ips } = await addBoth();
    const valid = { "cni.dev/valid-attachments": [{ containerID: CONTAINER, ifname: "eth0" }] };
    const gc = (pod: Pod, list: object) => cni(pod, "GC", { config: { cniVersion: "1.1.0", ...list } });
    for (const pod of [one, two]) expect(await gc(pod, valid)).toMatchObject({ code: 0 });
    expect(await hosts()).toEqual(["n1", "n2"]);
    await expectTalk(ips);
    expect(await gc(two, { "cni.dev/valid-attachments": [] })).toMatchObject({ code: 0 });
    expect(await hosts()).toEqual(["n1"]);
    await discardPod(world.cluster.layout, "two");
    await expectSound(world);
  });

  it("restarts of netplugin and netmaster, and DEL while netmaster is away, end nothing that is the other's", async () => {
    const { two, ips } = await addBoth();
    for (const node of [1, 2]) await world.restartNetplugin(node, "SIGKILL");
    for (const index of [1, 2]) await world.restartNetmaster(index);
    await expectSound(world);
    await expectTalk(ips);
    for (const index of [1, 2]) await world.kill(`netmaster-${index}`, "SIGSTOP");
    expect(await cni(two, "DEL")).toMatchObject({ code: 0 });
    for (const index of [1, 2]) await world.kill(`netmaster-${index}`, "SIGCONT");
    await discardPod(world.cluster.layout, "two");
    await expectSound(world);
    expect(await hosts()).toEqual(["n1"]);
  });
});
