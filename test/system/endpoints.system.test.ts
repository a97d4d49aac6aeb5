import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { cniSocketPath } from "../../deploy/cluster/components.ts";
import { run } from "../../deploy/cluster/exec.ts";
import { discardPod, type Pod, preparePod } from "../../deploy/cluster/pods.ts";
import { podNetns } from "../../deploy/cluster/underlay.ts";
import { BAD_ENVIRONMENTS, BAD_INPUTS, BAD_PLACEMENTS, GARBAGE } from "./bad-calls.ts";
import { expectSound, violations } from "./invariants.ts";
import {
  type CniAnswer,
  type CniCommand,
  callCni,
  type ExchangeOptions,
  isAddAnswered,
  killedAdd,
  resultOf,
  type ShimWish,
  sendBytes,
} from "./shim.ts";
import { eventually, startTestCluster, type TestCluster } from "./test-cluster.ts";

/** Endpoints by real CNI calls (acceptance list 50 to 53, 56, and the "what bad input gets"). After each test nothing is left. */
let world: TestCluster;
const NET = { tenant: "t1", network: "net" };

beforeAll(async () => {
  world = await startTestCluster({ nodes: 2 });
  await world.rest.post("/api/v1/tenants/t1/", { tenantName: "t1" });
  await createNetwork("net", { subnet: "10.1.0.0/16", gateway: "10.1.0.1", ipv6Subnet: "fd01::/64" });
  await createNetwork("small", { subnet: "10.2.0.0/28" });
  await createNetwork("other", { subnet: "10.3.0.0/24", gateway: "10.3.0.1" });
});

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

async function createNetwork(networkName: string, config: object): Promise<void> {
  await world.rest.post(`/api/v1/networks/t1:${networkName}/`, {
    tenantName: "t1",
    networkName,
    encap: "vxlan",
    ...config,
  });
}

/** After each test nothing is left. */
function nothingIsLeft(): void {
  afterEach(async () => {
    await world.removeAllPods();
    await expectSound(world, 15_000);
  });
}

function cni(pod: Pod, command: CniCommand, wish: ShimWish = {}): Promise<CniAnswer> {
  return callCni(world.cluster.layout, pod, command, wish);
}

function prepare(name: string, placement: object = NET, node = 1): Promise<Pod> {
  return preparePod(world.cluster.layout, name, node, placement);
}

async function addAll(count: number, placement: object): Promise<readonly string[]> {
  const names = Array.from({ length: count }, (_, index) => `p${index}`);
  const results = await Promise.all(names.map((name, index) => world.addPod(name, 1 + (index % 2), placement)));
  return results.map((result) => result.ips[0]?.address.split("/")[0] ?? "");
}

interface Inspection {
  readonly Oper: {
    readonly numEndpoints?: number;
    readonly endpoints?: readonly { readonly containerID: string; readonly ipAddress: readonly string[] }[];
    readonly allocatedIPAddresses?: string;
    readonly availableIPAddresses?: string;
  };
}

async function inspect(collection: string, key: string): Promise<Inspection["Oper"]> {
  return (await world.rest.get<Inspection>(`/api/v1/inspect/${collection}/${key}/`)).Oper;
}

