import { describe, expect, it } from "vitest";
import { OVS_CAPABILITIES } from "../../drivers/ovs/pod-ports/network-driver.ts";
import { NodeRegistration } from "../../state/kinds/node.ts";
import { NodeName } from "../../state/names.ts";
import { type KnownOfNode, type ReportedDriver, registrationOf } from "./registration.ts";

const probed = { ingressPolicing: true, tbf: true, ifbRedirect: false, meters: false, conntrack: false };
const ovs = (fault?: string): ReportedDriver => ({
  name: "ovs",
  capabilities: () => OVS_CAPABILITIES,
  fault: () => fault,
});
const NEVER_SEEN: KnownOfNode = {
  ...{ nodeName: NodeName.parse("n1"), bootId: "b", vtepIp: undefined, uplinks: [], probed },
  ...{ seenSwitch: undefined, drivers: [ovs("Open vSwitch does not answer on this node; see that ovsdb-server runs")] },
};
const SEEN: KnownOfNode = {
  ...{ ...NEVER_SEEN, vtepIp: "192.0.2.1", drivers: [ovs()] },
  seenSwitch: { datapathType: "system", ovsVersion: "3.1.0" },
  uplinks: [
    { alias: "default", nic: "eth0", mtuBytes: 9_000 },
    { alias: "blue", nic: "eth1", mtuBytes: 1_400 },
  ],
};
const OVS = { encaps: ["vxlan", "vlan"], enforcesPolicies: true, setsMac: true };

/** What netmaster reads. */
const read = (known: KnownOfNode) => NodeRegistration.parse(JSON.parse(JSON.stringify(registrationOf(known))));

describe("a node's registration", () => {
  it("tells uplinks with the smallest MTU, switch, and the driver with what it can do", () => {
    expect(read(SEEN)).toMatchObject({
      ...{ name: "n1", vtepIp: "192.0.2.1", underlayMtuBytes: 1_400, bootId: "b" },
      physicalNetworks: { default: "eth0", blue: "eth1" },
      capabilities: { ...probed, datapathType: "system", ovsVersion: "3.1.0" },
      drivers: { ovs: OVS },
    });
    expect(read(SEEN).drivers?.ovs).not.toHaveProperty("fault");
  });

  it("of a node whose switch is away tells the fault, and all else as before", () => {
    const { drivers, ...rest } = read({ ...SEEN, drivers: [ovs("away: connect ECONNREFUSED, attempt 7")] });
    const { drivers: _, ...before } = read(SEEN);
    expect(drivers).toEqual({ ovs: { ...OVS, fault: "away" } });
    expect(rest).toEqual(before);
  });

  it("of a node whose switch was never seen leaves out what only the switch knows", () => {
    const told = read(NEVER_SEEN);
    expect(told).toMatchObject({ name: "n1", underlayMtuBytes: 1_500, physicalNetworks: {} });
    expect(told).not.toHaveProperty("vtepIp");
    expect(Object.keys(told.capabilities)).not.toContain("ovsVersion");
    expect(Object.keys(told.capabilities)).not.toContain("datapathType");
    expect(told.drivers).toEqual({
      ovs: { ...OVS, fault: "Open vSwitch does not answer on this node; see that ovsdb-server runs" },
    });
  });
});
