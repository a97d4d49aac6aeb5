import type { Logger } from "pino";
import type { LimitDriver } from "../../../drivers/driver.ts";
import { asNetError, NetError } from "../../../state/errors.ts";
import { type Alarm, createAlarm } from "../../../state/waiting/alarm.ts";
import { attachedLimits, type LimitedNode, leaseOf } from "../../desired/limits/attached-limits.ts";
import { ceilingNotes } from "../../desired/limits/ceilings.ts";
import {
  concernsLimits,
  type EndpointLimits,
  type LimitSources,
  limitChanges,
} from "../../desired/limits/endpoint-limits.ts";
import { type LimitPlan, metersOfPlan, NO_LIMITS } from "../../desired/limits/limit-plan.ts";
import { type Attachment, POD_ROLE } from "../../machine/attachment.ts";
import type { LimitMeans } from "../../machine/limit-means.ts";
import type { Changes, NodeView } from "../../view/node-view.ts";
import type { MeterKeeper } from "../flows/meters.ts";
import { startTicketLoop, type TicketLoop } from "../loop/ticket-loop.ts";

/** What a driver keeps on the machine for one port. */
type Carried = EndpointLimits["port"];

export interface LimitKeeperOptions {
  readonly limiter: LimitDriver<Carried>;
  readonly meters: Pick<MeterKeeper, "put">;
  readonly view: () => NodeView;
  readonly attachments: () => ReadonlyMap<string, Attachment>;
  /** Undefined until they have been probed. */
  readonly means: () => LimitMeans | undefined;
  readonly isConnected: () => boolean;
  /** A port was not as this process had left it. */
  readonly onRepair: () => void;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** What one endpoint's limits are on this node, and whether they are in force. */
export interface LimitStatus {
  readonly plan: LimitPlan;
  readonly portName: string;
  readonly ofport: number | undefined;
  /** Why they are not in force (yet). */
  readonly failure: string | undefined;
}

/** Keeps every pod's port limited as the view says. */
export interface LimitKeeper {
  readonly loop: TicketLoop;
  /** Objects of the view have changed. */
  onView(changes: Changes): void;
  /** The database has changed: somebody may have taken policing away. */
  onPorts(): void;
  /** Links have changed, and of some of them qdiscs. */
  onLinks(ifindexes: ReadonlySet<number>, withQdiscs: ReadonlySet<number>): void;
  /**
   * Waits until the endpoint's limits are in force, confirmed by kernel and switch. What cannot be is logged, or an error when its
   * profile is strict.
   */
  enforced(endpointKey: string, signal: AbortSignal): Promise<void>;
  /** Limits of the endpoints that have some, by endpoint key. */
  statuses(): ReadonlyMap<string, LimitStatus>;
}

const RETRY_MS = 2_000;
/** Ports that are changed at a time: each takes two of the netlink sockets' waiting places. */
const PORTS_AT_ONCE = 128;

export function startLimitKeeper(options: LimitKeeperOptions): LimitKeeper {
  return new Keeper(options);
}

class Keeper implements LimitKeeper {
  readonly loop: TicketLoop;
  readonly #options: LimitKeeperOptions;
  /** What each port carries, as far as this process knows. */
  readonly #carried = new Map<string, Carried>();
  readonly #statuses = new Map<string, LimitStatus>();
  readonly #dirty = new Set<string>();
  /** What limits follow from, when it was last found out whose have changed; undefined: everybody's may have. */
  #compared: LimitSources | undefined;
  /** Netprofiles, groups or tenants have changed since. */
  #isOutdated = false;
  readonly #retry: Alarm;

  constructor(options: LimitKeeperOptions) {
    this.#options = options;
    this.loop = startTicketLoop({
      work: (full, signal) => this.#work(full, signal),
      signal: options.signal,
      report: (error) =>
        options.log.error({ error: error.message }, "Bandwidth limits cannot be applied; netplugin tries again"),
    });
    this.#retry = createAlarm(() => this.loop.kick({ full: true }), options.signal);
  }

