import { beforeEach, describe, expect, it } from "vitest";
import type { DriverName } from "../../state/driver-name.ts";
import { NetError } from "../../state/errors.ts";
import type { Epoch } from "../../state/ids.ts";
import { Network, type NetworkRecord } from "../../state/kinds/network.ts";
import { type DriverReports, NodeRecord, NodeRegistration } from "../../state/kinds/node.ts";
import { EndpointRequest } from "../../state/node-api.ts";
import { registration } from "../../test/system/node-registration.ts";
import { type FakeCluster, fakeCluster } from "../rest/testing/fake-cluster.ts";
import { createEndpoint } from "./endpoint.ts";
import { upsertNetwork } from "./network.ts";
import { deleteNode, registerNode, setNodeState } from "./node.ts";
import { plan } from "./plan.ts";
import { takeBackEndpoint } from "./take-back.ts";

const OVS = { encaps: ["vxlan", "vlan"], enforcesPolicies: true, setsMac: true };
const SRIOV = { encaps: ["vlan"], enforcesPolicies: false, setsMac: true, freeSlots: 7 };
const N1 = registration("n1", "192.0.2.1");
let cluster: FakeCluster;

beforeEach(() => {
  cluster = fakeCluster();
});

function network(networkName: string, members: object = {}): void {
  const subnet = `10.${cluster.view().records("network").size + 1}.0.0/24`;
  cluster.run(upsertNetwork, Network.parse({ tenantName: "default", networkName, encap: "vlan", subnet, ...members }));
}

/** A network as a later release stores it. */
function laterNetwork(networkName: string, driver: DriverName): void {
  network(networkName);
  const key = `default:${networkName}`;
  const stored = cluster.view().records("network").get(key) as NetworkRecord;
  const record = { ...stored, config: { ...stored.config, driver } };
  cluster.run(() => plan(undefined, { puts: [{ kind: "network", key, record }] }), undefined);
}

function register(drivers?: DriverReports, members: object = {}): void {
  const told = drivers === undefined ? {} : { drivers };
  cluster.run(registerNode, NodeRegistration.parse({ ...N1, ...told, ...members }));
}

function lease(networkName: string, containerId = "c1") {
  const request = EndpointRequest.parse({ containerId, ifName: "eth0", tenantName: "default", networkName });
  return cluster.run(createEndpoint, { ...request, nodeName: N1.name });
}

function refusal(work: () => unknown): NetError {
  try {
    work();
  } catch (error) {
    if (error instanceof NetError) return error;
  }
  throw new Error("it was not refused");
}

/** What node and store keep of it. */
const stored = () => cluster.view().records("node").get("n1")?.registration;

describe("a network", () => {
  it.each([[{}], [{ driver: "ovs" }]])("with %j is stored as earlier releases store it", (members) => {
    network("n", members);
    expect(cluster.view().records("network").get("default:n")?.config).not.toHaveProperty("driver");
  });

  it("with a driver that this release does not have is refused, with the drivers that it has and the next step", () => {
    const { code, field, message } = refusal(() => network("n", { driver: "macvlan" }));
    expect([code, field]).toEqual(["UNSUPPORTED", "driver"]);
    expect(message).toBe(
      'driver "macvlan" cannot be used: this release attaches pods by ovs only; leave driver out, or upgrade netmaster and every netplugin to a release that has it',
    );
    expect(cluster.view().records("network").size).toBe(0);
  });
});

