import type { TrackedConnection } from "../../../drivers/ovs/conntrack.ts";
import type { CtFilter } from "../../../drivers/ovs/openflow/ct-flush.ts";
import { asNetError, type NetError } from "../../../state/errors.ts";
import { type Alarm, createAlarm } from "../../../state/waiting/alarm.ts";
import { deadline } from "../../../state/waiting/deadline.ts";
import { pause } from "../../../state/waiting/pause.ts";
import { connectionJudge, type StaleConnection, zonesToLookAt } from "../../desired/connections/judge.ts";
import {
  type ConnectionSelector,
  mergeSelectors,
  type Snapshot,
  selectorOf,
} from "../../desired/connections/selector.ts";
import type { ObjectId } from "../../view/messages.ts";
import type { Changes } from "../../view/node-view.ts";
import { startTicketLoop, type TicketLoop } from "../loop/ticket-loop.ts";

export interface ConnectionKeeperOptions {
  /** The datapath's connections, of one zone or all, some at a time. */
  readonly list: (zone: number | undefined, signal: AbortSignal) => AsyncIterable<readonly TrackedConnection[]>;
  readonly forget: (filters: readonly CtFilter[], signal: AbortSignal) => Promise<void>;
  readonly onForgotten: (reason: StaleConnection["reason"], count: number) => void;
  readonly report: (error: NetError) => void;
  readonly signal: AbortSignal;
  /** How long connections of those who have left elsewhere may wait to be looked for together. */
  readonly gatherMs?: number;
}

/** A revision of the view, with the store's epoch that it belongs to. */
export interface ViewRevision {
  readonly revision: bigint;
  readonly epoch: string | undefined;
}

/**
 * Ends connections that are no longer allowed, and forgets those of endpoints that have left, before their addresses are others'. One
 * listing at a time serves everything that has happened until it begins; what fails is tried again.
 */
export interface ConnectionKeeper {
  /** The switch enforces this snapshot, as of `at`; `changes` tell how its view differs from the one before. */
  look(snapshot: Snapshot, changes: Changes, at: ViewRevision): void;
  /** Waits until what has been looked at is forgotten, but not for long: failures are tried again behind the caller's back. */
  settled(signal: AbortSignal): Promise<void>;
  /** Up to where no connection goes on that is not allowed any more, but for those that `failures` tell of. */
  readonly inForce: ViewRevision;
  /** Calls when that has moved on or `failures` have changed. */
  onInForce(listener: () => void): void;
  /** Objects whose change has not ended the connections that it should, because looking for them failed: object → reason. */
  failures(): ReadonlyMap<ObjectId, string>;
  /** Why connections could not be looked at the last time. */
  failure(): string | undefined;
  readonly ended: Promise<void>;
}

/** Addresses are not reused at once, so nobody has to wait for those that are free elsewhere. */
const GATHER_MS = 1_000;
const SETTLE_TIMEOUT_MS = 2_000;
/** After a listing there is a pause as long as it took, up to this: a switch must have time for other things. */
const PAUSE_MAX_MS = 300;
const FORGOTTEN_AT_ONCE = 500;

export function startConnectionKeeper(options: ConnectionKeeperOptions): ConnectionKeeper {
  return new Keeper(options);
}

class Keeper implements ConnectionKeeper {
  readonly #options: ConnectionKeeperOptions;
  readonly #loop: TicketLoop;
  readonly #gathering: Alarm;
  /** What the switch enforces, as told last. */
  #last: { readonly snapshot: Snapshot; readonly at: ViewRevision } | undefined;
  #inForce: ViewRevision = { revision: 0n, epoch: undefined };
  #pending: ConnectionSelector | undefined;
  #busyWith: ConnectionSelector | undefined;
  #failure: string | undefined;
  readonly #failures = new Map<ObjectId, string>();
  #restEndsMs = 0;
  readonly #listeners: (() => void)[] = [];

  constructor(options: ConnectionKeeperOptions) {
    const { signal, report } = options;
    this.#options = options;
    this.#loop = startTicketLoop({ work: () => this.#work(), signal, report });
    this.#gathering = createAlarm(() => this.#loop.kick(), signal);
  }

  get inForce(): ViewRevision {
    return this.#inForce;
  }

  get ended(): Promise<void> {
    return this.#loop.ended;
  }

  onInForce(listener: () => void): void {
    this.#listeners.push(listener);
  }

  failures(): ReadonlyMap<ObjectId, string> {
    return this.#failures;
  }

  failure(): string | undefined {
    return this.#failure;
  }

