import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ovsRunDirectory, startOvs, vswitchdName } from "../../deploy/cluster/components.ts";
import { answered, eventually, startTestCluster, type TestCluster } from "./test-cluster.ts";

const NODES = [1, 2, 3];
const TENANT = "default";

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await startTestCluster({ nodes: NODES.length });
});

afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
});

interface NetworkOptions {
  readonly tenant?: string;
  readonly encap?: "vlan" | "vxlan";
  readonly subnet: string;
  readonly ipv6Subnet?: string;
}

function putNetwork(networkName: string, { tenant = TENANT, encap = "vxlan", ...subnets }: NetworkOptions) {
  const body = { networkName, tenantName: tenant, encap, nwType: "infra", ...subnets };
  return cluster.rest.post(`/api/v1/networks/${tenant}:${networkName}/`, body);
}

function deleteNetwork(networkName: string, tenant = TENANT) {
  return cluster.rest.delete(`/api/v1/networks/${tenant}:${networkName}/`);
}

interface AddressRow {
  readonly ifname: string;
  readonly address: string;
  readonly mtu: number;
  readonly flags: readonly string[];
  readonly addr_info: readonly { readonly local: string; readonly prefixlen: number; readonly scope: string }[];
}

async function device(node: number, name: string): Promise<AddressRow | undefined> {
  const { exitCode, stdout } = await cluster.onNode(node, ["ip", "-json", "address", "show", "dev", name]);
  return exitCode === 0 ? (JSON.parse(stdout) as AddressRow[])[0] : undefined;
}

async function addresses(node: number, name: string): Promise<readonly string[]> {
  const rows = (await device(node, name))?.addr_info ?? [];
  return rows.filter(({ scope }) => scope === "global").map(({ local }) => local);
}

/** Waits until every node has so many addresses on the device; answers them by node. */
function addressesOnAll(name: string, count: number): Promise<readonly (readonly string[])[]> {
  return eventually(
    `addresses of ${name}`,
    () => Promise.all(NODES.map((node) => addresses(node, name))),
    (found) => found.every((each) => each.length === count),
    20_000,
  );
}

async function pings(node: number, address: string): Promise<boolean> {
  return answered(await cluster.onNode(node, ["ping", "-n", "-c", "1", "-W", "1", address])) === 1;
}

/** Every node reaches every address. */
async function expectFullMesh(targets: readonly string[]): Promise<void> {
  for (const node of NODES) {
    for (const address of targets) {
      await eventually(`node ${node} pings ${address}`, () => pings(node, address), Boolean, 15_000);
    }
  }
}

function vsctl(node: number, ...argv: readonly string[]) {
  const socket = `--db=unix:${ovsRunDirectory(cluster.cluster.layout, node)}/db.sock`;
  return cluster.onNode(node, ["ovs-vsctl", socket, "--timeout=10", ...argv]);
}

async function routes(node: number): Promise<string> {
  const [ipv4, ipv6] = await Promise.all([
    cluster.onNode(node, ["ip", "route"]),
    cluster.onNode(node, ["ip", "-6", "route"]),
  ]);
  return ipv4.stdout + ipv6.stdout;
}

async function allRoutes(): Promise<readonly string[]> {
  return Promise.all(NODES.map(routes));
}

interface NodeRow {
  readonly name: string;
  readonly conditions: readonly { readonly type: string; readonly status: string; readonly message: string }[];
}

async function conditions(node: number, type: string) {
  const rows = await cluster.rest.get<NodeRow[]>("/api/v1/nodes/");
  return (rows.find(({ name }) => name === `n${node}`)?.conditions ?? []).filter((each) => each.type === type);
}

async function endpointCount(): Promise<number> {
  return (await cluster.rest.get<unknown[]>("/api/v1/endpoints/")).length;
}

