import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestCluster, type TestCluster } from "./test-cluster.ts";

/**
 * Real packets between pods on two nodes, over VXLAN and VLAN, in both forwarding modes and both ARP modes
 * (scenarios 2, 3, 8 to 12 of the acceptance list).
 */
let world: TestCluster;

beforeAll(async () => {
  world = await startTestCluster({ nodes: 2 });
});

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

interface NetworkSpec {
  readonly tenant: string;
  readonly name: string;
  readonly encap: "vlan" | "vxlan";
  readonly subnet: string;
  readonly gateway?: string;
  readonly ipv6Subnet?: string;
  readonly ipv6Gateway?: string;
}

async function createTenant(tenant: string): Promise<void> {
  await world.rest.post(`/api/v1/tenants/${tenant}/`, { tenantName: tenant });
}

async function createNetwork(spec: NetworkSpec): Promise<void> {
  const { tenant, name, ...rest } = spec;
  await world.rest.post(`/api/v1/networks/${tenant}:${name}/`, { tenantName: tenant, networkName: name, ...rest });
}

async function clear(tenants: readonly string[]): Promise<void> {
  await world.removeAllPods();
  const networks = await world.rest.get<{ key: string; tenantName: string }[]>("/api/v1/networks/");
  for (const { key, tenantName } of networks) {
    if (tenants.includes(tenantName)) await world.rest.delete(`/api/v1/networks/${key}/`);
  }
  for (const tenant of tenants) await world.rest.delete(`/api/v1/tenants/${tenant}/`);
}

async function setGlobal(settings: object): Promise<void> {
  await world.rest.post("/api/v1/globals/global/", { name: "global", ...settings });
}

async function expectAllReach(pods: readonly string[]): Promise<void> {
  for (const from of pods) {
    for (const to of pods) {
      if (from === to) continue;
      for (const address of await world.addresses(to)) {
        expect(await world.ping(from, address, 2), `${from} → ${to} ${address}`).toBeGreaterThan(0);
      }
    }
  }
}

async function expectNoneReaches(from: readonly string[], to: readonly string[]): Promise<void> {
  for (const source of from) {
    for (const target of to) {
      for (const address of await world.addresses(target)) {
        expect(await world.ping(source, address, 2), `${source} → ${target} ${address}`).toBe(0);
      }
    }
  }
}

describe.each(["vxlan", "vlan"] as const)("bridge mode over %s", (encap) => {
  it("connects pods of one network across nodes, v4 and v6, without a gateway", async () => {
    await createTenant("t1");
    await createNetwork({ tenant: "t1", name: "net", encap, subnet: "10.1.0.0/16", ipv6Subnet: "fd01::/64" });
    const pods = ["a1", "a2", "b1", "b2"];
    for (const pod of pods) {
      const node = pod.startsWith("a") ? 1 : 2;
      const result = await world.addPod(pod, node, { tenant: "t1", network: "net" });
      expect(result.ips).toHaveLength(2);
    }
    await expectAllReach(pods);
    await clear(["t1"]);
  });

  it("keeps networks apart, and tenants with the same subnet", async () => {
    await createTenant("t1");
    await createTenant("t2");
    const same = { encap, subnet: "10.1.0.0/24", ipv6Subnet: "fd01::/64" } as const;
    await createNetwork({ tenant: "t1", name: "net", ...same });
    await createNetwork({ tenant: "t2", name: "net", ...same });
    await createNetwork({ tenant: "t1", name: "other", encap, subnet: "10.2.0.0/24" });
    await world.addPod("red-1", 1, { tenant: "t1", network: "net" });
    await world.addPod("red-2", 2, { tenant: "t1", network: "net" });
    await world.addPod("blue-1", 1, { tenant: "t2", network: "net" });
    await world.addPod("blue-2", 2, { tenant: "t2", network: "net" });
    await world.addPod("other-1", 1, { tenant: "t1", network: "other" });
    expect(await world.addresses("red-1")).toEqual(await world.addresses("blue-1"));
    await expectAllReach(["red-1", "red-2"]);
    await expectAllReach(["blue-1", "blue-2"]);
    await expectNoneReaches(["other-1"], ["red-1", "red-2"]);
    await world.removePod("blue-2");
    await expectNoneReaches(["blue-1"], ["red-2"]);
    await clear(["t1", "t2"]);
  });
});