describe("many endpoints", () => {
  nothingIsLeft();

  it("come and go one by one", async () => {
    const seen = new Set<string>();
    for (let count = 0; count < 8; count++) {
      const { ips } = await world.addPod("one", 1 + (count % 2), NET);
      seen.add(ips[0]?.address ?? "");
      await world.removePod("one");
    }
    expect(seen.size).toBe(8); // a freed address is not used again at once
  });

  it("come and go in parallel, and inspect shows those that exist", async () => {
    for (let round = 0; round < 2; round++) {
      const addresses = await addAll(24, NET);
      expect(new Set(addresses).size).toBe(24);
      await expectSound(world);
      const { numEndpoints, endpoints = [] } = await inspect("networks", "t1:net");
      expect(numEndpoints).toBe(24);
      expect(endpoints.map(({ ipAddress }) => ipAddress[0]).sort()).toEqual([...addresses].sort());
      const [first] = endpoints;
      const oper = await inspect("endpoints", first?.containerID ?? "");
      expect(oper).toMatchObject({ ipAddress: first?.ipAddress, network: "net.t1" });
      expect((await inspect("tenants", "t1")).endpoints).toHaveLength(24);
      await world.removeAllPods();
      await expect.poll(async () => (await inspect("networks", "t1:net")).numEndpoints ?? 0).toBe(0);
    }
  });

  it("fill a /28 exactly, in parallel, again and again", async () => {
    for (let round = 0; round < 4; round++) {
      const addresses = await addAll(14, { tenant: "t1", network: "small" });
      const all = Array.from({ length: 14 }, (_, index) => `10.2.0.${index + 1}`);
      expect([...addresses].sort()).toEqual([...all].sort());
      const oper = await inspect("networks", "t1:small");
      expect(oper).toMatchObject({ numEndpoints: 14, allocatedIPAddresses: "10.2.0.1-10.2.0.14" });
      expect(oper.availableIPAddresses ?? "").toBe("");
      const late = await prepare("late", { tenant: "t1", network: "small" });
      const refusal = await cni(late, "ADD");
      expect(refusal).toMatchObject({ code: 102 });
      expect(refusal.text).toMatch(/No IPv4 address is left in 10\.2\.0\.0\/28 of network t1:small; .*(delete|widen)/);
      await discardPod(world.cluster.layout, "late");
      await Promise.all(Array.from({ length: 14 }, (_, index) => world.removePod(`p${index}`)));
    }
  });

  it("replace each other in a full /28: each DEL makes room for exactly one ADD", async () => {
    await addAll(14, { tenant: "t1", network: "small" });
    for (let round = 0; round < 3; round++) {
      await Promise.all(
        Array.from({ length: 14 }, async (_, index) => {
          await world.removePod(`p${index}`);
          await world.addPod(`p${index}`, 1 + ((index + round) % 2), { tenant: "t1", network: "small" });
        }),
      );
      await expectSound(world);
    }
  });

  it("of a group take exactly its pool's addresses; the next request names pool and next step", async () => {
    const group = { tenantName: "t1", groupName: "ten", networkName: "net", ipPool: "10.1.9.1-10.1.9.10" };
    await world.rest.post("/api/v1/endpointGroups/t1:ten/", group);
    const placement = { ...NET, group: "ten" };
    for (let round = 0; round < 2; round++) {
      const addresses = await addAll(10, placement);
      expect([...addresses].sort()).toEqual(Array.from({ length: 10 }, (_, index) => `10.1.9.${index + 1}`).sort());
      const eleventh = await prepare("late", placement);
      const refusal = await cni(eleventh, "ADD");
      expect(refusal.code).toBe(102);
      expect(refusal.text).toMatch(/pool of endpoint group t1:ten; delete an endpoint of the group/);
      await discardPod(world.cluster.layout, "late");
      expect((await inspect("endpointGroups", "t1:ten")).numEndpoints).toBe(10);
      await expect(world.rest.delete("/api/v1/endpointGroups/t1:ten/")).rejects.toThrow(/t1:ten.*10 endpoints|in use/i);
      await world.addPod("beside", 1, NET); // the pool's end is not the network's
      await world.removeAllPods();
    }
    await world.rest.delete("/api/v1/endpointGroups/t1:ten/");
  });

  it("in tenants that come and go with everything in them", async () => {
    for (let round = 0; round < 3; round++) {
      await world.rest.post("/api/v1/tenants/t9/", { tenantName: "t9" });
      const network = { tenantName: "t9", networkName: "n", encap: "vlan", subnet: "10.1.0.0/24" };
      await world.rest.post("/api/v1/networks/t9:n/", network);
      await world.addPod("p", 1, { tenant: "t9", network: "n" });
      await expect(world.rest.delete("/api/v1/networks/t9:n/")).rejects.toThrow(/endpoint/);
      await expect(world.rest.delete("/api/v1/tenants/t9/")).rejects.toThrow(/t9:n/);
      await world.removePod("p");
      await world.rest.delete("/api/v1/networks/t9:n/");
      await world.rest.delete("/api/v1/tenants/t9/");
    }
  });
});

