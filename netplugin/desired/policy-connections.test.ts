import { describe, expect, it } from "vitest";
import type { TrackedConnection } from "../../drivers/ovs/conntrack.ts";
import { machineFor } from "../../test/fakes/policy-nodes.ts";
import { policyView } from "../../test/fakes/policy-view.ts";
import type { FakeRule, PolicyObjects } from "../../test/fakes/policy-world.ts";
import { connectionsOf, deniedConnections } from "./policy-connections.ts";

const OBJECTS: PolicyObjects = {
  networks: [
    { key: "t1:blue", subnet: "10.1.1.0/24", ipv6Subnet: "2001:db8:1::/64" },
    { key: "t2:blue", subnet: "10.1.1.0/24" },
  ],
  groups: [
    { key: "t1:here", network: "t1:blue", policies: ["p"] },
    { key: "t1:there", network: "t1:blue", policies: ["q"] },
  ],
  endpoints: [
    { key: "a", group: "t1:here", ipv4: "10.1.1.1", ipv6: "2001:db8:1::1" },
    { key: "b", group: "t1:there", ipv4: "10.1.1.2" },
  ],
  rules: [],
};

function context(rules: readonly FakeRule[]) {
  const view = policyView({ ...OBJECTS, rules }, { b: "n2" });
  return { view, machine: machineFor(view, "n1") };
}

function connection(ipProto: number, src: string, dst: string, zone = 11): TrackedConnection {
  return { zone, ipProto, orig: { src, dst, srcPort: 45_000, dstPort: 53 }, mark: 0 };
}

const TO_A = connection(17, "10.1.1.9", "10.1.1.1");
const FROM_A = connection(17, "10.1.1.1", "10.1.1.2");
const TO_A6 = connection(17, "2001:db8:1:0::9", "2001:db8:1::1");

describe("connections that the rules deny by now", () => {
  it("are found by zone, addresses and ports, in both families", () => {
    const given = context([{ id: "p:r", protocol: "udp", port: 53 }]);
    const { zone, ipProto, orig } = TO_A;
    expect(deniedConnections(given, [TO_A, FROM_A])).toEqual([{ zone, ipProto, orig }]);
    expect(deniedConnections(given, [TO_A6]).length).toBe(1);
    expect(deniedConnections(context([{ id: "p:r", protocol: "udp", port: 54 }]), [TO_A, TO_A6])).toEqual([]);
  });

  it("are only those that this node judges", () => {
    expect(deniedConnections(context([{ id: "q:r" }]), [FROM_A])).toEqual([]);
    expect(deniedConnections(context([{ id: "p:r", direction: "out" }]), [FROM_A]).length).toBe(1);
  });

  it("are not looked for in other tenants' zones, nor in unknown ones", () => {
    const given = context([{ id: "p:r" }]);
    expect(
      deniedConnections(given, [
        { ...TO_A, zone: 12 },
        { ...TO_A, zone: 99 },
      ]),
    ).toEqual([]);
  });

  it("leave TCP to the marks", () => {
    expect(deniedConnections(context([{ id: "p:r" }]), [connection(6, "10.1.1.9", "10.1.1.1")])).toEqual([]);
  });
});

describe("connections of an endpoint", () => {
  it("are named by its addresses in its zone, in both directions", () => {
    const given = context([]);
    const endpoint = given.view.tables.get("endpoint")?.get("a")?.record;
    expect(connectionsOf(given, endpoint as Parameters<typeof connectionsOf>[1])).toEqual([
      { zone: 11, orig: { src: "10.1.1.1" } },
      { zone: 11, orig: { dst: "10.1.1.1" } },
      { zone: 11, orig: { src: "2001:db8:1::1" } },
      { zone: 11, orig: { dst: "2001:db8:1::1" } },
    ]);
  });
});
