import { NetError } from "../../../state/errors.ts";
import { type LimitChange, type LimitDriver, ROLE_MARK } from "../../driver.ts";
import { isErrno } from "../../netlink/errno.ts";
import { dumpFilters } from "../../netlink/filter.ts";
import type { NetnsHandle } from "../../netlink/netns.ts";
import type { SocketPool } from "../../netlink/pool.ts";
import type { QueueStatistics } from "../../netlink/queue-statistics.ts";
import type { TbfParameters } from "../../netlink/tbf.ts";
import { ifbNameOf, isRedirected, putIfb, removeIfb } from "../../tc/ifb.ts";
import {
  findLink,
  foreignKind,
  isOurTbf,
  putTbf,
  readShapedLinks,
  removeForeign,
  removeTbf,
  type ShapedLinks,
} from "../../tc/qdiscs.ts";
import type { Policing, PortDriver } from "../types.ts";
import type { Panel } from "./panel.ts";
import { peerNameOf, WARM_ROLE } from "./port-pool.ts";
import { BARE_PORT, isSameTbf, type PortState, samePolicing, samePortState } from "./port-state.ts";

export interface PortLimiterOptions {
  readonly ports: PortDriver;
  /** Sockets in the node's namespace. */
  readonly netlink: SocketPool;
  /** Where the far ends are. */
  readonly panel: Pick<Panel, "netlink" | "netns">;
}

type PortChange = LimitChange<PortState>;

/** Counters of what limits a port, where there is something. */
export interface PortQueues {
  readonly near: QueueStatistics | undefined;
  readonly far: QueueStatistics | undefined;
  readonly ifb: QueueStatistics | undefined;
  /** The ingress hook below which the kernel polices: its drops are the policer's. */
  readonly ingress: QueueStatistics | undefined;
}

interface Ends {
  readonly near: number | undefined;
  readonly far: number | undefined;
  /** Known once it has been read: what makes one is an event of the near end, too. */
  readonly ifb?: number | undefined;
}

/** What ports carry: shapers of both ends and of an ifb, and policing. */
export class PortLimiter implements LimitDriver<PortState> {
  readonly bare = BARE_PORT;
  readonly isSame = samePortState;
  readonly watched: readonly (NetnsHandle | undefined)[];
  readonly #options: PortLimiterOptions;
  readonly #ends = new Map<string, Ends>();
  #byIfindex: ReadonlyMap<number, readonly string[]> | undefined;

  constructor(options: PortLimiterOptions) {
    this.#options = options;
    this.watched = [undefined, options.panel.netns];
  }

  isInDatabase({ policing }: PortState): boolean {
    return policing !== undefined;
  }

  isForeign({ foreign }: PortState): boolean {
    return foreign !== undefined;
  }

