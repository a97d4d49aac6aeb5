import { describe, expect, it } from "vitest";
import { machineOf, worldView } from "../../../test/fakes/world.ts";
import { flowContext } from "../../desired/engine/context.ts";
import { recordOf } from "../../view/query.ts";
import { gratuitousArp, unsolicitedAdvertisement } from "./frame.ts";
import { announcementOf } from "./packets.ts";

const WORLD = `
  node n1 192.0.2.1
  network t1:red vlan 100 10.1.1.0/24 ipv6 2001:db8:1::/64
  network t1:lab vlan 101 10.1.2.0/24 physical lab
  network t1:blue vxlan 200 10.1.3.0/24 ipv6 2001:db8:3::/64
  endpoint a t1:red n1 10.1.1.1 2001:db8:1::1
  endpoint b t1:lab n1 10.1.2.1
  endpoint c t1:blue n1 10.1.3.1 2001:db8:3::1
`;

function announce(mode: string, key: string, machine = machineOf("n1", { a: 10, b: 11, c: 12 })) {
  const view = worldView(`mode ${mode}${WORLD}`);
  const endpoint = recordOf(view, "endpoint", key);
  if (endpoint === undefined) throw new Error(`no endpoint ${key}`);
  return announcementOf(flowContext(view, machine, 1), endpoint);
}

const TAGGED_TO_UPLINK = [
  { kind: "pushVlan" },
  { kind: "setField", field: "vlanVid", value: 100 },
  { kind: "output", port: 2 },
];

function intoSwitch(networkId: number) {
  return [
    { kind: "setField", field: "reg0", value: networkId },
    { kind: "setField", field: "reg3", value: 1 },
    { kind: "setField", field: "reg4", value: 1 },
    { kind: "resubmit", table: 90 },
  ];
}

const A_FRAMES = [
  gratuitousArp("02:02:0a:01:01:01", "10.1.1.1"),
  unsolicitedAdvertisement("02:02:0a:01:01:01", "2001:db8:1::1"),
];

describe("announcement of an endpoint", () => {
  it("goes to the underlay of a VLAN, with its tag", () => {
    const packets = announce("bridge proxy", "a");
    expect(packets).toEqual(A_FRAMES.map((data) => ({ inPort: 10, actions: TAGGED_TO_UPLINK, data })));
  });

  it("goes wherever the endpoint's broadcasts go when neighbours are not answered for", () => {
    const packets = announce("bridge flood", "a");
    expect(packets).toEqual(A_FRAMES.map((data) => ({ inPort: 10, actions: intoSwitch(11), data })));
    expect(announce("bridge flood", "c").map(({ actions }) => actions)).toEqual([intoSwitch(13), intoSwitch(13)]);
  });

  it("speaks only of the addresses that the endpoint has", () => {
    const lab = machineOf("n1", { b: 11 }, { uplinks: new Map([["lab", 3]]) });
    expect(announce("bridge proxy", "b", lab).map(({ data }) => data)).toEqual([
      gratuitousArp("02:02:0a:01:02:01", "10.1.2.1"),
    ]);
  });

  it.each([
    { why: "VXLAN, answered by flows", mode: "bridge proxy", key: "c" },
    { why: "its physical network has no uplink here", mode: "bridge proxy", key: "b" },
    { why: "the same, flooding", mode: "bridge flood", key: "b" },
  ])("is not made: $why", ({ mode, key }) => {
    expect(announce(mode, key)).toEqual([]);
  });

  it("is not made for an endpoint without port, or without tunnel", () => {
    expect(announce("bridge flood", "a", machineOf("n1", {}))).toEqual([]);
    expect(announce("bridge flood", "c", machineOf("n1", { c: 12 }, { tunnelOfport: undefined }))).toEqual([]);
  });
});