describe("the same call again", () => {
  nothingIsLeft();

  it("ADD returns the same result and makes nothing new", async () => {
    const pod = await prepare("twice");
    const first = resultOf(await cni(pod, "ADD"));
    expect(resultOf(await cni(pod, "ADD"))).toEqual(first);
    const both = await Promise.all([cni(pod, "ADD"), cni(pod, "ADD"), cni(pod, "ADD")]);
    for (const answer of both) expect(resultOf(answer)).toEqual(first);
    await expectSound(world, 0);
    expect(await world.inPod("twice", ["ip", "-br", "address", "show", "eth0"])).toMatchObject({ exitCode: 0 });
  });

  it("ADD in another network is refused and leaves the first attachment as it is", async () => {
    const pod = await prepare("twice");
    resultOf(await cni(pod, "ADD"));
    const labels = [
      { key: "io.contiv.tenant", value: "t1" },
      { key: "io.contiv.network", value: "small" },
    ];
    const other = await cni(pod, "ADD", { config: { args: { labels } } });
    expect(other).toMatchObject({ code: 101 });
    expect(other.text).toMatch(/has an endpoint with 10\.1\.\d+\.\d+ in network t1:net/);
    await expectSound(world);
  });

  it("a later interface leaves the routes of the first one alone, and takes only its own away", async () => {
    const pod = await prepare("multi");
    const defaults = async (family: string) =>
      (await world.inPod("multi", ["ip", family, "route", "show", "default"])).stdout.split(/\s*\n/).filter(Boolean);
    const first = resultOf(await cni(pod, "ADD"));
    const config = { args: labelsOf("other") };
    const second = resultOf(await cni(pod, "ADD", { env: { CNI_IFNAME: "net1" }, config }));
    const [before, later] = await defaults("-4");
    expect(before).toMatch(/^default via 10\.1\.0\.1 dev eth0 proto static\s*$/);
    expect(later).toMatch(/^default via 10\.3\.0\.1 dev net1 proto static metric \d+\s*$/);
    expect(await cni(pod, "CHECK", { config: { prevResult: first } })).toMatchObject({ code: 0 });
    const wish = { env: { CNI_IFNAME: "net1" }, config: { ...config, prevResult: second } };
    expect(await cni(pod, "CHECK", wish)).toMatchObject({ code: 0 });
    expect(await cni(pod, "DEL", { env: { CNI_IFNAME: "net1" } })).toMatchObject({ code: 0 });
    await eventually(
      "only the first interface's default",
      () => defaults("-4"),
      (routes) => routes.length === 1,
    );
    expect(await defaults("-4")).toEqual([before]);
    expect(await cni(pod, "CHECK", { config: { prevResult: first } })).toMatchObject({ code: 0 });
    await expectSound(world);
  });

  it("ADD speaks IPv6 in a namespace that has it switched off, and refuses an MTU that IPv6 cannot use", async () => {
    const pod = await prepare("six");
    const off = ["sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1"];
    expect(await world.inPod("six", off)).toMatchObject({ exitCode: 0 });
    const small = await cni(pod, "ADD", { config: { mtu: 1_000 } });
    expect(small).toMatchObject({ code: 7 });
    expect(small.text).toMatch(/mtu 1000 is too small: this network has IPv6, which needs 1280 bytes/);
    const result = resultOf(await cni(pod, "ADD"));
    const address = result.ips[1]?.address ?? "";
    const shown = await world.inPod("six", ["ip", "-6", "address", "show", "dev", "eth0", "scope", "global"]);
    expect(shown.stdout).toContain(address);
    await expectSound(world);
  });

  it("ADD again with another address is refused with both", async () => {
    const pod = await prepare("again");
    const { ips } = resultOf(await cni(pod, "ADD"));
    const other = await cni(pod, "ADD", { env: { CNI_ARGS: "IP=10.1.9.9" } });
    expect(other).toMatchObject({ code: 101 });
    expect(other.text).toContain(`has ${ips[0]?.address.split("/")[0]} already, not 10.1.9.9`);
    expect(await cni(pod, "DEL")).toMatchObject({ code: 0 });
  });

  it("two interfaces of one container are two endpoints", async () => {
    const pod = await prepare("two");
    resultOf(await cni(pod, "ADD"));
    const second = resultOf(
      await cni(pod, "ADD", { env: { CNI_IFNAME: "net1" }, config: { args: labelsOf("small") } }),
    );
    expect(second.ips[0]?.address).toMatch(/^10\.2\.0\.\d+\/28$/);
    expect(await cni(pod, "DEL", { env: { CNI_IFNAME: "net1" } })).toMatchObject({ code: 0 });
    await expectSound(world);
  });

  it("DEL succeeds as often as it comes, without CNI_NETNS, and when namespace or endpoint are gone", async () => {
    const pod = await prepare("gone");
    resultOf(await cni(pod, "ADD"));
    expect(await cni(pod, "DEL", { env: { CNI_NETNS: undefined } })).toMatchObject({ code: 0, stdout: "" });
    expect((await world.inPod("gone", ["ip", "link", "show", "eth0"])).exitCode).not.toBe(0);
    for (let count = 0; count < 3; count++) expect(await cni(pod, "DEL")).toMatchObject({ code: 0 });
    resultOf(await cni(pod, "ADD"));
    await run(["ip", "netns", "delete", podNetns(world.cluster.layout.underlay, "gone")]);
    expect(await cni(pod, "DEL")).toMatchObject({ code: 0 });
    expect(await cni(pod, "DEL", { env: { CNI_NETNS: "/proc/1/no-such-namespace" } })).toMatchObject({ code: 0 });
    expect(await cni({ ...pod, containerId: "never-seen" }, "DEL")).toMatchObject({ code: 0 });
    await discardPod(world.cluster.layout, "gone");
  });

  it("an ADD whose caller dies leaves nothing, without any DEL unless it was answered", async () => {
    const { layout } = world.cluster;
    const orphans: Pod[] = [];
    for (const afterMs of [0, 5, 10, 20, 40]) {
      const pod = await prepare("orphan");
      orphans.push(pod);
      await killedAdd(layout, pod, afterMs);
      await discardPod(layout, "orphan");
    }
    const deleted = new Set<Pod>();
    const left = async () => {
      for (const pod of orphans) {
        if (deleted.has(pod) || !isAddAnswered(layout, pod)) continue;
        expect(await cni(pod, "DEL")).toMatchObject({ code: 0 }); // as a runtime does
        deleted.add(pod);
      }
      return violations(world);
    };
    await eventually("nothing is left", left, (found) => found.length === 0, 30_000);
  });
});

