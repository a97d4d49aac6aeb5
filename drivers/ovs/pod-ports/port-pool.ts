import { randomBytes } from "node:crypto";
import type { Failures } from "../../../state/delta.ts";
import { asNetError, NetError } from "../../../state/errors.ts";
import { createAlarm } from "../../../state/waiting/alarm.ts";
import { pause } from "../../../state/waiting/pause.ts";
import { onAbort } from "../../../state/waiting/signals.ts";
import { LINK_ALIAS, ROLE_MARK } from "../../driver.ts";
import { openEthtool } from "../../netlink/ethtool.ts";
import { createVeth, dumpLinks, getLink, setLink } from "../../netlink/link.ts";
import { createLinkDeleter } from "../../netlink/link-deleter.ts";
import { echoedLink, type LinkRow } from "../../netlink/link-row.ts";
import type { NetnsHandle } from "../../netlink/netns.ts";
import type { SocketPool } from "../../netlink/pool.ts";
import type { Echoed } from "../../netlink/socket.ts";
import { ASIDE_PREFIX } from "../../pod-interface.ts";
import type { PortDriver, PortPool, PortSpec, ReadyPort } from "../types.ts";
import type { Panel } from "./panel.ts";

/** Near ends are called so. */
export const HOST_PREFIX = "cvh";
/** Names of far ends, and of pods' interfaces that wait to be deleted. */
const PEER_PREFIX = ASIDE_PREFIX;
/** Random part of a veth's name; both ends share it. */
const ID_BYTES = 5;
const HOST_NAME = new RegExp(`^${HOST_PREFIX}[0-9a-f]{${2 * ID_BYTES}}$`);
/** Marks a ready port in external_ids; the owner replaces it when the port is put to use. */
export const WARM_ROLE = "warm";
const BATCH_MAX = 64;
/**
 * So many times the target may be ready when pods go and leave their ports: others often come at once, and ports that are there cost
 * little, while making them holds the switch up. What nobody has wanted for a while goes.
 */
const SURPLUS_FACTOR = 4;
const SURPLUS_IDLE_MS = 60_000;
const RETRY_MS = 500;

export interface PortPoolOptions {
  readonly ports: PortDriver;
  readonly netlink: SocketPool;
  /** Where the far ends wait. */
  readonly panel: Panel;
  /** Ports to keep ready. */
  readonly target: number;
  /** How long ports beyond the target wait for a pod; a minute unless given. */
  readonly surplusIdleMs?: number;
  /** What the ports carry at least: a change later costs the switch a look at all its ports. */
  readonly mtuBytes: number;
  /** Does the switch need finished checksums from the pod (userspace datapath)? */
  readonly finishChecksums: boolean;
  /** The switch's network namespace; this process's own when absent. */
  readonly netns?: NetnsHandle | undefined;
  /** Keeps new near ends, which are down, from the node's kernel. */
  readonly closeNearEnds: (near: readonly LinkRow[]) => Promise<void>;
  readonly report: (error: NetError) => void;
}

interface Waiter {
  readonly resolve: (port: ReadyPort) => void;
  readonly reject: (error: unknown) => void;
}

/** The host end's name from the pod end's, and back. */
export function peerNameOf(hostName: string): string {
  return PEER_PREFIX + hostName.slice(HOST_PREFIX.length);
}

/** The host end's name when this is the name of a pod end. */
export function hostNameOf(peerName: string): string | undefined {
  const name = HOST_PREFIX + peerName.slice(PEER_PREFIX.length);
  return peerName.startsWith(PEER_PREFIX) && isHostName(name) ? name : undefined;
}

/** Is this a name that we give to host ends? */
export function isHostName(name: string): boolean {
  return HOST_NAME.test(name);
}

/** Our mark, alone or with more behind it. */
export function isOurAlias(alias: string | undefined): boolean {
  return alias === LINK_ALIAS || hasFacts(alias);
}

/** Does the alias say whose the port is? */
function hasFacts(alias: string | undefined): boolean {
  return alias?.startsWith(`${LINK_ALIAS} `) === true;
}

