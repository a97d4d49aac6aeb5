import { describe, expect, it } from "vitest";
import { compareDevice } from "./uplink-changes.ts";
import type { DeviceState } from "./uplink-state.ts";

const STATIC = 4;
const BIRD = 12;
const route = (destination: string, gateway?: string, protocol = STATIC) => ({
  ...{ destination, protocol },
  ...(gateway === undefined ? {} : { gateway }),
});
const saved: DeviceState = {
  addresses: ["192.0.2.1/24", "198.51.100.1/24", "2001:db8::1/64"],
  routes: [route("0.0.0.0/0", "192.0.2.254")],
};

describe("what a device shows", () => {
  it("is as remembered, with what other programs have added", () => {
    const actual = { ...saved, addresses: [...saved.addresses, "192.0.2.200/32"] };
    expect(compareDevice(saved, actual)).toEqual({ state: saved, followed: [], missing: [] });
  });

  it("lacks an address: it was lost", () => {
    const actual = { ...saved, addresses: saved.addresses.slice(1) };
    expect(compareDevice(saved, actual)).toEqual({ state: saved, followed: [], missing: ["address 192.0.2.1/24"] });
  });

  it("has another address in its place: it was changed; the other family stays", () => {
    const addresses = ["192.0.2.9/24", "198.51.100.1/24", "2001:db8::1/64"];
    const { state, followed, missing } = compareDevice(saved, { ...saved, addresses });
    expect(state.addresses).toEqual(["198.51.100.1/24", "192.0.2.9/24", "2001:db8::1/64"]);
    expect(followed).toEqual(["address 192.0.2.1/24 is 192.0.2.9/24 now"]);
    expect(missing).toEqual([]);
  });

  it("has lost the routes of the address that was changed", () => {
    const { state, followed, missing } = compareDevice(saved, { addresses: ["203.0.113.1/24"], routes: [] });
    expect(state.routes).toEqual([]);
    expect(followed).toContain("route 0.0.0.0/0 via 192.0.2.254 is gone");
    expect(missing).toEqual(["address 2001:db8::1/64"]);
  });

  it("has new routes: those of admins are remembered, those of routing daemons are theirs", () => {
    const routes = [route("0.0.0.0/0", "192.0.2.253"), route("10.0.0.0/8", "192.0.2.7", BIRD)];
    const { state, followed, missing } = compareDevice(saved, { ...saved, routes });
    expect(state.routes).toEqual([route("0.0.0.0/0", "192.0.2.253")]);
    expect(followed).toEqual(["route 0.0.0.0/0 via 192.0.2.254 is gone", "route 0.0.0.0/0 via 192.0.2.253 is new"]);
    expect(missing).toEqual([]);
  });

  it("has addresses where none is remembered: they are the NIC's, with the routes of admins", () => {
    const actual = { ...saved, routes: [...saved.routes, route("10.0.0.0/8", "192.0.2.7", BIRD)] };
    const { state, followed, missing } = compareDevice({ addresses: [], routes: [] }, actual);
    expect(state).toEqual(saved);
    expect(followed).toEqual([
      "address 192.0.2.1/24, 198.51.100.1/24, 2001:db8::1/64 is new",
      "route 0.0.0.0/0 via 192.0.2.254 is new",
    ]);
    expect(missing).toEqual([]);
  });

  it("has a first address, and lacks a route that is remembered: that was lost all the same", () => {
    const { state, missing } = compareDevice({ ...saved, addresses: [] }, { ...saved, routes: [] });
    expect(state).toEqual(saved);
    expect(missing).toEqual(["route 0.0.0.0/0 via 192.0.2.254"]);
  });

  it("has nothing where nothing is remembered", () => {
    const nothing = { addresses: [], routes: [] };
    expect(compareDevice(nothing, nothing)).toEqual({ state: nothing, followed: [], missing: [] });
  });

  it("lacks a route: it was lost", () => {
    expect(compareDevice(saved, { ...saved, routes: [] }).missing).toEqual(["route 0.0.0.0/0 via 192.0.2.254"]);
  });
});
