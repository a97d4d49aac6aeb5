import { describe, expect, it } from "vitest";
import type { AddressRow } from "../../../drivers/netlink/address.ts";
import type { LinkRow } from "../../../drivers/netlink/link-row.ts";
import type { RouteRow } from "../../../drivers/netlink/route.ts";
import type { EndpointRecord } from "../../../state/kinds/endpoint.ts";
import { worldView } from "../../../test/fakes/world.ts";
import { nodeOf, recordOf } from "../../view/query.ts";
import { type DeviceState, deviceRepairs, differsInSwitch, infraDevice } from "./device.ts";

function deviceIn(network: string, endpoint: string) {
  const view = worldView(`node n1 192.0.2.1\nnetwork t:i ${network} type infra\nendpoint e t:i n1 ${endpoint}`);
  const [record, lease] = [recordOf(view, "network", "t:i"), recordOf(view, "endpoint", "e")];
  const node = nodeOf(view, "n1")?.registration;
  if (record === undefined || lease === undefined || node === undefined) throw new Error("incomplete world");
  return infraDevice(record, lease as EndpointRecord, node);
}

const DUAL = deviceIn("vxlan 1 10.1.2.0/23 gateway 10.1.2.1 ipv6 2001:db8:1::/64", "10.1.3.9 2001:DB8:1:0::9");

describe("infra device", () => {
  it("has the lease's addresses with the network's lengths, and no default route", () => {
    expect(DUAL).toEqual({
      mac: "02:02:0a:01:03:09",
      mtuBytes: 1450,
      addresses: [
        { prefix: "10.1.3.9/23", onLink: "10.1.2.0/23" },
        { prefix: "2001:db8:1::9/64", onLink: "2001:db8:1::/64" },
      ],
    });
  });

  it("has the underlay's MTU on a VLAN, and no IPv6 without a lease of it", () => {
    const device = deviceIn("vlan 5 10.1.2.0/24 ipv6 2001:db8:1::/64", "10.1.2.1");
    expect(device.mtuBytes).toBe(1500);
    expect(device.addresses).toEqual([{ prefix: "10.1.2.1/24", onLink: "10.1.2.0/24" }]);
  });
});

const LINK = { ifindex: 7, mac: DUAL.mac, mtuBytes: DUAL.mtuBytes, up: true };
const GOOD = {
  link: LINK,
  addresses: [
    { address: "10.1.3.9", prefixLengthBits: 23 },
    { address: "2001:db8:1::9", prefixLengthBits: 64 },
    { address: "fe80::2:aff:fe01:309", prefixLengthBits: 64 },
  ],
  routes: [
    { table: 254, destination: "10.1.2.0/23" },
    { table: 254, destination: "2001:db8:1::/64" },
    { table: 255, destination: "10.1.3.9/32" },
  ],
};

function state(changes: { link?: object; addresses?: object[]; routes?: object[] }): DeviceState {
  return {
    link: { ...LINK, ...changes.link } as LinkRow,
    addresses: (changes.addresses ?? GOOD.addresses) as unknown as AddressRow[],
    routes: (changes.routes ?? GOOD.routes) as unknown as RouteRow[],
  };
}

const TABLE = [
  { name: "as it should be", state: state({}), deeds: [] },
  {
    name: "bare and down, as the switch makes it",
    state: state({ link: { up: false, mtuBytes: 1500, mac: "aa:00:00:00:00:01" }, addresses: [], routes: [] }),
    deeds: ["change link #7", "add address 10.1.3.9/23 to link #7", "add address 2001:db8:1::9/64 to link #7"],
  },
  { name: "down", state: state({ link: { up: false }, routes: [] }), deeds: ["change link #7"] },
  { name: "with another MTU", state: state({ link: { mtuBytes: 1400 } }), deeds: ["change link #7"] },
  {
    name: "with an address of the wrong length",
    state: state({ addresses: [{ address: "10.1.3.9", prefixLengthBits: 32 }, ...GOOD.addresses.slice(1)] }),
    deeds: ["add address 10.1.3.9/23 to link #7"],
  },
  {
    name: "with more addresses than asked for",
    state: state({ addresses: [...GOOD.addresses, { address: "10.99.0.1", prefixLengthBits: 24 }] }),
    deeds: [],
  },
  {
    name: "without its routes",
    state: state({ routes: [{ table: 255, destination: "10.1.2.0/23" }] }),
    deeds: ["add route to 10.1.2.0/23", "add route to 2001:db8:1::/64"],
  },
];

describe("repairs of a device", () => {
  it.each(TABLE)("$name", ({ state, deeds }) => {
    expect(deviceRepairs(DUAL, state).map(({ deed }) => deed)).toEqual(deeds);
  });

  it("tells the switch of MAC and MTU only", () => {
    expect(differsInSwitch(DUAL, state({ link: { up: false }, addresses: [], routes: [] }))).toBe(false);
    expect(differsInSwitch(DUAL, state({ link: { mtuBytes: 1400 } }))).toBe(true);
    expect(differsInSwitch(DUAL, state({ link: { mac: "02:00:00:00:00:99" } }))).toBe(true);
  });
});