/** Opens the pool: adopts ready ports of an earlier run, removes halves that it left, and fills up. */
export async function openPortPool(options: PortPoolOptions): Promise<PortPool> {
  const ready: ReadyPort[] = await adopt(options);
  const waiters: Waiter[] = [];
  let filling: Promise<void> | undefined;
  const ended = new AbortController();
  const trimming = createAlarm(trim, ended.signal);

  async function fill(): Promise<void> {
    while (!ended.signal.aborted && missing() > 0) {
      try {
        for (const port of await makePorts(options, Math.min(missing(), BATCH_MAX))) offer(port);
      } catch (error) {
        const failure = asNetError(error, "make ready ports");
        options.report(failure);
        for (const waiter of waiters.splice(0)) waiter.reject(failure);
        await pause(RETRY_MS, ended.signal);
      }
    }
  }

  function missing(): number {
    return options.target + waiters.length - ready.length;
  }

  function offer(port: ReadyPort): void {
    const waiter = waiters.shift();
    if (waiter === undefined) ready.push(port);
    else waiter.resolve(port);
    trimLater();
  }

  function trimLater(): void {
    if (ready.length > options.target) trimming.anew(options.surplusIdleMs ?? SURPLUS_IDLE_MS);
  }

  function trim(): void {
    const surplus = ready.splice(options.target);
    removePorts(
      options,
      surplus.map(({ name, ifIndex }) => ({ name, ifindex: ifIndex })),
    ).catch((error: unknown) => options.report(asNetError(error, `remove ${surplus.length} spare ports`)));
  }

  /** Somebody may have unplugged a port that waited, and a switch that has started anew gives other numbers. */
  function nextReady(): ReadyPort | undefined {
    const ports = options.ports.read();
    for (let port = ready.shift(); port !== undefined; port = ready.shift()) {
      const present = ports.get(port.name);
      if (present !== undefined) return { ...port, ofport: present.ofport ?? port.ofport };
    }
    return undefined;
  }

  /** The switch is slow while ports are added, so they are added many at a time: when half of them are used up. */
  function refill(): void {
    if (filling !== undefined || ended.signal.aborted || (waiters.length === 0 && ready.length > options.target / 2))
      return;
    filling = fill().finally(() => {
      filling = undefined;
      refill();
    });
  }

  function wait(signal: AbortSignal): Promise<ReadyPort> {
    return new Promise((resolve, reject) => {
      const waiter = { resolve: done(resolve), reject: done(reject) };
      const unlink = onAbort(signal, (reason) => {
        waiters.splice(waiters.indexOf(waiter), 1);
        reject(reason);
      });
      function done<T>(settle: (value: T) => void): (value: T) => void {
        return (value) => {
          unlink();
          settle(value);
        };
      }
      waiters.push(waiter);
    });
  }

  /** Ready ports that the switch has lost are plugged in again; pairs of which an end is gone go. */
  async function repair(): Promise<number> {
    const present = options.ports.read();
    const lost = ready.filter(({ name }) => !present.has(name));
    if (lost.length === 0) return 0;
    ready.splice(0, ready.length, ...ready.filter(({ name }) => present.has(name)));
    const failures = await plugIn(
      options,
      lost.map(({ name }) => name),
    );
    const failed = lost.filter(({ name }) => failures.has(name));
    const plugged = options.ports.read();
    for (const port of lost) {
      const ofport = plugged.get(port.name)?.ofport;
      if (!failures.has(port.name) && ofport !== undefined) offer({ ...port, ofport });
    }
    await removePorts(
      options,
      failed.map(({ name, ifIndex }) => ({ name, ifindex: ifIndex })),
    );
    refill();
    return lost.length - failed.length;
  }

  refill();
  trimLater();
  return {
    repair,
    take: async ({ signal }) => {
      signal.throwIfAborted();
      const port = nextReady();
      const taken = port === undefined ? wait(signal) : port;
      refill();
      return taken;
    },
    giveBack: (port) => offer(port),
    withdraw: (portName) => {
      const index = ready.findIndex(({ name }) => name === portName);
      if (index >= 0) ready.splice(index, 1);
      refill();
    },
    clean: (portName) => markReady(options, portName),
    hasRoom: (comingBack) => !ended.signal.aborted && ready.length + comingBack < options.target * SURPLUS_FACTOR,
    get size() {
      return ready.length;
    },
    [Symbol.asyncDispose]: async () => {
      ended.abort();
      await filling;
    },
  };
}

/** The near ends that were made. Kernels before 6.2 do not echo new links: there they are looked up. */
async function madeEnds({ netlink }: PortPoolOptions, names: readonly string[], echoes: readonly Echoed[]) {
  const echoed = names.map((name, index) => ({ name, link: echoedLink(echoes, index) }));
  if (echoed.every(({ link }) => link !== undefined)) return echoed;
  const found = new Map((await netlink.dump(dumpLinks({ kind: "veth" }))).map((link) => [link.name, link]));
  return names.map((name) => ({ name, link: found.get(name) }));
}

async function makePorts(options: PortPoolOptions, count: number): Promise<readonly ReadyPort[]> {
  const names = Array.from({ length: count }, () => HOST_PREFIX + randomBytes(ID_BYTES).toString("hex"));
  const netnsFd = options.panel.netns.fd;
  const { mtuBytes } = options;
  const pairs = names.map((name) => createVeth({ name, mtuBytes }, { name: peerNameOf(name), netnsFd, mtuBytes }));
  const ends = await madeEnds(options, names, await options.netlink.execute(pairs));
  try {
    await configureEnds(
      options,
      ends.flatMap(({ link }) => link ?? []),
    );
    const failures = await plugIn(options, names);
    for (const failure of failures.values()) throw failure;
  } catch (error) {
    await removePorts(
      options,
      ends.map(({ name, link }) => ({ name, ifindex: link?.ifindex })),
    );
    throw error;
  }
  const ports = options.ports.read();
  return ends.flatMap(({ name, link }) => readyPort(link, ports.get(name)?.ofport) ?? []);
}

