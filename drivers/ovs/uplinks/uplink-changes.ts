import type { DeviceState } from "./uplink-state.ts";

/** Routes of these protocols are an admin's or a DHCP client's: they stay when the device is made anew (linux/rtnetlink.h, RTPROT_…). */
const KEPT_PROTOCOLS: ReadonlySet<number> = new Set([3, 4, 16]);

type Route = DeviceState["routes"][number];

/** What is to be remembered of a NIC from now on, and what has been found. */
export interface Comparison {
  readonly state: DeviceState;
  /** Changes that somebody has made on purpose, as sentences. */
  readonly followed: readonly string[];
  /** What is missing, and nothing stands in its place. */
  readonly missing: readonly string[];
}

/**
 * Compares what is remembered of a NIC with what its bridge's device shows. An address in whose place another of its family has come was
 * changed on purpose; one that is only gone was lost. An address that comes in addition is not ours to keep: it may be another program's.
 * Where no address is remembered, those that appear are the NIC's.
 */
export function compareDevice(remembered: DeviceState, actual: DeviceState): Comparison {
  const appeared = remembered.addresses.length === 0 ? actual.addresses : [];
  const saved = { ...remembered, addresses: [...remembered.addresses, ...appeared] };
  const families = [4, 6].map((family) => compareAddresses(ofFamily(saved, family), ofFamily(actual, family)));
  const isMoved = families.some(({ followed }) => followed.length > 0);
  const routes = compareRoutes(saved.routes, actual.routes, isMoved);
  return {
    state: { addresses: families.flatMap(({ addresses }) => addresses), routes: routes.routes },
    followed: [
      ...(appeared.length === 0 ? [] : [`address ${appeared.join(", ")} is new`]),
      ...families.flatMap(({ followed }) => followed),
      ...routes.followed,
    ],
    missing: [...families.flatMap(({ missing }) => missing), ...routes.missing],
  };
}

function ofFamily({ addresses }: DeviceState, family: number): readonly string[] {
  return addresses.filter((address) => address.includes(":") === (family === 6));
}

function compareAddresses(saved: readonly string[], actual: readonly string[]) {
  const missing = saved.filter((address) => !actual.includes(address));
  const added = actual.filter((address) => !saved.includes(address));
  if (missing.length === 0 || added.length === 0) {
    return { addresses: saved, followed: [], missing: missing.map((address) => `address ${address}`) };
  }
  const addresses = [...saved.filter((address) => actual.includes(address)), ...added];
  return { addresses, followed: [`address ${missing.join(", ")} is ${added.join(", ")} now`], missing: [] };
}

/** With an address its routes go: what is there then is what is meant. */
function compareRoutes(saved: readonly Route[], actual: readonly Route[], isMoved: boolean) {
  const kept = actual.filter(({ protocol }) => KEPT_PROTOCOLS.has(protocol));
  const added = kept.filter((route) => !saved.some((each) => isSameRoute(each, route)));
  const gone = saved.filter((route) => !actual.some((each) => isSameRoute(each, route)));
  const replaced = gone.filter(({ destination }) => isMoved || added.some((each) => each.destination === destination));
  const missing = gone.filter((route) => !replaced.includes(route));
  const followed = [
    ...(replaced.length === 0 ? [] : [`${textsOf(replaced)} is gone`]),
    ...(added.length === 0 ? [] : [`${textsOf(added)} is new`]),
  ];
  const routes = [...saved.filter((route) => !replaced.includes(route)), ...added];
  return { routes, followed, missing: missing.map((route) => textsOf([route])) };
}

function isSameRoute(left: Route, right: Route): boolean {
  return left.destination === right.destination && left.gateway === right.gateway;
}

function textsOf(routes: readonly Route[]): string {
  const texts = routes.map(({ destination, gateway }) =>
    gateway === undefined ? destination : `${destination} via ${gateway}`,
  );
  return `route ${texts.join(", ")}`;
}
