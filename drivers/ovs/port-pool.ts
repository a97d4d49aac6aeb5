import { randomBytes } from "node:crypto";
import { asNetError, type NetError } from "../../state/errors.ts";
import { openEthtool } from "../netlink/ethtool.ts";
import { createVeth, dumpLinks, setLink } from "../netlink/link.ts";
import { createLinkDeleter } from "../netlink/link-deleter.ts";
import type { LinkRow } from "../netlink/link-row.ts";
import type { NetnsHandle } from "../netlink/netns.ts";
import type { SocketPool } from "../netlink/pool.ts";
import { ROLE_KEY } from "./names.ts";
import type { PortDriver, PortPool, PortSpec, WarmPort } from "./types.ts";

const HOST_PREFIX = "cvh";
const PEER_PREFIX = "cvp";
/** Random part of a veth's name; both ends share it. */
const ID_BYTES = 5;
/** Marks a ready port in external_ids; the owner replaces it when the port is put to use. */
export const WARM_ROLE = "warm";
/** Marks our veths on the machine itself (`ip link` shows the alias). */
const LINK_ALIAS = "contiv-ts";
const BATCH_MAX = 64;
const RETRY_MS = 500;

export interface PortPoolOptions {
  readonly ports: PortDriver;
  readonly netlink: SocketPool;
  /** Ports to keep ready. */
  readonly target: number;
  /** Does the switch need finished checksums from the pod (userspace datapath)? */
  readonly finishChecksums: boolean;
  /** The switch's network namespace; this process's own when absent. */
  readonly netns?: NetnsHandle | undefined;
  readonly report: (error: NetError) => void;
}

interface Waiter {
  readonly resolve: (port: WarmPort) => void;
  readonly reject: (error: unknown) => void;
}

/** The host end's name from the pod end's, and back. */
export function peerNameOf(hostName: string): string {
  return PEER_PREFIX + hostName.slice(HOST_PREFIX.length);
}

/** Opens the pool: adopts ready ports of an earlier run, removes halves that it left, and fills up. */
export async function openPortPool(options: PortPoolOptions): Promise<PortPool> {
  const ready: WarmPort[] = await adopt(options);
  const waiters: Waiter[] = [];
  let filling: Promise<void> | undefined;
  let closed = false;

  async function fill(): Promise<void> {
    while (!closed && missing() > 0) {
      try {
        for (const port of await makePorts(options, Math.min(missing(), BATCH_MAX))) offer(port);
      } catch (error) {
        const failure = asNetError(error, "make ready ports");
        options.report(failure);
        for (const waiter of waiters.splice(0)) waiter.reject(failure);
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS).unref());
      }
    }
  }

  function missing(): number {
    return options.target + waiters.length - ready.length;
  }

  function offer(port: WarmPort): void {
    const waiter = waiters.shift();
    if (waiter === undefined) ready.push(port);
    else waiter.resolve(port);
  }

  function refill(): void {
    if (filling !== undefined || closed) return;
    filling = fill().finally(() => {
      filling = undefined;
      if (!closed && missing() > 0) refill();
    });
  }

  function wait(signal: AbortSignal): Promise<WarmPort> {
    return new Promise((resolve, reject) => {
      const waiter = { resolve: done(resolve), reject: done(reject) };
      const onAbort = () => {
        waiters.splice(waiters.indexOf(waiter), 1);
        reject(signal.reason);
      };
      function done<T>(settle: (value: T) => void): (value: T) => void {
        return (value) => {
          signal.removeEventListener("abort", onAbort);
          settle(value);
        };
      }
      signal.addEventListener("abort", onAbort, { once: true });
      waiters.push(waiter);
    });
  }

  refill();
  return {
    take: async ({ signal }) => {
      signal.throwIfAborted();
      const port = ready.shift();
      const taken = port === undefined ? wait(signal) : port;
      refill();
      return taken;
    },
    giveBack: (port) => offer(port),
    get size() {
      return ready.length;
    },
    [Symbol.asyncDispose]: async () => {
      closed = true;
      await filling;
    },
  };
}

async function makePorts(options: PortPoolOptions, count: number): Promise<readonly WarmPort[]> {
  const names = Array.from({ length: count }, () => HOST_PREFIX + randomBytes(ID_BYTES).toString("hex"));
  const outcomes = await options.netlink.use((socket) =>
    socket.execute(names.map((name) => createVeth({ name, up: true }, { name: peerNameOf(name) }))),
  );
  const links = await options.netlink.dump(dumpLinks({ kind: "veth" }));
  const byName = new Map(links.map((link) => [link.name, link]));
  await dressLinks(options, names, byName);
  const spec: PortSpec = { kind: "system", externalIds: { [ROLE_KEY]: WARM_ROLE } };
  const failures = await options.ports.apply({ put: new Map(names.map((name) => [name, spec])), remove: new Set() });
  const failed = [...failures.values()][0];
  if (failed !== undefined) {
    await removeHalves(options, names, links);
    throw failed;
  }
  if (outcomes.length === 0) return [];
  const ports = options.ports.read();
  return names.flatMap((name) => warmPort(name, byName, ports.get(name)?.ofport) ?? []);
}

/** What a pod's end needs before it may move: our mark, and checksums that a userspace switch can forward. */
async function dressLinks(
  options: PortPoolOptions,
  names: readonly string[],
  byName: ReadonlyMap<string, LinkRow>,
): Promise<void> {
  const marks = names.flatMap((name) => {
    const link = byName.get(name);
    return link === undefined ? [] : [setLink({ ifindex: link.ifindex }, { alias: LINK_ALIAS })];
  });
  await options.netlink.execute(marks);
  if (!options.finishChecksums) return;
  using ethtool = openEthtool({ netns: options.netns });
  for (const name of names) {
    const peer = byName.get(peerNameOf(name));
    if (peer !== undefined) await ethtool.disableTxChecksum(peer.ifindex);
  }
}

function warmPort(name: string, links: ReadonlyMap<string, LinkRow>, ofport: number | undefined): WarmPort | undefined {
  const host = links.get(name);
  const peer = links.get(peerNameOf(name));
  if (host === undefined || peer === undefined || ofport === undefined) return undefined;
  return { name, ifIndex: host.ifindex, peerName: peer.name, peerIfIndex: peer.ifindex, ofport };
}

/** Ready ports of an earlier run whose both ends are still here; everything else that is marked ready goes. */
async function adopt(options: PortPoolOptions): Promise<WarmPort[]> {
  const links = await options.netlink.dump(dumpLinks({ kind: "veth" }));
  const byName = new Map(links.map((link) => [link.name, link]));
  const ports = options.ports.read();
  const adopted: WarmPort[] = [];
  const halves: string[] = [];
  for (const [name, port] of ports) {
    if (port.externalIds[ROLE_KEY] !== WARM_ROLE) continue;
    const warm = warmPort(name, byName, port.ofport);
    if (warm === undefined) halves.push(name);
    else adopted.push(warm);
  }
  const unplugged = links.filter((link) => link.alias === LINK_ALIAS && !ports.has(link.name)).map((link) => link.name);
  await removeHalves(options, [...halves, ...unplugged], links);
  return adopted;
}

async function removeHalves(
  options: PortPoolOptions,
  names: readonly string[],
  links: readonly LinkRow[],
): Promise<void> {
  if (names.length === 0) return;
  const gone = new Set(names);
  await options.ports.apply({ put: new Map(), remove: gone });
  using deleter = createLinkDeleter({ netns: options.netns });
  await deleter.deleteLinks(links.filter((link) => gone.has(link.name)).map((link) => link.ifindex));
}