function plugIn({ ports }: PortPoolOptions, names: readonly string[]): Promise<Failures> {
  const spec: PortSpec = { kind: "system", externalIds: { [ROLE_MARK]: WARM_ROLE } };
  return ports.apply({ put: new Map(names.map((name) => [name, spec])), remove: new Set() });
}

/** The near end closed, up and with our mark; the far end up, with checksums that a userspace switch can forward. */
async function configureEnds(options: PortPoolOptions, near: readonly LinkRow[]): Promise<void> {
  await options.closeNearEnds(near);
  await options.netlink.execute(near.map(({ ifindex }) => setLink({ ifindex }, { alias: LINK_ALIAS, up: true })));
  const far = near.flatMap(({ peerIfindex }) => peerIfindex ?? []);
  await finishChecksums(options, far);
  // An end that is to move into a pod itself must be down for its new name.
  if (options.panel.podEnd === "macvlan") {
    await options.panel.netlink.execute(far.map((ifindex) => setLink({ ifindex }, { up: true })));
  }
}

async function finishChecksums(options: PortPoolOptions, far: readonly number[]): Promise<void> {
  if (!options.finishChecksums) return;
  using ethtool = openEthtool({ netns: options.panel.netns });
  for (const ifindex of far) await ethtool.disableTxChecksum(ifindex);
}

async function markReady(options: PortPoolOptions, name: string): Promise<ReadyPort> {
  const near = await options.netlink.get(getLink({ name }));
  await clearFacts(options, near);
  if (near.peerIfindex !== undefined) await finishChecksums(options, [near.peerIfindex]); // whatever the last pod's time brought
  const failures = await options.ports.mark(new Map([[name, { [ROLE_MARK]: WARM_ROLE }]]));
  for (const failure of failures.values()) throw failure;
  const port = readyPort(near, options.ports.read().get(name)?.ofport);
  if (port === undefined) throw new NetError("REJECTED", `Port "${name}" is not plugged in any more`);
  return port;
}

/** The kernel forgets whose the port was before the switch's database does: a database restored later is then known to be wrong. */
async function clearFacts({ netlink, panel }: PortPoolOptions, near: LinkRow): Promise<void> {
  if (near.alias !== LINK_ALIAS) await netlink.execute([setLink({ ifindex: near.ifindex }, { alias: LINK_ALIAS })]);
  if (near.peerIfindex !== undefined && panel.podEnd === "macvlan") {
    await panel.netlink.execute([setLink({ ifindex: near.peerIfindex }, { alias: "" })]);
  }
}

function readyPort(near: LinkRow | undefined, ofport: number | undefined): ReadyPort | undefined {
  if (near?.peerIfindex === undefined || ofport === undefined) return undefined;
  return { name: near.name, ifIndex: near.ifindex, peerIfIndex: near.peerIfindex, mtuBytes: near.mtuBytes, ofport };
}

/**
 * Ready ports of an earlier run whose far ends still wait; everything else that is marked ready goes. Pairs that the kernel shows to be a
 * pod's stay, whatever the switch's database says of them.
 */
async function adopt(options: PortPoolOptions): Promise<ReadyPort[]> {
  const far = await options.panel.netlink.dump(dumpLinks({ kind: "veth" }));
  const used = new Set(far.filter(({ alias }) => hasFacts(alias)).map(({ name }) => hostNameOf(name)));
  const near = (await options.netlink.dump(dumpLinks({ kind: "veth" }))).filter(
    ({ name, alias }) => alias === LINK_ALIAS && !used.has(name),
  );
  const waiting = new Set(far.map((link) => link.name));
  const byName = new Map(near.map((link) => [link.name, link]));
  const ports = options.ports.read();
  const adopted: ReadyPort[] = [];
  const halves: Half[] = near.filter((link) => !ports.has(link.name));
  for (const [name, port] of ports) {
    if (port.externalIds[ROLE_MARK] !== WARM_ROLE || used.has(name)) continue;
    const link = byName.get(name);
    const warm = waiting.has(peerNameOf(name)) ? readyPort(link, port.ofport) : undefined;
    if (warm === undefined) halves.push({ name, ifindex: link?.ifindex });
    else adopted.push(warm);
  }
  await removePorts(options, halves);
  return adopted;
}

interface Half {
  readonly name: string;
  readonly ifindex: number | undefined;
}

async function removePorts(options: PortPoolOptions, halves: readonly Half[]): Promise<void> {
  if (halves.length === 0) return;
  const failures = await options.ports.apply({ put: new Map(), remove: new Set(halves.map(({ name }) => name)) });
  for (const failure of failures.values()) options.report(failure); // the links go all the same, and ports without link at the next start
  using deleter = createLinkDeleter({ netns: options.netns });
  await deleter.deleteLinks(halves.flatMap(({ ifindex }) => ifindex ?? []));
}