  onView(changes: Changes): void {
    for (const { kind, key } of changes.values()) {
      if (kind === "endpoint") this.#touch(key);
    }
    this.#isOutdated ||= concernsLimits(changes);
    if (!this.#isOutdated && this.#compared !== undefined) this.#compared = this.#sources(); // an old view is not held on to
    if (this.#isOutdated || this.#dirty.size > 0) this.loop.kick();
  }

  onPorts(): void {
    const { limiter } = this.#options;
    const isConcerned = [...this.#carried.values()].some((state) => limiter.isInDatabase(state));
    if (isConcerned || this.#hasUnused()) this.loop.kick({ full: isConcerned });
  }

  /** Links of pods without limits change with each ADD and DEL: of them only qdiscs are looked at. */
  onLinks(ifindexes: ReadonlySet<number>, withQdiscs: ReadonlySet<number>): void {
    const { limiter } = this.#options;
    const isLimited = (portName: string) => !this.#isBare(this.#carried.get(portName));
    const isOurs = (ifindex: number) => {
      const ports = limiter.placesOf(ifindex);
      return withQdiscs.has(ifindex) ? ports.length > 0 : ports.some(isLimited);
    };
    if ([...ifindexes].some(isOurs)) this.loop.kick({ full: true });
  }

  async enforced(endpointKey: string, signal: AbortSignal): Promise<void> {
    const { plan } = attachedLimits(this.#node(), endpointKey);
    const portName = this.#options.attachments().get(endpointKey)?.portName ?? "";
    if (plan === NO_LIMITS && this.#isBare(this.#carried.get(portName))) return;
    refuseShortfall(plan);
    this.#touch(endpointKey);
    await this.loop.done(signal);
    const failure = this.#statuses.get(endpointKey)?.failure;
    if (failure !== undefined && plan.isStrict)
      throw new NetError("REJECTED", `Its bandwidth limit is not in force: ${failure}`);
  }

  statuses(): ReadonlyMap<string, LimitStatus> {
    return this.#statuses;
  }

  #sources(): LimitSources {
    return { view: this.#options.view(), means: this.#options.means() };
  }

  #node(): LimitedNode {
    return { ...this.#sources(), attachments: this.#options.attachments() };
  }

  async #work(full: boolean, signal: AbortSignal): Promise<void> {
    if (this.#options.means() === undefined || !this.#options.view().complete || !this.#options.isConnected()) return; // told again when they are
    const keys = this.#takeDirty(full);
    await this.#stripUnused(full, signal);
    const targets = keys.flatMap((key) => this.#targetOf(key) ?? []);
    if (full)
      await this.#readStates(
        new Map(targets.map(({ attachment, limits }) => [attachment.portName, limits.port])),
        signal,
      );
    for (let start = 0; start < targets.length; start += PORTS_AT_ONCE) {
      await this.#bringAll(targets.slice(start, start + PORTS_AT_ONCE), signal);
    }
    this.#retryFailed();
  }

  /** Whom this round is about. */
  #takeDirty(full: boolean): readonly string[] {
    const node = this.#node();
    const before = this.#compared;
    if (before !== undefined && this.#isOutdated && !full) {
      const pods = podKeys(node.attachments);
      const endpoints = pods.flatMap((key) => leaseOf(node, key) ?? []);
      for (const { endpoint } of limitChanges(before, node, endpoints)) this.#dirty.add(endpoint.key);
      for (const key of pods) if (!this.#isSettled(node, key)) this.#dirty.add(key);
    }
    const keys = before === undefined || full ? podKeys(node.attachments) : [...this.#dirty];
    this.#dirty.clear();
    this.#compared = this.#sources();
    this.#isOutdated = false;
    return keys;
  }

  /** Is it known what the port carries, and that it is as wanted? */
  #isSettled({ attachments }: LimitedNode, endpointKey: string): boolean {
    const isKnown = this.#carried.has(attachments.get(endpointKey)?.portName ?? "");
    return isKnown && this.#statuses.get(endpointKey)?.failure === undefined;
  }

  #targetOf(endpointKey: string): Target | undefined {
    const node = this.#node();
    const attachment = node.attachments.get(endpointKey);
    if (attachment?.role !== POD_ROLE || leaseOf(node, endpointKey) === undefined) return undefined;
    return { attachment, limits: attachedLimits(node, endpointKey) };
  }

  /** Ports are used again: what a pod's port carried must not be there for the next one. */
  async #stripUnused(full: boolean, signal: AbortSignal): Promise<void> {
    const used = new Set([...this.#options.attachments().values()].map(({ portName }) => portName));
    for (const key of this.#statuses.keys()) if (!this.#options.attachments().has(key)) this.#statuses.delete(key);
    const { limiter } = this.#options;
    if (full) await this.#readStates(new Map(limiter.spare().map((portName) => [portName, limiter.bare])), signal);
    const unused = [...this.#carried].filter(([portName]) => !used.has(portName));
    for (const [portName, before] of unused) {
      this.#carried.delete(portName);
      if (this.#isBare(before)) continue;
      await limiter.change({ key: portName, before, after: limiter.bare }, signal).catch((error: unknown) => {
        if (limiter.spare().includes(portName)) throw error; // else it is gone, and its limits with it
      });
    }
    await limiter.forget(unused.map(([portName]) => portName));
  }

  async #readStates(wanted: ReadonlyMap<string, Carried>, signal: AbortSignal): Promise<void> {
    if (wanted.size === 0) return;
    const { limiter } = this.#options;
    for (const [portName, state] of await limiter.read(wanted, signal)) {
      const before = this.#carried.get(portName);
      const isChanged = before !== undefined && !limiter.isSame(before, state);
      if (isChanged || limiter.isForeign(state)) this.#tellRepair(portName, before, state);
      this.#carried.set(portName, state);
    }
  }

  #tellRepair(portName: string, before: Carried | undefined, found: Carried): void {
    this.#options.onRepair();
    this.#options.log.warn(
      { port: portName, before, found },
      "Bandwidth limits of a port were not as they should be; they are repaired",
    );
  }

  /** The meters of all with one message sequence; each port for itself. */
  async #bringAll(targets: readonly Target[], signal: AbortSignal): Promise<void> {
    const meters = targets.flatMap(({ attachment, limits }) => metersOfPlan(limits.plan, attachment.ofport));
    const byId = new Map(meters.map((meter) => [meter.id, meter])); // pods of one group name the same ceilings
    const metered = await this.#options.meters.put([...byId.values()], signal).then(
      () => undefined,
      (error: unknown) => asNetError(error, "set meters").message,
    );
    await Promise.all(targets.map((target) => this.#bring(target, { metered, signal })));
  }

  async #bring({ attachment, limits: { plan, port } }: Target, { metered, signal }: BringContext): Promise<void> {
    const { endpointKey, portName, ofport } = attachment;
    const { limiter } = this.#options;
    const before = this.#carried.get(portName) ?? limiter.bare;
    let failure = metersOfPlan(plan, ofport).length > 0 ? metered : undefined;
    if (!limiter.isSame(before, port)) {
      try {
        await limiter.change({ key: portName, before, after: port }, signal);
        this.#carried.set(portName, port);
      } catch (error) {
        signal.throwIfAborted();
        this.#carried.delete(portName); // unknown now: a full round finds out
        failure = asNetError(error, `limit port "${portName}"`).message;
      }
    } else this.#noteBare(portName, before);
    this.#note(endpointKey, { plan, portName, ofport, failure });
  }

  /** Events of a port without limits count, too: somebody may slow it down. No ADD waits for it. */
  #noteBare(portName: string, before: Carried): void {
    if (this.#carried.has(portName)) return;
    this.#carried.set(portName, before);
    this.#options.limiter.note(portName).catch(() => {}); // found with the regular comparison, then
  }

  #note(endpointKey: string, status: LimitStatus): void {
    const { plan, failure } = status;
    const before = this.#statuses.get(endpointKey);
    if (plan === NO_LIMITS && failure === undefined) this.#statuses.delete(endpointKey);
    else this.#statuses.set(endpointKey, status);
    const complaint = complaintOf(status);
    if (complaint === undefined || complaint === (before && complaintOf(before))) return;
    this.#options.log.warn(
      { endpoint: endpointKey, port: status.portName, reason: complaint },
      "A bandwidth limit is not as asked for",
    );
  }

  #retryFailed(): void {
    const hasFailed = [...this.#statuses.values()].some(({ failure }) => failure !== undefined);
    if (hasFailed) this.#retry.anew(RETRY_MS);
    else this.#retry.cancel();
  }

  #hasUnused(): boolean {
    if (this.#carried.size === 0) return false;
    const used = new Set([...this.#options.attachments().values()].map(({ portName }) => portName));
    return [...this.#carried].some(([portName, state]) => !used.has(portName) && !this.#isBare(state));
  }

  #isBare(state: Carried | undefined): boolean {
    const { limiter } = this.#options;
    return state === undefined || limiter.isSame(state, limiter.bare);
  }

  #touch(endpointKey: string): void {
    if (this.#options.attachments().has(endpointKey)) this.#dirty.add(endpointKey);
  }
}

interface Target {
  readonly attachment: Attachment;
  readonly limits: EndpointLimits;
}

interface BringContext {
  /** Why meters could not be set; undefined when they were. */
  readonly metered: string | undefined;
  readonly signal: AbortSignal;
}

function podKeys(attachments: ReadonlyMap<string, Attachment>): readonly string[] {
  return [...attachments].filter(([, { role }]) => role === POD_ROLE).map(([key]) => key);
}

/** Everything about an endpoint's limits that is not as the admin wrote it. */
export function complaintOf({ plan, failure }: Pick<LimitStatus, "plan" | "failure">): string | undefined {
  const own = [...(plan.podIngress?.notes ?? []), ...(plan.podEgress?.notes ?? [])];
  const notes = [...own, ...plan.ceilings.flatMap(ceilingNotes)];
  const all = [...(failure === undefined ? [] : [failure]), ...plan.shortfalls, ...notes];
  return all.length === 0 ? undefined : all.join("; ");
}

function refuseShortfall({ isStrict, shortfalls }: LimitPlan): void {
  if (!isStrict || shortfalls.length === 0) return;
  throw new NetError("UNSUPPORTED", `This node cannot honour the strict netprofile: ${shortfalls.join("; ")}`, {
    reason: "limit-unsupported",
  });
}
