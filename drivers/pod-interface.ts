import { NetError } from "../state/errors.ts";
import { addAddress, dumpAddresses } from "./netlink/address.ts";
import { isErrno } from "./netlink/errno.ts";
import { dumpLinks, getLink, setLink } from "./netlink/link.ts";
import type { LinkRow } from "./netlink/link-row.ts";
import type { Message, Query } from "./netlink/message.ts";
import { addNeighbour } from "./netlink/neighbour.ts";
import { type NetnsHandle, openNetns } from "./netlink/netns.ts";
import { getNetnsId } from "./netlink/netns-id.ts";
import { addRoute, dumpRoutes, findRoute, type RouteRow, type RouteSpec, RT_TABLE_MAIN } from "./netlink/route.ts";
import { type NetlinkSocket, type Outcome, openNetlink } from "./netlink/socket.ts";
import { openPodNetns } from "./pod-netns.ts";
import { settlePodLink } from "./pod-settings.ts";

/** A neighbour that the pod knows for good, without asking. */
export interface Neighbour {
  readonly address: string;
  readonly mac: string;
}

/** What a pod's interface is to look like. */
export interface PodLink {
  readonly ifName: string;
  readonly mac: string;
  readonly mtuBytes: number;
  /** With prefix length, IPv4 first. */
  readonly addresses: readonly string[];
  readonly routes: readonly { readonly destination: string; readonly gateway?: string | undefined }[];
  readonly neighbours?: readonly Neighbour[] | undefined;
}

/** Names of interfaces that have been put aside, and wait to be deleted, begin so; those of far ends do, too. */
export const ASIDE_PREFIX = "cvp";

const LOOPBACK_IFINDEX = 1;
const SCOPE_LINK = 253;
/** Behind the metrics that routes have by themselves: 0 in IPv4, 1024 in IPv6 (linux/ipv6_route.h, IP6_RT_PRIO_USER). */
const LATER_METRIC = 2_000;

/** What a pod's interface hangs on, and where that is: link numbers of two namespaces may be alike. */
export interface LowerLink {
  readonly ifindex: number;
  readonly netns: NetnsHandle;
}

/** A pod's interface that has done its work. Whoever has it closes the namespace. */
export interface PodEnd {
  readonly netns: NetnsHandle;
  readonly ifindex: number;
}

/** Gives an interface that is in the pod's namespace already its addresses, neighbours and routes, and sets it up. */
export async function configureLink(netns: NetnsHandle, link: PodLink, signal: AbortSignal): Promise<void> {
  settlePodLink(netns, link.ifName, link.addresses.some(isIpv6)); // while it is down
  using socket = openNetlink({ netns });
  const inside = await socket.get(getLink({ name: link.ifName }), { signal });
  await configureInside(socket, inside.ifindex, link, signal);
}

function upMessages(ifindex: number): Message[] {
  return [setLink({ ifindex: LOOPBACK_IFINDEX }, { up: true }), setLink({ ifindex }, { up: true })];
}

function addressMessages(ifindex: number, { addresses }: PodLink): Message[] {
  return addresses.map((prefix) => addAddress({ ifindex, prefix, skipDuplicateDetection: isIpv6(prefix) }));
}

const isIpv6 = (prefix: string) => prefix.includes(":");

/**
 * Addresses, neighbours and routes, in one send. The kernel makes the route to the link's own subnet with the address. The first interface of a
 * pod keeps the routes that it has: a later one's to the same destination (mostly the default) gets a metric of its own behind it, and
 * takes over when the first one is gone. The routes of an interface that waits to be deleted do not count.
 */