  look(snapshot: Snapshot, changes: Changes, at: ViewRevision): void {
    const selector = selectorOf(this.#last?.snapshot, snapshot, changes);
    this.#last = { snapshot, at };
    if (selector !== undefined) {
      this.#pending = mergeSelectors(this.#pending, selector);
      if (this.#failure !== undefined) this.#noteFailures(selector, this.#failure);
      if (selector.isUrgent) this.#loop.kick();
      else this.#gathering.soon(this.#options.gatherMs ?? GATHER_MS);
    }
    this.#moveOn(at);
  }

  async settled(caller: AbortSignal): Promise<void> {
    if (this.#busyWith === undefined && this.#pending?.isUrgent !== true) return;
    using limit = deadline(SETTLE_TIMEOUT_MS, caller);
    await this.#loop.done(limit.signal).catch(() => {}); // the loop reports it and tries again
  }

  async #work(): Promise<void> {
    const { signal } = this.#options;
    const restMs = this.#restEndsMs - performance.now();
    if (restMs > 0) await pause(restMs, signal);
    const [selector, last] = [this.#pending, this.#last];
    if (signal.aborted || selector === undefined || last === undefined) return;
    this.#pending = undefined;
    this.#busyWith = selector;
    const startMs = performance.now();
    try {
      await lookThrough(last.snapshot, selector, this.#options);
      this.#busyWith = undefined;
      this.#succeed(selector, last.at);
    } catch (thrown) {
      this.#busyWith = undefined;
      const error = asNetError(thrown, "look for connections that are not allowed any more");
      this.#fail(selector, error.message);
      throw error;
    } finally {
      const endMs = performance.now();
      this.#restEndsMs = endMs + Math.min(endMs - startMs, PAUSE_MAX_MS);
    }
  }

  /** Everything up to the at has been looked through. After a failure the keeper's own is further already. */
  #succeed(selector: ConnectionSelector, at: ViewRevision): void {
    const isFurther = this.#failure !== undefined || this.#pending?.isUrgent !== true;
    this.#failure = undefined;
    for (const id of selector.causes) if (this.#pending?.causes.has(id) !== true) this.#failures.delete(id);
    this.#setInForce(isFurther ? (this.#last?.at ?? at) : at);
  }

  /** Nobody is kept waiting for what may fail for long: it is told instead. */
  #fail(selector: ConnectionSelector, failure: string): void {
    this.#failure = failure;
    this.#pending = mergeSelectors(selector, this.#pending) ?? selector;
    this.#noteFailures(this.#pending, failure);
    if (this.#last !== undefined) this.#moveOn(this.#last.at);
  }

  #noteFailures({ causes }: ConnectionSelector, failure: string): void {
    for (const id of causes) {
      this.#failures.set(
        id,
        `Connections that are not allowed any more may go on while their sender is silent: ${failure}`,
      );
    }
  }

  /** To there, unless connections are to be ended before. */
  #moveOn(at: ViewRevision): void {
    const isOpen = this.#busyWith?.isUrgent === true || this.#pending?.isUrgent === true;
    if (!isOpen || this.#failure !== undefined) this.#setInForce(at);
  }

  #setInForce(at: ViewRevision): void {
    this.#inForce = at;
    for (const listener of this.#listeners) listener();
  }
}

async function lookThrough(
  snapshot: Snapshot,
  selector: ConnectionSelector,
  options: ConnectionKeeperOptions,
): Promise<void> {
  const { signal } = options;
  const zones = zonesToLookAt(snapshot, selector);
  const [only] = zones;
  if (only === undefined) return;
  const judge = connectionJudge(snapshot, selector);
  for await (const some of options.list(zones.size === 1 ? only : undefined, signal)) {
    const stale = await inSlices(judge.judge(some.filter(({ zone }) => zones.has(zone))));
    for (let start = 0; start < stale.length; start += FORGOTTEN_AT_ONCE) {
      await forget(stale.slice(start, start + FORGOTTEN_AT_ONCE), options);
    }
  }
}

async function forget(stale: readonly StaleConnection[], options: ConnectionKeeperOptions): Promise<void> {
  await options.forget(
    stale.map(({ filter }) => filter),
    options.signal,
  );
  for (const reason of ["denied", "departed"] as const) {
    const count = stale.filter((each) => each.reason === reason).length;
    if (count > 0) options.onForgotten(reason, count);
  }
}

/** Lets others run between the steps. */
async function inSlices<T>(steps: Generator<void, T>): Promise<T> {
  for (let step = steps.next(); ; step = steps.next()) {
    if (step.done === true) return step.value;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
