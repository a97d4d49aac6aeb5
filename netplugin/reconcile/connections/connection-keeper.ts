import type { TrackedConnection } from "../../../drivers/ovs/conntrack.ts";
import type { CtFilter } from "../../../drivers/ovs/openflow/ct-flush.ts";
import { asNetError, type NetError } from "../../../state/errors.ts";
import { createAlarm } from "../../../state/waiting/alarm.ts";
import { deadline } from "../../../state/waiting/deadline.ts";
import { pause } from "../../../state/waiting/pause.ts";
import { connectionJudge, type StaleConnection, zonesToLookAt } from "../../desired/connections/judge.ts";
import {
  type ConnectionSelector,
  mergeSelectors,
  type Snapshot,
  selectorOf,
} from "../../desired/connections/selector.ts";
import type { Changes } from "../../view/node-view.ts";
import { startTicketLoop } from "../loop/ticket-loop.ts";

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

/**
 * Ends connections that are no longer allowed, and forgets those of endpoints that have left, before their addresses are others'. One
 * listing at a time serves everything that has happened until it begins; what fails is tried again.
 */
export interface ConnectionKeeper {
  /** The switch enforces this snapshot now; `changes` tell how its view differs from the one before. */
  look(snapshot: Snapshot, changes: Changes): void;
  /** Waits until what has been looked at is forgotten, but not for long: failures are tried again behind the caller's back. */
  settled(signal: AbortSignal): Promise<void>;
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

interface Task {
  readonly snapshot: Snapshot;
  readonly selector: ConnectionSelector;
}

export function startConnectionKeeper(options: ConnectionKeeperOptions): ConnectionKeeper {
  const { signal } = options;
  let last: Snapshot | undefined;
  let pending: Task | undefined;
  let isBusy = false;
  let failure: string | undefined;
  let restEndsMs = 0;

  function take(): Task | undefined {
    const task = pending;
    pending = undefined;
    return task;
  }

  function add({ snapshot, selector }: Task): void {
    pending = { snapshot, selector: mergeSelectors(pending?.selector, selector) ?? selector };
  }

  async function work(): Promise<void> {
    await pause(restEndsMs - performance.now(), signal);
    const task = signal.aborted ? undefined : take();
    if (task === undefined) return;
    isBusy = true;
    const startMs = performance.now();
    try {
      await lookThrough(task, options);
      failure = undefined;
    } catch (thrown) {
      add({ ...task, snapshot: last ?? task.snapshot });
      const error = asNetError(thrown, "look for connections that are not allowed any more");
      failure = error.message;
      throw error;
    } finally {
      isBusy = false;
      const endMs = performance.now();
      restEndsMs = endMs + Math.min(endMs - startMs, PAUSE_MAX_MS);
    }
  }

  const loop = startTicketLoop({ work, signal, report: options.report });
  const gathering = createAlarm(() => loop.kick(), signal);

  return {
    look: (snapshot, changes) => {
      const selector = selectorOf(last, snapshot, changes);
      last = snapshot;
      if (selector === undefined) return;
      add({ snapshot, selector });
      if (selector.isUrgent) loop.kick();
      else gathering.soon(options.gatherMs ?? GATHER_MS);
    },
    settled: async (caller) => {
      if (!isBusy && pending?.selector.isUrgent !== true) return;
      using limit = deadline(SETTLE_TIMEOUT_MS, caller);
      await loop.done(limit.signal).catch(() => {}); // the loop reports it and tries again
    },
    failure: () => failure,
    ended: loop.ended,
  };
}

async function lookThrough({ snapshot, selector }: Task, options: ConnectionKeeperOptions): Promise<void> {
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
