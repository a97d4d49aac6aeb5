import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually, startTestCluster, type TestCluster } from "./test-cluster.ts";
import { type Flow, measure, serveIperf } from "./throughput.ts";

/** Bandwidth limits and DSCP with real traffic (scenarios 17 to 22 and 55 of the acceptance list). */
let world: TestCluster;

beforeAll(async () => {
  world = await startTestCluster({ nodes: 2 });
  await tenant("t1");
});

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

async function tenant(name: string): Promise<void> {
  await world.rest.post(`/api/v1/tenants/${name}/`, { tenantName: name });
  const network = {
    tenantName: name,
    networkName: "net",
    encap: "vxlan",
    subnet: "10.1.0.0/16",
    ipv6Subnet: "fd01::/64",
  };
  await world.rest.post(`/api/v1/networks/${name}:net/`, network);
  for (const groupName of ["web", "db"]) {
    await world.rest.post(`/api/v1/endpointGroups/${name}:${groupName}/`, {
      tenantName: name,
      groupName,
      networkName: "net",
    });
  }
}

async function profile(name: string, members: object, tenantName = "t1"): Promise<void> {
  await world.rest.post(`/api/v1/netprofiles/${tenantName}:${name}/`, { tenantName, profileName: name, ...members });
}

async function attach(groupName: string, netProfile: string, tenantName = "t1"): Promise<void> {
  const group = { tenantName, groupName, networkName: "net", netProfile };
  await world.rest.post(`/api/v1/endpointGroups/${tenantName}:${groupName}/`, group);
}

const mbit = (flow: Flow) => flow.receivedBitPerSecond / 1e6;

/** Goodput of TCP is about 95 % of the rate on the wire; over a few seconds a policer's burst counts too. */
function expectNear(flow: Flow, rateMbit: number, { below = 0.85, above = 1.1 } = {}): void {
  expect(mbit(flow)).toBeGreaterThan(rateMbit * below);
  expect(mbit(flow)).toBeLessThan(rateMbit * above);
}

describe("a group's netprofile", () => {
  beforeAll(async () => {
    await world.addPod("client", 1, { tenant: "t1", network: "net", group: "web" });
    await world.addPod("server", 2, { tenant: "t1", network: "net" });
    await serveIperf(world, "server");
  });
  afterAll(() => world.removeAllPods());

  it("limits running pods in both directions within a second of each change, and lets them go (17, 18)", async () => {
    const [address = ""] = await world.addresses("server");
    const run = (reverse: boolean) => measure(world, { from: "client", address, seconds: 3, omitSeconds: 1, reverse });
    expect(mbit(await run(false))).toBeGreaterThan(50);
    await profile("gold", { bandwidth: "6 Mbps", DSCP: 6, burst: 80, egressMode: "shape" });
    await attach("web", "gold");
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    expectNear(await run(false), 6);
    expectNear(await run(true), 6);
    await profile("gold", { bandwidth: "16 Mbps", DSCP: 6, burst: 80, egressMode: "shape" });
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    expectNear(await run(false), 16);
    expectNear(await run(true), 16);
    await profile("gold", { bandwidth: "16 Mbps", DSCP: 6 });
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    const metered = await run(false);
    expect(mbit(metered)).toBeGreaterThan(4);
    await attach("web", "");
    await eventually(
      "limit gone",
      () => run(false),
      (flow) => mbit(flow) > 50,
    );
    expect(mbit(await run(true))).toBeGreaterThan(50);
  });
});