describe.each(["vxlan", "vlan"] as const)("routing mode over %s", (encap) => {
  beforeAll(() => setGlobal({ fwdMode: "routing" }));
  afterAll(() => setGlobal({ fwdMode: "bridge" }));

  it("routes between networks of one tenant on and across nodes, answers for the gateway, isolates tenants", async () => {
    await createTenant("t1");
    await createTenant("t2");
    const networks = [
      { name: "n1", subnet: "10.1.0.0/24", gateway: "10.1.0.254", ipv6Subnet: "fd01::/64", ipv6Gateway: "fd01::1" },
      { name: "n2", subnet: "10.2.0.0/24", gateway: "10.2.0.254", ipv6Subnet: "fd02::/64", ipv6Gateway: "fd02::1" },
    ];
    for (const network of networks) await createNetwork({ tenant: "t1", encap, ...network });
    await createNetwork({ tenant: "t2", encap, name: "n3", subnet: "10.3.0.0/24", gateway: "10.3.0.254" });
    await world.addPod("p1", 1, { tenant: "t1", network: "n1" });
    await world.addPod("p2", 1, { tenant: "t1", network: "n2" });
    await world.addPod("p3", 2, { tenant: "t1", network: "n2" });
    await world.addPod("p4", 2, { tenant: "t1", network: "n1" });
    await world.addPod("q1", 1, { tenant: "t2", network: "n3" });
    await expectAllReach(["p1", "p2", "p3", "p4"]);
    expect(await world.ping("p1", "10.1.0.254")).toBe(3);
    expect(await world.ping("p1", "fd01::1")).toBe(3);
    await expectNoneReaches(["q1"], ["p1", "p3"]);
    await expectNoneReaches(["p1", "p3"], ["q1"]);
    const traced = await world.inPod("p1", [
      "ping",
      "-n",
      "-c",
      "1",
      "-W",
      "1",
      (await world.addresses("p3"))[0] ?? "",
    ]);
    expect(traced.stdout).toContain("ttl=63");
    await clear(["t1", "t2"]);
  });
});

describe("ARP mode", () => {
  it.each(["flood", "proxy"] as const)("%s works for both encapsulations", async (arpMode) => {
    await setGlobal({ arpMode });
    await createTenant("t1");
    for (const [encap, third] of [
      ["vxlan", 1],
      ["vlan", 2],
    ] as const) {
      const subnets = { subnet: `10.1.${third}.0/24`, ipv6Subnet: `fd0${third}::/64` };
      await createNetwork({ tenant: "t1", name: encap, encap, ...subnets });
      await world.addPod(`${encap}-1`, 1, { tenant: "t1", network: encap });
      await world.addPod(`${encap}-2`, 2, { tenant: "t1", network: encap });
      await world.addPod(`${encap}-3`, 2, { tenant: "t1", network: encap });
      await expectAllReach([`${encap}-1`, `${encap}-2`, `${encap}-3`]);
    }
    await clear(["t1"]);
  });
});

describe("scenario 2", () => {
  it("starts and removes containers on a /16 with a fixed tag, and through a group with a pool of ten", async () => {
    await createTenant("t1");
    await world.rest.post("/api/v1/networks/t1:big/", {
      ...{ tenantName: "t1", networkName: "big", encap: "vxlan", subnet: "20.1.0.0/16", pktTag: 1001 },
    });
    await world.rest.post("/api/v1/endpointGroups/t1:ten/", {
      ...{ tenantName: "t1", groupName: "ten", networkName: "big", ipPool: "20.1.5.1-20.1.5.10" },
    });
    const pods = Array.from({ length: 6 }, (_, index) => `p${index}`);
    for (let round = 0; round < 2; round++) {
      const add = (pod: string, index: number) =>
        world.addPod(pod, 1 + (index % 2), { tenant: "t1", network: "big", group: "ten" });
      const results = await Promise.all(pods.map(add));
      const addresses = results.map((result) => result.ips[0]?.address ?? "");
      expect(new Set(addresses).size).toBe(pods.length);
      for (const address of addresses) expect(address).toMatch(/^20\.1\.5\.([1-9]|10)\/16$/);
      await expectAllReach(pods.slice(0, 3));
      await Promise.all(pods.map((pod) => world.removePod(pod)));
    }
    await world.rest.delete("/api/v1/endpointGroups/t1:ten/");
    await clear(["t1"]);
  });
});

describe("scenarios 3, 8 and 10", () => {
  const tenants = ["ta", "tb", "tc"];
  const specs: readonly NetworkSpec[] = tenants.flatMap((tenant) => [
    { tenant, name: "first", encap: "vxlan", subnet: "10.1.0.0/24" },
    { tenant, name: "second", encap: "vlan", subnet: "10.2.0.0/24", ipv6Subnet: "fd02::/64" },
  ]);
  const podsOf = ({ tenant, name }: NetworkSpec) => [`${tenant}-${name}-1`, `${tenant}-${name}-2`] as const;

  async function startAll(): Promise<void> {
    const starts = specs.flatMap((spec) =>
      podsOf(spec).map((pod, index) => world.addPod(pod, 1 + index, { tenant: spec.tenant, network: spec.name })),
    );
    await Promise.all(starts);
  }

  it("tenants with the same subnets and their networks come at once; pods are stopped and started at once; all go at once", async () => {
    await Promise.all(tenants.map(createTenant));
    await Promise.all(specs.map(createNetwork));
    for (let round = 0; round < 2; round++) {
      await startAll();
      await Promise.all(specs.map((spec) => expectAllReach(podsOf(spec))));
      await expectNoneReaches(["ta-first-1"], ["ta-second-2"]);
      await Promise.all(specs.flatMap((spec) => podsOf(spec).map((pod) => world.removePod(pod))));
    }
    await Promise.all(specs.map(({ tenant, name }) => world.rest.delete(`/api/v1/networks/${tenant}:${name}/`)));
    await Promise.all(tenants.map((tenant) => world.rest.delete(`/api/v1/tenants/${tenant}/`)));
    expect(await world.rest.get("/api/v1/networks/")).toEqual([]);
    expect(await world.rest.get("/api/v1/endpoints/")).toEqual([]);
  });
});