describe("infra networks", () => {
  it("give every node a port in each; all nodes ping each other on each; nothing is left when they go", async () => {
    const before = await allRoutes();
    await putNetwork("infra1", { subnet: "10.1.1.0/24" });
    await putNetwork("infra2", { subnet: "10.1.2.0/24", encap: "vlan" });
    await putNetwork("infra3", { subnet: "10.1.3.0/24", ipv6Subnet: "2001:db8:3::/64" });
    for (const [name, count] of [
      ["infra1", 1],
      ["infra2", 1],
      ["infra3", 2],
    ] as const) {
      const found = await addressesOnAll(name, count);
      const hosts = found.map(([ipv4 = ""]) => Number(ipv4.split(".").pop()));
      expect(hosts.sort(), name).toEqual([1, 2, 3]);
      await expectFullMesh(found.flat());
    }
    for (const table of await allRoutes()) expect(table.match(/^default/gm)?.length ?? 0).toBe(0);
    for (const name of ["infra1", "infra2", "infra3"]) await deleteNetwork(name);
    await eventually("routes as before", allRoutes, (now) => JSON.stringify(now) === JSON.stringify(before));
    expect(await endpointCount()).toBe(0);
    for (const node of NODES) {
      expect(await device(node, "infra1")).toBeUndefined();
      expect((await vsctl(node, "list-ports", "contiv-int")).stdout).not.toContain("infra");
      await eventually(
        "the next heartbeat",
        () => conditions(node, "infra"),
        (all) => all.length === 0,
      );
    }
  });

  it("wear the endpoint's MAC and the network's MTU", async () => {
    await putNetwork("infra1", { subnet: "10.1.1.0/24" });
    for (const [index, [ipv4 = ""]] of (await addressesOnAll("infra1", 1)).entries()) {
      const row = await device(NODES[index] ?? 0, "infra1");
      const octets = ipv4.split(".").map((octet) => Number(octet).toString(16).padStart(2, "0"));
      expect(row?.address).toBe(`02:02:${octets.join(":")}`);
      expect(row?.mtu).toBe(1450);
      expect(row?.flags).toContain("UP");
    }
    await deleteNetwork("infra1");
    await eventually(
      "no device",
      () => device(1, "infra1"),
      (row) => row === undefined,
    );
  });

  it("hold pods too, and then cannot be deleted until those are gone", async () => {
    await putNetwork("infra1", { subnet: "10.1.1.0/24" });
    const found = await addressesOnAll("infra1", 1);
    await cluster.addPod("guest", 1, { network: "infra1" });
    for (const address of found.flat()) expect(await cluster.ping("guest", address, 3), address).toBeGreaterThan(0);
    await expect(deleteNetwork("infra1")).rejects.toThrow(/used by 1 endpoint/);
    await cluster.removePod("guest");
    expect(await addressesOnAll("infra1", 1)).toEqual(found);
    await deleteNetwork("infra1");
    await eventually(
      "no device",
      () => device(1, "infra1"),
      (row) => row === undefined,
    );
  });

  it("come back under the same name when the network is made anew", async () => {
    for (const subnet of ["10.1.1.0/24", "10.2.2.0/24", "10.3.3.0/24"]) {
      await putNetwork("infra1", { subnet });
      const prefix = subnet.replace("0/24", "");
      await eventually(
        `address in ${subnet}`,
        () => Promise.all(NODES.map((node) => addresses(node, "infra1"))),
        (all) => all.every((each) => each.length === 1 && each[0]?.startsWith(prefix)),
        20_000,
      );
      await deleteNetwork("infra1");
    }
    await eventually(
      "no device",
      () => device(1, "infra1"),
      (row) => row === undefined,
    );
    expect(await endpointCount()).toBe(0);
  });
});

describe("an infra port is repaired", () => {
  let found: readonly (readonly string[])[];

  beforeAll(async () => {
    await putNetwork("infra1", { subnet: "10.1.1.0/24", ipv6Subnet: "2001:db8:1::/64" });
    found = await addressesOnAll("infra1", 2);
    await expectFullMesh(found.flat());
  });

  afterAll(async () => {
    await deleteNetwork("infra1");
    await eventually(
      "no device",
      () => device(1, "infra1"),
      (row) => row === undefined,
    );
  });

  async function expectRepaired(): Promise<void> {
    await eventually(
      "the same addresses as before",
      () => Promise.all(NODES.map((node) => addresses(node, "infra1"))),
      (now) => JSON.stringify(now) === JSON.stringify(found),
      20_000,
    );
    await expectFullMesh(found.flat());
  }

  it.each([
    { what: "its IPv4 address is deleted", argv: ["ip", "-4", "address", "flush", "dev", "infra1"] },
    { what: "its IPv6 address is deleted", argv: ["ip", "-6", "address", "flush", "dev", "infra1", "scope", "global"] },
    { what: "it is set down", argv: ["ip", "link", "set", "infra1", "down"] },
    { what: "its MAC is changed", argv: ["ip", "link", "set", "infra1", "address", "02:00:00:00:00:99"] },
    { what: "its route is deleted", argv: ["ip", "route", "delete", "10.1.1.0/24", "dev", "infra1"] },
    { what: "its device is deleted", argv: ["ip", "link", "delete", "infra1"] },
  ])("after $what", async ({ argv }) => {
    expect((await cluster.onNode(2, argv)).exitCode).toBe(0);
    await expectRepaired();
  });

  it("after its port is deleted from the switch", async () => {
    expect((await vsctl(2, "del-port", "contiv-int", "infra1")).exitCode).toBe(0);
    await expectRepaired();
  });

  it("after the switch is killed and makes its device anew", async () => {
    const { layout } = cluster.cluster;
    await cluster.kill(vswitchdName(2));
    await startOvs(layout, 2);
    await expectRepaired();
  });

  it("after an admin has ended its lease by force, with a lease of its own again", async () => {
    const url = `${cluster.cluster.restUrl}/debug/epcleanup/tenant/default/net/infra1`;
    expect((await fetch(url, { method: "DELETE", signal: AbortSignal.timeout(10_000) })).status).toBe(200);
    await eventually(
      "ports closed",
      () => device(2, "infra1"),
      (row) => row === undefined,
    );
    found = await addressesOnAll("infra1", 2);
    await expectFullMesh(found.flat());
  });

  it("is adopted as it is when netplugin restarts, also by kill", async () => {
    const seen = async () => JSON.stringify(await device(2, "infra1")).replace(/"tentative":true,/g, "");
    const before = await seen();
    await cluster.restartNetplugin(2, "SIGKILL");
    await eventually(
      "the port works",
      () => conditions(2, "infra"),
      (all) => all[0]?.status === "ok",
    );
    expect(await seen()).toBe(before);
    await expectRepaired();
  });
});