  spare(): readonly string[] {
    const ports = [...this.#options.ports.read().values()];
    return ports.filter(({ externalIds }) => externalIds[ROLE_MARK] === WARM_ROLE).map(({ name }) => name);
  }

  /** Policing is verified in the kernel where it is wanted. */
  async read(wanted: ReadonlyMap<string, PortState>, signal: AbortSignal): Promise<ReadonlyMap<string, PortState>> {
    const [node, panel] = await this.#shaped(signal);
    const states = new Map<string, PortState>();
    for (const [portName, want] of wanted) {
      this.#remember(portName, {
        near: node.ifindexes.get(portName),
        far: panel.ifindexes.get(peerNameOf(portName)),
        ifb: node.ifindexes.get(ifbNameOf(portName)),
      });
      states.set(portName, await readPort(this.#options, { portName, want, node, panel }));
    }
    return states;
  }

  async change(change: PortChange, signal: AbortSignal): Promise<void> {
    await changePort(this.#options, change, { ends: await this.#endsOf(change.key), signal });
  }

  /** Counters of the shapers of ports that were read or changed before. */
  async queues(portNames: readonly string[], signal: AbortSignal): Promise<ReadonlyMap<string, PortQueues>> {
    const [node, panel] = await this.#shaped(signal);
    return new Map(portNames.map((portName) => [portName, queuesOf(portName, node, panel)]));
  }

  placesOf(ifindex: number): readonly string[] {
    this.#byIfindex ??= portsByIfindex(this.#ends);
    return this.#byIfindex.get(ifindex) ?? [];
  }

  async note(portName: string): Promise<void> {
    if (!this.#ends.has(portName)) await this.#endsOf(portName);
  }

  async forget(portNames: Iterable<string>): Promise<void> {
    const { netlink } = this.#options;
    for (const portName of portNames) {
      this.#ends.delete(portName);
      if ((await findLink(netlink, ifbNameOf(portName))) !== undefined) await removeIfb(netlink, portName, undefined);
    }
    this.#byIfindex = undefined;
  }

  #shaped(signal: AbortSignal): Promise<[ShapedLinks, ShapedLinks]> {
    const { netlink, panel } = this.#options;
    return Promise.all([readShapedLinks(netlink, signal), readShapedLinks(panel.netlink, signal)]);
  }

  #remember(portName: string, found: Ends): Ends {
    this.#ends.set(portName, found);
    this.#byIfindex = undefined;
    return found;
  }

  async #endsOf(portName: string): Promise<Ends> {
    const known = this.#ends.get(portName);
    if (known?.near !== undefined && known.far !== undefined) return known;
    const { netlink, panel } = this.#options;
    const [near, far] = await Promise.all([findLink(netlink, portName), findLink(panel.netlink, peerNameOf(portName))]);
    return this.#remember(portName, { near, far });
  }
}

function portsByIfindex(ends: ReadonlyMap<string, Ends>): ReadonlyMap<number, readonly string[]> {
  const ports = new Map<number, string[]>();
  for (const [portName, { near, far, ifb }] of ends) {
    for (const ifindex of [near, far, ifb]) {
      if (ifindex !== undefined) ports.set(ifindex, [...(ports.get(ifindex) ?? []), portName]);
    }
  }
  return ports;
}

function queuesOf(portName: string, node: ShapedLinks, panel: ShapedLinks): PortQueues {
  const root = ({ ifindexes, roots }: ShapedLinks, name: string) => roots.get(ifindexes.get(name) ?? 0)?.statistics;
  return {
    near: root(node, portName),
    far: root(panel, peerNameOf(portName)),
    ifb: root(node, ifbNameOf(portName)),
    ingress: node.hooks.get(node.ifindexes.get(portName) ?? 0)?.statistics,
  };
}

interface ReadParts {
  readonly portName: string;
  readonly want: PortState;
  readonly node: ShapedLinks;
  readonly panel: ShapedLinks;
}

async function readPort(options: PortLimiterOptions, { portName, want, node, panel }: ReadParts): Promise<PortState> {
  const near = node.ifindexes.get(portName);
  const told = options.ports.read().get(portName)?.policing;
  const isIdle =
    want.policing !== undefined && near !== undefined && !(await polices(options.netlink, near, want.policing));
  return {
    near: shaperOf(node, portName),
    far: shaperOf(panel, peerNameOf(portName)),
    ifb: await readIfb(options, portName, node),
    policing: isIdle ? undefined : told,
    ...foreignOf(foreignKindOf(node, portName), foreignKindOf(panel, peerNameOf(portName))),
  };
}

function foreignKindOf({ ifindexes, roots }: ShapedLinks, name: string): string | undefined {
  return foreignKind(roots.get(ifindexes.get(name) ?? 0));
}

function foreignOf(near: string | undefined, far: string | undefined): Pick<PortState, "foreign"> {
  if (near === undefined && far === undefined) return {};
  return { foreign: { ...(near === undefined ? {} : { near }), ...(far === undefined ? {} : { far }) } };
}

function shaperOf({ ifindexes, roots }: ShapedLinks, name: string): TbfParameters | undefined {
  const row = roots.get(ifindexes.get(name) ?? 0);
  return row !== undefined && isOurTbf(row) ? row.tbf : undefined;
}