function labelsOf(network: string): object {
  return {
    labels: [
      { key: "io.contiv.tenant", value: "t1" },
      { key: "io.contiv.network", value: network },
    ],
  };
}

describe("CHECK", () => {
  nothingIsLeft();

  it("accepts what ADD made, names the first damage, and ADD repairs it", async () => {
    const pod = await prepare("checked");
    const prevResult = resultOf(await cni(pod, "ADD"));
    const check = (): Promise<CniAnswer> => cni(pod, "CHECK", { config: { prevResult } });
    const [address = ""] = await world.addresses("checked");
    expect(await check()).toMatchObject({ code: 0, stdout: "" });
    const damages: readonly [damage: string, text: RegExp][] = [
      [`ip address del ${address}/16 dev eth0`, /address .* is missing/],
      ["ip link set eth0 down", /it is down/],
      ["ip link set eth0 address 02:00:00:00:00:99", /its MAC is 02:00:00:00:00:99/],
      ["ip route del default", /route to 0\.0\.0\.0\/0 is missing/],
      ["ip link del eth0", /does not exist/],
    ];
    for (const [damage, text] of damages) {
      expect(await world.inPod("checked", damage.split(" "))).toMatchObject({ exitCode: 0 });
      const answer = await check();
      expect(answer).toMatchObject({ code: 101 });
      expect(answer.text).toMatch(text);
      expect(resultOf(await cni(pod, "ADD")).ips).toEqual(prevResult.ips);
      expect(await check()).toMatchObject({ code: 0 });
    }
    await expectSound(world);
    await cni(pod, "DEL");
    expect(await check()).toMatchObject({ code: 3 });
    await discardPod(world.cluster.layout, "checked");
  });

  it("succeeds while other pods come and go", async () => {
    const [pod, other] = [await prepare("steady"), await prepare("passing")];
    const prevResult = resultOf(await cni(pod, "ADD"));
    const churn = (async () => {
      for (let round = 0; round < 6; round++) for (const command of ["ADD", "DEL"] as const) await cni(other, command);
    })();
    for (let round = 0; round < 40; round++)
      expect(await cni(pod, "CHECK", { config: { prevResult } })).toMatchObject({ code: 0 });
    await churn;
    await world.removeAllPods();
  });
});

