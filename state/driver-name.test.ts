import { describe, expect, it } from "vitest";
import { driverOf, namedDriver } from "./driver-name.ts";
import { EndpointRequest, Heartbeat } from "./node-api.ts";
import { RECORDS } from "./records.ts";

const ADDRESSES = { ipv4: "10.1.1.1", mac: "02:02:0a:01:01:01" };
const POD = { podName: "p", podNamespace: "ns", labels: {} };
const PLACE = { nodeName: "n1", tenantName: "t1", networkName: "net1", groupName: "" };
const CAPABILITIES = {
  ...{ datapathType: "netdev", ovsVersion: "3.1.0", kernelRelease: "6.1.0", ingressPolicing: true },
  ...{ tbf: true, ifbRedirect: false, meters: true, conntrack: true },
};
const REGISTRATION = {
  ...{ name: "n1", vtepIp: "192.0.2.1", underlayMtuBytes: 1_500, physicalNetworks: { default: "eth0" } },
  ...{ routerMac: "02:03:00:00:00:01", bootId: "b", version: "0.1.0", capabilities: CAPABILITIES },
};

/** As the release stores them that knew no drivers. */
const EARLIER = {
  network: {
    ...{ key: "t1:net1", networkId: 1, tenantId: 1, tag: 1 },
    config: {
      ...{ networkName: "net1", tenantName: "t1", nwType: "data", encap: "vxlan", pktTag: 0, subnet: "10.1.1.0/24" },
      ...{ gateway: "", ipv6Subnet: "", ipv6Gateway: "", cfgdTag: "", physicalNetwork: "", mtuBytes: 0 },
    },
  },
  endpoint: {
    ...{ key: "c1:eth0", epoch: "e1", endpointId: "c1", containerId: "c1", ifName: "eth0", ...PLACE, networkId: 1 },
    ...{ ...ADDRESSES, ...POD, createdAt: "2026-01-01T00:00:00.000Z" },
  },
  node: {
    ...{ key: "n1", state: "ready", stateSince: "2026-01-01T00:00:00.000Z", registration: REGISTRATION },
    conditions: [{ type: "switch", status: "ok", message: "3.1" }],
  },
};

describe("records of the release that knew no drivers", () => {
  it.each(["network", "endpoint", "node"] as const)("are read, and written again as they were: %s", (kind) => {
    expect(JSON.parse(JSON.stringify(RECORDS[kind].parse(EARLIER[kind])))).toEqual(EARLIER[kind]);
  });

  it("are Open vSwitch's", () => {
    expect(driverOf(RECORDS.network.parse(EARLIER.network).config)).toBe("ovs");
    expect(driverOf(RECORDS.endpoint.parse(EARLIER.endpoint))).toBe("ovs");
    expect(namedDriver("ovs")).toEqual({});
  });
});

describe("a driver that somebody names", () => {
  it("is kept in network and endpoint", () => {
    const config = { ...EARLIER.network.config, ...namedDriver("ptp") };
    expect(RECORDS.network.parse({ ...EARLIER.network, config }).config.driver).toBe("ptp");
    expect(driverOf(RECORDS.endpoint.parse({ ...EARLIER.endpoint, driver: "macvlan" }))).toBe("macvlan");
  });

  it("and that nobody here knows makes the object unreadable, so that no pod is attached by another", () => {
    const config = { ...EARLIER.network.config, driver: "hologram" };
    expect(RECORDS.network.safeParse({ ...EARLIER.network, config }).success).toBe(false);
    expect(RECORDS.endpoint.safeParse({ ...EARLIER.endpoint, driver: "hologram" }).success).toBe(false);
  });
});

it("messages of agents of that release are read", () => {
  const heartbeat = { bootId: "b", conditions: [] };
  expect(Heartbeat.parse(heartbeat)).toEqual(heartbeat);
  const request = { containerId: "c1", ifName: "eth0", tenantName: "t1", networkName: "net1" };
  expect(EndpointRequest.parse(request)).toMatchObject(request);
});