async function readIfb({ netlink }: PortLimiterOptions, portName: string, node: ShapedLinks) {
  const name = ifbNameOf(portName);
  const [near, ifb] = [node.ifindexes.get(portName), node.ifindexes.get(name)];
  if (near === undefined || ifb === undefined || !(await isRedirected(netlink, near, ifb))) return undefined;
  return shaperOf(node, name);
}

interface ChangeContext {
  readonly ends: Ends;
  readonly signal: AbortSignal;
}

async function changePort(
  options: PortLimiterOptions,
  change: PortChange,
  { ends, signal }: ChangeContext,
): Promise<void> {
  const { key: portName, before, after } = change;
  const { netlink, panel } = options;
  const { near: onNear, far: onFar } = before.foreign ?? {};
  if (onNear !== undefined && ends.near !== undefined) await removeForeign(netlink, ends.near);
  if (onFar !== undefined && ends.far !== undefined) await removeForeign(panel.netlink, ends.far);
  await Promise.all([
    changeTbf(netlink, { name: portName, ifindex: ends.near, before: before.near, after: after.near }),
    changeTbf(panel.netlink, { name: peerNameOf(portName), ifindex: ends.far, before: before.far, after: after.far }),
  ]);
  if (after.ifb !== undefined && !isSameTbf(after.ifb, before.ifb)) {
    await putIfb(netlink, { portName, ifindex: present(portName, ends.near) }, after.ifb);
  } else if (after.ifb === undefined && before.ifb !== undefined) await removeIfb(netlink, portName, ends.near);
  if (!samePolicing(before.policing, after.policing)) await police(options, change, { ends, signal });
}

interface TbfChange {
  readonly name: string;
  readonly ifindex: number | undefined;
  readonly before: TbfParameters | undefined;
  readonly after: TbfParameters | undefined;
}

async function changeTbf(netlink: SocketPool, { name, ifindex, before, after }: TbfChange): Promise<void> {
  if (isSameTbf(after, before)) return;
  if (after !== undefined) await putTbf(netlink, present(name, ifindex), after);
  else if (ifindex !== undefined) await removeTbf(netlink, ifindex);
}

function present(name: string, ifindex: number | undefined): number {
  if (ifindex !== undefined) return ifindex;
  throw new NetError("UNAVAILABLE", `Cannot limit link "${name}": it does not exist (any more)`);
}

/** The switch acts on changes only: where it has been told already and the kernel's filter is gone, it is told anew. */
async function police(options: PortLimiterOptions, change: PortChange, { ends, signal }: ChangeContext): Promise<void> {
  const { key: portName, after } = change;
  const told = options.ports.read().get(portName)?.policing;
  if (after.policing !== undefined && samePolicing(told, after.policing))
    await tell(options, portName, undefined, signal);
  await tell(options, portName, after.policing, signal);
  if (after.policing === undefined) return;
  if (await polices(options.netlink, present(portName, ends.near), after.policing)) return;
  const text = `Open vSwitch was told to police port "${portName}", but the kernel has no such filter on it; see ovs-vswitchd.log`;
  throw new NetError("REJECTED", text);
}

async function tell(
  { ports }: PortLimiterOptions,
  portName: string,
  policing: Policing | undefined,
  signal: AbortSignal,
): Promise<void> {
  const failures = await ports.police(new Map([[portName, policing]]), { signal });
  for (const failure of failures.values()) throw failure;
}

const BYTES_PER_KBIT = 125;
/** The kernel tells rates as it keeps them. */
const RATE_TOLERANCE = 0.001;

/** Has the kernel a filter on the port that polices at that rate? */
async function polices(netlink: SocketPool, ifindex: number, { rateKbitPerSecond }: Policing): Promise<boolean> {
  const filters = await netlink.dump(dumpFilters({ ifindex })).catch((error: unknown) => {
    if (isErrno(error, "EINVAL", "ENOENT", "ENODEV")) return []; // no ingress qdisc
    throw error;
  });
  const wanted = rateKbitPerSecond * BYTES_PER_KBIT;
  return filters.some(({ actions }) =>
    actions.some(
      (each) => each.kind === "police" && Math.abs(each.rateBytesPerSecond - wanted) <= wanted * RATE_TOLERANCE,
    ),
  );
}