describe("GC and STATUS", () => {
  nothingIsLeft();

  const AT_1_1 = { cniVersion: "1.1.0" };

  it("GC ends what the runtime does not know any more, of its own configuration only", async () => {
    const pods = await Promise.all(["keep", "stale", "other"].map((name) => prepare(name)));
    const [keep, stale, other] = pods as [Pod, Pod, Pod];
    for (const pod of [keep, stale]) resultOf(await cni(pod, "ADD"));
    resultOf(await cni(other, "ADD", { config: { name: "another" } }));
    const valid = { "cni.dev/valid-attachments": [{ containerID: keep.containerId, ifname: "eth0" }] };
    expect(await cni(keep, "GC", { config: { ...AT_1_1, ...valid } })).toMatchObject({ code: 0, stdout: "" });
    const left = await world.rest.get<{ containerID: string }[]>("/api/v1/endpoints/");
    expect(left.map(({ containerID }) => containerID).sort()).toEqual([keep.containerId, other.containerId].sort());
    expect((await world.inPod("stale", ["ip", "link", "show", "eth0"])).exitCode).not.toBe(0);
    await discardPod(world.cluster.layout, "stale");
    await expectSound(world);
  });

  it("STATUS says 50 while netmaster is away, and ADD says 11; both recover by themselves", async () => {
    const pod = await prepare("early");
    expect(await cni(pod, "STATUS", { config: AT_1_1 })).toMatchObject({ code: 0 });
    await world.kill("netmaster-1", "SIGKILL");
    const status = await eventually(
      "STATUS",
      () => cni(pod, "STATUS", { config: AT_1_1 }),
      ({ code }) => code !== 0,
      20_000,
    );
    expect(status.code).toBe(50);
    expect(status.text).toMatch(/netmaster/);
    const refusal = await cni(pod, "ADD");
    expect(refusal.code).toBe(11);
    expect(refusal.text).toMatch(/netmaster/);
    await world.restartNetmaster(1);
    const statusCode = async () => (await cni(pod, "STATUS", { config: AT_1_1 })).code;
    await expect.poll(statusCode, { timeout: 15_000 }).toBe(0);
    resultOf(await cni(pod, "ADD"));
  });
});