async function configureInside(
  socket: NetlinkSocket,
  ifindex: number,
  link: PodLink,
  signal: AbortSignal,
): Promise<void> {
  const onLink = link.routes.filter(({ gateway }) => gateway === undefined);
  const beyond = link.routes.flatMap(({ destination, gateway }) =>
    gateway === undefined ? [] : [{ destination, gateway, ifindex }],
  );
  const lookups = onLink.map(({ destination }) => findRoute(firstOf(destination)));
  const known = (link.neighbours ?? []).map((neighbour) => addNeighbour({ ifindex, ...neighbour }));
  const needed = [...upMessages(ifindex), ...addressMessages(ifindex, link), ...known];
  const routes = beyond.map((spec) => addRoute({ ...spec, exclusive: true }));
  // Looked up before the addresses are there: afterwards the answer would be the new link.
  const batch = [...lookups.map(({ message }) => message), ...needed, ...routes];
  const outcomes = await socket.settle(batch, { signal });
  const [found, made, routed] = cut(outcomes, [lookups.length, needed.length]);
  for (const { error } of made) if (error !== undefined) throw error;
  for (const { error } of routed) if (error !== undefined && !isErrno(error, "EEXIST")) throw error;
  const taken = [
    ...onLink
      .filter((_, index) => isRouted(found[index], lookups[index]))
      .map(({ destination }) => ({ destination, ifindex })),
    ...beyond.filter((_, index) => routed[index]?.error !== undefined),
  ];
  if (taken.length > 0) await takeOver(socket, taken, { ifindex, signal });
}

/** An address of a destination. */
function firstOf(destination: string): string {
  return destination.slice(0, destination.lastIndexOf("/"));
}

function cut<T>(items: readonly T[], [first, second]: readonly [number, number]): readonly [T[], T[], T[]] {
  return [items.slice(0, first), items.slice(first, first + second), items.slice(first + second)];
}

/** Did a route other than a default lead there? */
function isRouted(outcome: Outcome | undefined, lookup: Query<RouteRow> | undefined): boolean {
  const answer = outcome?.echoes.find(({ type }) => type === lookup?.answerType);
  const route = answer === undefined ? undefined : lookup?.decode(answer.body);
  return route !== undefined && !route.destination.endsWith("/0");
}

interface Takeover {
  readonly ifindex: number;
  readonly signal: AbortSignal;
}

/** Destinations to which other interfaces have routes: behind those of living ones, in the place of the others. */
async function takeOver(
  socket: NetlinkSocket,
  taken: readonly RouteSpec[],
  { ifindex, signal }: Takeover,
): Promise<void> {
  const holders = await livingHolders(socket, ifindex);
  const messages = taken.map((spec) => {
    const isHeld = holders.has(spec.destination);
    return addRoute(isHeld ? { ...spec, metric: LATER_METRIC + ifindex } : spec);
  });
  await socket.execute(messages, { signal });
}

/** Destinations to which another interface has a route; not those of interfaces that have been put aside (`putPodInterfaceAside`). */
async function livingHolders(socket: NetlinkSocket, ifindex: number): Promise<ReadonlySet<string>> {
  const links = new Map((await socket.dump(dumpLinks())).map((link) => [link.ifindex, link.name]));
  const rows = await socket.dump(dumpRoutes({ table: RT_TABLE_MAIN }));
  const living = rows.filter((row) => {
    const name = links.get(row.ifindex ?? 0);
    return row.ifindex !== ifindex && name !== undefined && !name.startsWith(ASIDE_PREFIX);
  });
  return new Set(living.map(({ destination }) => destination));
}

export interface AsideTarget {
  /** Where the pod's namespace may be, the likeliest path first. */
  readonly netnsPaths: readonly string[];
  /** A namespace besides the node's own that no path may lead to. */
  readonly forbidden: NetnsHandle;
  readonly ifName: string;
  /** What the pod's interface hangs on, if that is there: one of that name that does not belongs to somebody else. */
  readonly lower: LowerLink | undefined;
  readonly spareName: string;
}

/**
 * Takes an interface out of the way of a new one of that name. The link itself is deleted later, and whoever calls this has taken
 * it off the network. A namespace or link that is gone is fine; one that is there is returned, with its namespace open. Whatever the
 * paths lead to, nothing is touched in the node's own namespace or in the forbidden one.
 */
export async function putPodInterfaceAside(target: AsideTarget, signal: AbortSignal): Promise<PodEnd | undefined> {
  const netns = firstPodNetns(target);
  if (netns === undefined) return undefined;
  let isKept = false;
  try {
    using socket = openNetlink({ netns });
    const link = await findPodLink(socket, target.ifName);
    if (link === undefined || !(await hangsOn(socket, link, target.lower))) return undefined;
    await rename(socket, link.ifindex, target.spareName, signal);
    isKept = true;
    return { netns, ifindex: link.ifindex };
  } catch (error) {
    if (!isErrno(error, "ENODEV")) throw error;
    return undefined;
  } finally {
    if (!isKept) netns[Symbol.dispose]();
  }
}

