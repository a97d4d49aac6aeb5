import { type DriverWorld, describeNetworkDriver, type PodSite, type SeenLink } from "../../drivers/contract.ts";
import { type FakeLink, FakeMachine, FakeNetworkDriver } from "./network-driver.ts";

function newWorld(): DriverWorld {
  const machine = new FakeMachine();
  return {
    open: async () => new FakeNetworkDriver(machine),
    newPod: async () => podOn(machine),
    forget: async (key) => machine.mark(key, undefined),
    leftOver: async () => [...machine.places.keys(), ...machine.reserved],
    [Symbol.asyncDispose]: async () => {},
  };
}

function podOn(machine: FakeMachine): PodSite {
  const netns = machine.newPod();
  const links = () => machine.pods.get(netns.path) ?? new Map<string, FakeLink>();
  const change = (ifName: string, changed: Partial<FakeLink>) => {
    const link = links().get(ifName);
    if (link !== undefined) links().set(ifName, { ...link, ...changed });
  };
  return {
    netns,
    look: async (ifName) => seen(links().get(ifName)),
    damage: async (ifName, damage) => {
      switch (damage) {
        case "deleted":
          links().delete(ifName);
          return;
        case "down":
          return change(ifName, { up: false });
        case "another MAC":
          return change(ifName, { mac: "02:00:00:00:00:99" });
        case "no address":
          return change(ifName, { addresses: [] });
        case "no route":
          return change(ifName, { routes: [] });
        case "another's in its place":
          return change(ifName, { place: undefined });
      }
    },
    addForeign: async (ifName) => {
      const bare = { ifName, mac: "02:00:00:00:00:77", mtuBytes: 1_500, addresses: [], routes: [] };
      links().set(ifName, { ...bare, place: undefined, up: true });
    },
    remove: async () => void machine.pods.delete(netns.path),
  };
}

function seen(link: FakeLink | undefined): SeenLink | undefined {
  if (link === undefined) return undefined;
  const { mac, mtuBytes, addresses, routes } = link;
  const destinations = routes.map(({ destination }) => (destination === "0.0.0.0/0" ? "default" : destination));
  return { mac, mtuBytes, addresses, routes: destinations };
}

describeNetworkDriver("the fake", async () => newWorld());