describe("bad calls", () => {
  let bad: Pod;

  beforeAll(async () => {
    bad = await prepare("bad");
  });

  afterAll(async () => {
    expect((await world.inPod("bad", ["ip", "-br", "link"])).stdout.trim().split("\n")).toHaveLength(1);
    await discardPod(world.cluster.layout, "bad");
    await world.removeAllPods();
    await expectSound(world, 15_000);
  });

  it("an interface name that is taken: refused, and what is there stays", async () => {
    const pod = await prepare("taken");
    await run(["ip", "-n", podNetns(world.cluster.layout.underlay, "taken"), "link", "add", "eth0", "type", "bridge"]);
    const refusal = await cni(pod, "ADD");
    expect(refusal).toMatchObject({ code: 101 });
    expect(refusal.text).toMatch(/Interface "eth0" exists in the pod's namespace already/);
    expect(await cni(pod, "DEL")).toMatchObject({ code: 0 });
    expect((await world.inPod("taken", ["ip", "-d", "link", "show", "eth0"])).stdout).toContain("bridge");
    await discardPod(world.cluster.layout, "taken");
  });

  it.each(BAD_ENVIRONMENTS)("%s", async (_what, env, code, text) => {
    const refusal = await cni(bad, "ADD", { env });
    expect(refusal.code).toBe(code);
    expect(refusal.text).toMatch(text);
  });

  it.each(BAD_INPUTS)("%s on stdin", async (_what, stdin, code, text) => {
    const refusal = await cni(bad, "ADD", { stdin });
    expect(refusal.code).toBe(code);
    expect(refusal.text).toMatch(text);
  });

  it.each(BAD_PLACEMENTS)("labels that name nothing: %j", async ({ tenant, network, group }, code, text) => {
    const labels = {
      "io.contiv.tenant": tenant ?? "",
      "io.contiv.network": network ?? "",
      "io.contiv.net-group": group ?? "",
    };
    const refusal = await cni(bad, "ADD", { config: { args: { labels } } });
    expect(refusal.code).toBe(code);
    expect(refusal.text).toMatch(text);
  });

  it.each([
    [{ ips: ["10.1.0.1/16"] }, /10\.1\.0\.1 is the gateway/],
    [{ ips: ["10.9.9.9/16"] }, /10\.9\.9\.9 is not an address that network t1:net hands out/],
    [{ ips: ["10.1.0.77", "10.1.0.78"] }, /ips/],
    [{ mac: "02:00:00:00:00:01" }, /mac/],
  ])("runtimeConfig %j", async (runtimeConfig, text) => {
    const refusal = await cni(bad, "ADD", { config: { runtimeConfig } });
    expect(refusal.code).not.toBe(0);
    expect(refusal.text).toMatch(text);
  });

  it("an address that is asked for twice: the first has it, the second is told who", async () => {
    const [first, second] = [await prepare("first"), await prepare("second")];
    const config = { runtimeConfig: { ips: ["10.1.7.7/16"] } };
    expect(resultOf(await cni(first, "ADD", { config })).ips[0]?.address).toBe("10.1.7.7/16");
    const refusal = await cni(second, "ADD", { config });
    expect(refusal.code).toBe(101);
    expect(refusal.text).toMatch(/10\.1\.7\.7 is taken in network t1:net/);
    await discardPod(world.cluster.layout, "second");
  });

  it("unknown members of the configuration are left alone", async () => {
    const pod = await prepare("odd");
    const config = {
      frobnicate: { deep: [1, null, { x: "y" }] },
      capabilities: { wings: true },
      "": 0,
    };
    resultOf(await cni(pod, "ADD", { config }));
    await world.removePod("odd");
  });
});

describe("garbage on the CNI socket", () => {
  const exchange = (bytes: Buffer, options: ExchangeOptions = {}) =>
    sendBytes(cniSocketPath(world.cluster.layout, 1), bytes, options);

  it.each(GARBAGE)("%s: refused in CNI's words or cut, at once", async (_what, bytes) => {
    const startMs = Date.now();
    const answer = await exchange(bytes);
    expect(Date.now() - startMs).toBeLessThan(5_000);
    if (answer !== "")
      expect(JSON.parse(answer.slice(1))).toMatchObject({ code: expect.any(Number), msg: expect.any(String) });
  });

  it("300 callers that send nothing hold nobody up, and are cut", async () => {
    const silent = Array.from({ length: 300 }, () => exchange(Buffer.from("CNI_COMM"), { halfClose: false }));
    await sleep(200);
    await world.addPod("between", 1, NET);
    await world.removePod("between");
    const startMs = Date.now();
    await Promise.all(silent);
    expect(Date.now() - startMs).toBeLessThan(14_000);
  });

  it("and the node serves as before", async () => {
    await world.addPod("after", 1, NET);
    await expectSound(world);
  });
});
