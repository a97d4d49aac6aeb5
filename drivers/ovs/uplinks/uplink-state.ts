import { z } from "zod";
import { type AddressRow, addAddress, deleteAddress, dumpAddresses } from "../../netlink/address.ts";
import { isErrno } from "../../netlink/errno.ts";
import { getLink, setLink } from "../../netlink/link.ts";
import type { LinkRow } from "../../netlink/link-row.ts";
import type { Message } from "../../netlink/message.ts";
import type { SocketPool } from "../../netlink/pool.ts";
import { addRoute, deleteRoute, dumpRoutes, type RouteRow } from "../../netlink/route.ts";

/** Kernel-made routes (RTPROT_KERNEL, linux/rtnetlink.h) come and go with their address. */
const RTPROT_KERNEL = 2;
/** Router advertisements bring theirs again by themselves (RTPROT_RA). */
const RTPROT_RA = 9;
const RT_TABLE_MAIN = 254;
const RTN_UNICAST = 1;
const SCOPE_LINK = 253;

/** What a device answers to and where it leads: the part of a NIC that moves to its uplink bridge. */
export const DeviceState = z.object({
  addresses: z.array(z.string()),
  routes: z.array(
    z.object({
      destination: z.string(),
      gateway: z.string().optional(),
      metric: z.number().optional(),
      protocol: z.number(),
    }),
  ),
});
export type DeviceState = z.infer<typeof DeviceState>;

export const NO_STATE: DeviceState = { addresses: [], routes: [] };

export function isEmptyState({ addresses, routes }: DeviceState): boolean {
  return addresses.length === 0 && routes.length === 0;
}

export function joinedStates(...states: readonly DeviceState[]): DeviceState {
  return {
    addresses: [...new Set(states.flatMap(({ addresses }) => addresses))],
    routes: states.flatMap(({ routes }) => routes),
  };
}

export async function findLink(netlink: SocketPool, name: string): Promise<LinkRow | undefined> {
  try {
    return await netlink.get(getLink({ name }));
  } catch (error) {
    if (isErrno(error, "ENODEV")) return undefined;
    throw error;
  }
}

/** Addresses and routes of a device that do not come by themselves. */
export async function readDeviceState(netlink: SocketPool, ifindex: number): Promise<DeviceState> {
  const addresses = await netlink.dump(dumpAddresses({ ifindex }));
  const routes = await netlink.dump(dumpRoutes({ table: RT_TABLE_MAIN, ifindex }));
  return {
    addresses: addresses.filter(isOwnAddress).map((row) => `${row.address}/${row.prefixLengthBits}`),
    routes: routes.filter(isOwnRoute).map((row) => ({
      destination: row.destination,
      protocol: row.protocol,
      ...(row.gateway === undefined ? {} : { gateway: row.gateway }),
      ...(row.metric === undefined ? {} : { metric: row.metric }),
    })),
  };
}

/** What a device has that may vanish at any moment, or be gone already. */
export async function survivingState(device: string, netlink: SocketPool): Promise<DeviceState> {
  try {
    const link = await findLink(netlink, device);
    return link === undefined ? NO_STATE : await readDeviceState(netlink, link.ifindex);
  } catch (error) {
    if (isErrno(error, "ENODEV")) return NO_STATE;
    throw error;
  }
}

function isOwnAddress(row: AddressRow): boolean {
  return row.permanent && row.scope < SCOPE_LINK;
}

function isOwnRoute(row: RouteRow): boolean {
  return row.type === RTN_UNICAST && row.protocol !== RTPROT_KERNEL && row.protocol !== RTPROT_RA;
}

export function hasDefaultRoute(state: DeviceState): boolean {
  return state.routes.some((route) => route.destination === "0.0.0.0/0" || route.destination === "::/0");
}

/** Puts a state on a device that is up; what is there already stays. Directly connected routes go first, for gateways need them. */
export function putState(ifindex: number, state: DeviceState): readonly Message[] {
  const direct = state.routes.filter((route) => route.gateway === undefined);
  const viaGateway = state.routes.filter((route) => route.gateway !== undefined);
  return [
    ...state.addresses.map((prefix) => addAddress({ ifindex, prefix, skipDuplicateDetection: prefix.includes(":") })),
    ...[...direct, ...viaGateway].map((route) => addRoute({ ...withoutUndefined(route), ifindex })),
  ];
}

/** Takes the state's addresses (and with them their routes) and other routes off a device. */
export function takeState(ifindex: number, state: DeviceState): readonly Message[] {
  return [
    ...state.routes.map((route) => deleteRoute({ ...withoutUndefined(route), ifindex })),
    ...state.addresses.map((prefix) => deleteAddress({ ifindex, prefix })),
  ];
}

function withoutUndefined(route: DeviceState["routes"][number]) {
  return {
    destination: route.destination,
    protocol: route.protocol,
    ...(route.gateway === undefined ? {} : { gateway: route.gateway }),
    ...(route.metric === undefined ? {} : { metric: route.metric }),
  };
}

/** What the device lacks of a state. */
export function lacking(wanted: DeviceState, actual: DeviceState): DeviceState {
  return {
    addresses: wanted.addresses.filter((address) => !actual.addresses.includes(address)),
    routes: wanted.routes.filter(
      (route) =>
        !actual.routes.some((each) => each.destination === route.destination && each.gateway === route.gateway),
    ),
  };
}

export function raise(ifindex: number): Message {
  return setLink({ ifindex }, { up: true });
}