describe("the node's own addresses", () => {
  it("are looked at regularly: a port that has come to overlap one of them makes way, and comes back", async () => {
    const lone = await startTestCluster({ nodes: 1, extraArguments: { netplugin: ["--resync-interval-s", "1"] } });
    await using _lone = lone;
    const body = { networkName: "infra1", tenantName: TENANT, encap: "vxlan", nwType: "infra", subnet: "10.1.1.0/24" };
    await lone.rest.post(`/api/v1/networks/${TENANT}:infra1/`, body);
    const route = async () => (await lone.onNode(1, ["ip", "route", "show", "dev", "infra1"])).stdout;
    await eventually("a port", route, (text) => text.includes("10.1.1.0/24"), 20_000);
    expect((await lone.onNode(1, ["ip", "address", "add", "10.1.1.200/32", "dev", "lo"])).exitCode).toBe(0);
    await eventually("no port", route, (text) => text === "");
    expect((await lone.onNode(1, ["ip", "address", "delete", "10.1.1.200/32", "dev", "lo"])).exitCode).toBe(0);
    await eventually("a port again", route, (text) => text.includes("10.1.1.0/24"));
  });
});

describe("an infra network that would break the node's own routes", () => {
  beforeAll(async () => {
    await cluster.rest.post("/api/v1/tenants/other/", { tenantName: "other" });
  });

  afterAll(async () => {
    await cluster.rest.delete("/api/v1/tenants/other/");
  });

  it("is refused on the node and reported: underlay, and another tenant's subnet; the first stays", async () => {
    await putNetwork("infra1", { subnet: "10.1.1.0/24" });
    const found = await addressesOnAll("infra1", 1);
    const before = await allRoutes();
    await putNetwork("infra1", { tenant: "other", subnet: "10.1.0.0/16" });
    await putNetwork("under", { tenant: "other", subnet: "192.168.213.0/24" });
    for (const node of NODES) {
      const clash = await eventually(
        "clash",
        () => conditions(node, "infra/other:infra1"),
        (all) => all.length > 0,
      );
      expect(clash[0]).toMatchObject({
        status: "failed",
        message: expect.stringContaining("infra network default:infra1"),
      });
      const under = await eventually(
        "underlay",
        () => conditions(node, "infra/other:under"),
        (all) => all.length > 0,
      );
      expect(under[0]?.message).toMatch(/192\.168\.213\.1\d.* of cu-eth0|tunnel address/);
      expect(await device(node, "under")).toBeUndefined();
    }
    expect(await allRoutes()).toEqual(before);
    expect(await endpointCount()).toBe(NODES.length);
    await deleteNetwork("infra1");
    await eventually(
      "the other tenant's turn",
      async () => (await Promise.all(NODES.map(routes))).every((table) => table.includes("10.1.0.0/16")),
      Boolean,
      20_000,
    );
    expect(found.flat().length).toBe(NODES.length);
    await deleteNetwork("infra1", "other");
    await deleteNetwork("under", "other");
    await eventually("nothing is left", endpointCount, (count) => count === 0);
  });

  it("does not take a device name that the node has already", async () => {
    await putNetwork("eth0", { subnet: "10.1.1.0/24" });
    const table = await eventually(
      "a route",
      () => routes(1),
      (text) => text.includes("10.1.1.0/24"),
      20_000,
    );
    expect(table).toMatch(/10\.1\.1\.0\/24 dev ci-[0-9a-f]{10}/);
    await deleteNetwork("eth0");
    await eventually(
      "no route",
      () => routes(1),
      (text) => !text.includes("10.1.1.0/24"),
    );
  });
});