async function hangsOn(socket: NetlinkSocket, link: LinkRow, lower: LowerLink | undefined): Promise<boolean> {
  if (lower === undefined || link.peerIfindex !== lower.ifindex || link.peerNetnsId === undefined) return false;
  return (await socket.get(getNetnsId(lower.netns))) === link.peerNetnsId;
}

function firstPodNetns({ netnsPaths, forbidden }: AsideTarget): NetnsHandle | undefined {
  for (const path of netnsPaths) {
    const netns = openUnlessForbidden(path, forbidden);
    if (netns !== undefined) return netns;
  }
  return undefined;
}

/** As `openPodNetns`; the namespace of a process with more rights than ours cannot be a pod's that we have attached. */
export function openUnlessForbidden(path: string, forbidden: NetnsHandle): NetnsHandle | undefined {
  try {
    return openPodNetns(path, forbidden);
  } catch (error) {
    if (isErrno(error, "EACCES", "EPERM")) return undefined;
    throw error;
  }
}

/**
 * Setting a macvlan down takes a grace period of the kernel, 15 ms with the lock that all changes of links need; since Linux 6.2 a
 * link that is up can be renamed.
 */
async function rename(socket: NetlinkSocket, ifindex: number, name: string, signal: AbortSignal): Promise<void> {
  const renaming = setLink({ ifindex }, { name });
  try {
    await socket.execute([renaming], { signal });
  } catch (error) {
    if (!isErrno(error, "EBUSY")) throw error;
    await socket.execute([setLink({ ifindex }, { up: false }), renaming], { signal });
  }
}

/** Compares a pod's interface with what it should be; an error names the first difference. */
export async function checkPod(netnsPath: string, wanted: PodLink, lower: LowerLink | undefined): Promise<void> {
  using netns = openNetns(netnsPath);
  using socket = openNetlink({ netns });
  const link = await findPodLink(socket, wanted.ifName);
  if (link === undefined) throw broken(wanted, "it does not exist");
  if (!link.up) throw broken(wanted, "it is down");
  if (link.mac !== wanted.mac) throw broken(wanted, `its MAC is ${link.mac}, not ${wanted.mac}`);
  if (!(await hangsOn(socket, link, lower))) throw broken(wanted, "it is not connected to this node's switch");
  await checkAddresses(socket, link, wanted);
  await checkRoutes(socket, link, wanted);
}

async function checkAddresses(socket: NetlinkSocket, link: LinkRow, wanted: PodLink): Promise<void> {
  const rows = await socket.dump(dumpAddresses({ ifindex: link.ifindex }));
  const present = rows.filter((row) => row.scope < SCOPE_LINK).map((row) => `${row.address}/${row.prefixLengthBits}`);
  const missing = wanted.addresses.find((address) => !present.includes(address));
  if (missing !== undefined)
    throw broken(wanted, `address ${missing} is missing; it has ${present.join(", ") || "none"}`);
}

async function checkRoutes(socket: NetlinkSocket, link: LinkRow, wanted: PodLink): Promise<void> {
  const rows = await socket.dump(dumpRoutes({ ifindex: link.ifindex }));
  const missing = wanted.routes.find(
    ({ destination, gateway }) => !rows.some((row) => row.destination === destination && row.gateway === gateway),
  );
  if (missing !== undefined) throw broken(wanted, `the route to ${missing.destination} is missing`);
}

/** The interface, or undefined when the namespace has none of that name. */
export async function findPodLink(socket: NetlinkSocket, ifName: string): Promise<LinkRow | undefined> {
  try {
    return await socket.get(getLink({ name: ifName }));
  } catch (error) {
    if (isErrno(error, "ENODEV")) return undefined;
    throw error;
  }
}

function broken(wanted: PodLink, what: string): NetError {
  return new NetError("CONFLICT", `Interface "${wanted.ifName}" of the pod is not as ADD left it: ${what}`);
}