describe("an endpoint", () => {
  it.each<[string, DriverReports | undefined]>([
    ["of a release that tells none", undefined],
    ["that has it", { ovs: OVS }],
    ["whose switch was away a moment ago", { ovs: { ...OVS, fault: "Open vSwitch does not answer" } }],
  ])("is leased on a node %s, and stored as earlier releases store it", (_, drivers) => {
    network("n");
    register(drivers);
    expect(lease("n")).not.toHaveProperty("driver");
  });

  it.each<[string, string, DriverReports | undefined, string]>([
    ["n", "ovs", {}, "none"],
    ["n", "ovs", { sriov: SRIOV }, "sriov"],
    ["later", "sriov", { ovs: OVS }, "ovs"],
    ["later", "sriov", undefined, "ovs"],
  ])("of network %s is not leased on a node without driver %s", (name, driver, drivers, has) => {
    network("n");
    laterNetwork("later", "sriov");
    register(drivers);
    const { code, reason, message } = refusal(() => lease(name));
    expect([code, reason]).toEqual(["UNSUPPORTED", "driver-absent"]);
    expect(message).toBe(
      `Node n1 cannot attach pods to network default:${name}: it has no driver "${driver}" (it has: ${has}); set the driver up there and restart its netplugin, or run the pod on a node that has it`,
    );
  });

  it("has the driver of its network, and is taken back only into a network that has it", () => {
    laterNetwork("later", "sriov");
    network("n");
    register({ ovs: OVS, sriov: SRIOV });
    const [virtual, plain] = [lease("later", "c1"), lease("n", "c2")];
    expect([virtual.driver, plain.driver]).toEqual(["sriov", undefined]);
    for (const [endpoint, networkName] of [
      [virtual, "n"],
      [plain, "later"],
    ] as const) {
      const offered = { ...endpoint, networkName, epoch: "lost" as Epoch };
      const { reason, field } = refusal(() => cluster.run(takeBackEndpoint, { endpoint: offered, nodeName: N1.name }));
      expect([reason, field]).toEqual(["network-changed", "endpoint.driver"]);
    }
  });
});

describe("a node without Open vSwitch", () => {
  const { vtepIp: _, ...rest } = N1;
  const { datapathType: __, ovsVersion: ___, ...kernel } = N1.capabilities;
  const bare = { ...rest, physicalNetworks: {}, capabilities: kernel };
  const away = { ovs: { ...OVS, fault: "Open vSwitch does not answer on this node; see that ovsdb-server runs" } };

  it.each<[string, DriverReports]>([
    ["no driver", {}],
    ["a driver that can do nothing", away],
  ])("registers with %s", (_, drivers) => {
    cluster.run(registerNode, NodeRegistration.parse({ ...bare, drivers }));
    cluster.run(registerNode, registration("n2", "192.0.2.2"));
    expect(stored()).toEqual({ ...bare, drivers });
    expect(NodeRecord.parse(cluster.view().records("node").get("n1"))).toMatchObject({ state: "ready" });
  });

  it("keeps the tunnel address and the switch that were known of it, and another node cannot take the address", () => {
    register({ ovs: OVS });
    cluster.run(registerNode, NodeRegistration.parse({ ...bare, drivers: away, bootId: "b2" }));
    expect(stored()).toEqual({ ...N1, physicalNetworks: {}, bootId: "b2", drivers: away });
    expect(refusal(() => cluster.run(registerNode, registration("n2", "192.0.2.1"))).reason).toBe("vtep-taken");
    register({ ovs: OVS }, { vtepIp: "192.0.2.9" });
    expect(stored()?.vtepIp).toBe("192.0.2.9");
  });

  it("keeps the MTU and what was probed, which an agent without switch has not looked at", () => {
    register({ ovs: OVS }, { underlayMtuBytes: 9_000 });
    const unprobed = { ...bare, underlayMtuBytes: 1_500, capabilities: { ...kernel, tbf: false, meters: false } };
    cluster.run(registerNode, NodeRegistration.parse({ ...unprobed, drivers: away }));
    expect(stored()).toMatchObject({ underlayMtuBytes: 9_000, capabilities: N1.capabilities });
    register({ ovs: OVS }, { underlayMtuBytes: 1_500 });
    expect(stored()?.underlayMtuBytes).toBe(1_500);
  });

  it("has no tunnel address any more when it does without, or was deleted", () => {
    register({ ovs: OVS });
    cluster.run(registerNode, NodeRegistration.parse({ ...bare, drivers: { sriov: SRIOV } }));
    expect(stored()).not.toHaveProperty("vtepIp");
    register({ ovs: OVS });
    cluster.run(setNodeState, { name: N1.name, state: "unreachable" });
    cluster.run(deleteNode, "n1");
    cluster.run(registerNode, NodeRegistration.parse({ ...bare, drivers: away }));
    expect(stored()).not.toHaveProperty("vtepIp");
    cluster.run(registerNode, registration("n2", "192.0.2.1"));
  });
});

describe("a registration", () => {
  it("of a later release is read without the drivers and members that this one does not know", () => {
    const drivers = { ovs: { ...OVS, encaps: ["geneve"], later: 1 }, afxdp: OVS };
    expect(NodeRegistration.parse({ ...N1, drivers, later: 1 })).toEqual({
      ...N1,
      drivers: { ovs: { ...OVS, encaps: ["geneve"] } },
    });
  });
});
