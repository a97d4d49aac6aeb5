import { setImmediate as nextTurn } from "node:timers/promises";
import type { Logger } from "pino";
import { type FlowDeed, type PackedFlow, tableOf, unpackFlow } from "../../drivers/ovs/openflow/packed-flow.ts";
import { formatFlow } from "../../drivers/ovs/openflow/text.ts";
import type { FlowDelta, FlowDriver } from "../../drivers/ovs/types.ts";
import type { Failures } from "../../state/delta.ts";
import { NetError } from "../../state/errors.ts";
import type { MeterKeeper } from "../bandwidth/meters.ts";
import {
  type ComputedFlowSet,
  deltaInSlices,
  desiredFlows,
  type FlowSet,
  flowCount,
  flowCountOf,
  holderOf,
  newFlowSet,
  ownerOf,
  updateFlowSetInSlices,
  type WantedFlows,
  wantsFlow,
} from "../desired/flow-set.ts";
import type { Machine, RefusedObject } from "../desired/machine.ts";
import type { ObjectId } from "../view/messages.ts";
import { type Changes, mergeChanges, NO_CHANGES, type NodeView, type ObjectRef } from "../view/node-view.ts";
import { beginFlowSync, type Drift } from "./flow-sync.ts";
import type { ChangedFlows } from "./learned-answers.ts";
import { meteredFlows } from "./metered-flows.ts";
import { type OfferedFlow, refusedObjects } from "./refusals.ts";

export interface FlowReconcilerOptions {
  readonly driver: FlowDriver;
  /** Made before the flows that name them, deleted after them. */
  readonly meters: Pick<MeterKeeper, "prepare" | "refresh" | "settle" | "settleAll">;
  readonly generation: number;
  readonly log: Logger;
  readonly view: () => NodeView;
  readonly machine: () => Machine;
  /** Flows that were not as this process had left them, by kind of difference. */
  readonly onDrift: (drift: Drift) => void;
  /** The switch has refused a bundle; so many more objects are left out of the next one. */
  readonly onRefusal: (message: string, objectCount: number) => void;
  /** Flows have been changed, for the sake of these objects (none when they were repaired); before they count as enforced. */
  readonly onApplied?: (flows: ChangedFlows, changes: Changes, signal: AbortSignal) => Promise<void>;
}

/** What the switch enforces, and what differs from the last time that this was known. */
export interface EnforcedStep {
  readonly view: NodeView;
  readonly machine: Machine;
  readonly changes: Changes;
  /** Flows have gone: there may be room for others. */
  readonly madeRoom: boolean;
}

/** Keeps the switch's flows equal to what the view asks for. */
export interface FlowReconciler {
  /** Objects that differ since the last round. */
  touch(changes: Changes): void;
  /** One round; `full` compares everything with what the switch really has. Says what the switch enforces now, if that is known. */
  reconcile(full: boolean, signal: AbortSignal): Promise<EnforcedStep | undefined>;
  /** The switch has started anew: what is missing now is no drift. */
  expectLoss(): void;
  /** The next round offers again what the switch has refused. */
  tryRefused(): void;
  /** How many objects go without flows because the switch refuses them. */
  readonly refusedCount: number;
  readonly flowCount: number;
  /** What could not be turned into flows: object → reason. */
  failures(): ReadonlyMap<string, string>;
  /** Is every flow of this owner (`kind/key`) in the switch, as of the last successful round? */
  isInstalled(owner: string): boolean;
  /** Revision of the view that was enforced last. */
  readonly enforcedRevision: bigint;
}

/** Time for computing before others get their turn. */
const SLICE_MS = 4;
/** Refused bundles of one round: each tells all that the switch cannot read, or the first flow of a full table. */
const ATTEMPTS_MAX = 12;

type Refusals = ReadonlyMap<string, RefusedObject> | undefined;

/** What one round begins from. */
interface Round {
  readonly from: FlowSet;
  readonly view: NodeView;
  readonly machine: Machine;
  readonly changes: Changes;
}

interface Refusal {
  readonly failures: Failures;
  readonly offered: () => Iterable<OfferedFlow>;
}

interface Installed {
  readonly installed: FlowSet;
  /** Flows have gone. */
  readonly madeRoom: boolean;
}

type Outcome = Refusal | Installed;

export function createFlowReconciler(options: FlowReconcilerOptions): FlowReconciler {
  /** What is in the switch, or was wanted last if that is not known. */
  let set: FlowSet = newFlowSet(options.generation);
  let touched = new Map<ObjectId, ObjectRef>();
  /** What the switch has; undefined = not known. */
  let installed: FlowSet | undefined;
  let driftExpected = true;
  let enforcedRevision = 0n;
  let refused: Refusals;
  let wantsRefused = false;
  /** What the present round is about. */
  let changing: Changes = NO_CHANGES;

  /** What is to be enforced next. Objects that have changed may be taken now. */
  function beginRound(): Round {
    const round = { from: set, view: options.view(), machine: options.machine(), changes: touched };
    touched = new Map();
    changing = round.changes;
    refused = wantsRefused ? undefined : without(refused, round.changes);
    wantsRefused = false;
    return round;
  }

  /** Computes what should be, for some milliseconds at a time; `onSlice` is told what is known already. */
  async function compute(
    { from, view, machine, changes }: Round,
    onSlice?: (wanted: WantedFlows) => Promise<void> | undefined,
  ): Promise<ComputedFlowSet> {
    const slices = updateFlowSetInSlices(from, { view, changes, machine: { ...machine, refused } });
    for (let turnEndsMs = performance.now() + SLICE_MS; ; ) {
      const slice = slices.next();
      if (slice.done === true) return slice.value;
      await onSlice?.(slice.value);
      if (performance.now() < turnEndsMs) continue;
      await nextTurn();
      turnEndsMs = performance.now() + SLICE_MS;
    }
  }

  /** One bundle from what is known to be in the switch to what should be. */
  async function applyStep(round: Round, known: FlowSet, signal: AbortSignal): Promise<Outcome> {
    const step = await compute(round);
    const { put, remove } = await inTurns(deltaInSlices(step));
    const metered = await meteredFlows(packed(put));
    await options.meters.prepare(metered.values(), signal);
    using bundle = options.driver.begin({ signal });
    for (const key of remove) bundle.remove(key);
    for (const [key, deed] of put) {
      bundle.put(key, deed);
      if (bundle.isFull) await bundle.room();
    }
    const failures = await bundle.commit();
    if (failures.size > 0)
      return { failures, offered: () => offered(step.set, put.keys(), (key) => wantsFlow(known, key)) };
    await options.onApplied?.({ put: put.keys(), removed: remove }, changing, signal);
    const unmetered = [...put.keys()].filter((key) => !metered.has(key));
    await options.meters.settle({ put: metered, remove: [...remove, ...unmetered] }, signal);
    return { installed: step.set, madeRoom: remove.size > 0 };
  }

  /** One bundle from what the switch says it has to what should be; it is on its way while that is computed. */
  async function applyAll(round: Round, signal: AbortSignal): Promise<Outcome> {
    const actual = await readSwitch(signal);
    using bundle = options.driver.begin({ signal });
    const sync = beginFlowSync(actual, bundle);
    const { set: next } = await compute(round, (wanted) => {
      sync.ahead(wanted);
      return bundle.isFull ? bundle.room() : undefined;
    });
    const metered = await meteredFlows(desiredFlows(next));
    await options.meters.prepare(metered.values(), signal);
    await sync.rest(next);
    const failures = await bundle.commit();
    if (failures.size > 0) {
      const present = await readSwitch(signal);
      return { failures, offered: () => offered(next, sync.put, (key) => present.has(key)) };
    }
    if (!driftExpected) reportDrift(sync.drift, next);
    driftExpected = false;
    await options.onApplied?.(sync, changing, signal);
    await options.meters.settleAll(metered, signal);
    return { installed: next, madeRoom: sync.removed.length > 0 };
  }

  async function readSwitch(signal: AbortSignal): Promise<Map<string, FlowDeed>> {
    const actual = await options.driver.read({ signal });
    await options.meters.refresh(signal);
    return actual;
  }

  /** What the switch refuses is left out, and what depends on it closed, until it takes the rest. */
  function leaveOut({ failures, offered: flows }: Refusal, attempt: number): void {
    const [first] = failures.values();
    const more = refusedObjects(failures, flows());
    if (attempt >= ATTEMPTS_MAX || more.size === 0) throw first ?? new NetError("REJECTED", "Cannot install flows");
    refused = new Map([...(refused ?? []), ...more]);
    options.onRefusal(first?.message ?? "", more.size);
  }

  async function bringUpToDate(round: Round, known: FlowSet | undefined, signal: AbortSignal): Promise<Installed> {
    for (let attempt = 1; ; attempt += 1) {
      const outcome = known === undefined ? await applyAll(round, signal) : await applyStep(round, known, signal);
      if ("installed" in outcome) return outcome;
      leaveOut(outcome, attempt);
    }
  }

  function reportDrift(drift: Drift, from: FlowSet): void {
    const { missing, changed, foreign } = drift;
    if (missing.count + changed.count + foreign.count === 0) return;
    options.onDrift(drift);
    const describe = (packedFlow: PackedFlow) => {
      const flow = unpackFlow(packedFlow);
      return `${ownerOf(from, flow.cookie) ?? "unknown owner"}: ${formatFlow(flow)}`;
    };
    options.log.warn(
      {
        ...{ missingCount: missing.count, changedCount: changed.count, foreignCount: foreign.count },
        missing: missing.sample.map(describe),
        changed: changed.sample.map(describe),
        foreign: foreign.sample.map(describe),
      },
      "flows were not as they should be; repaired",
    );
  }

  return {
    touch: (changes) => {
      for (const [id, ref] of changes) touched.set(id, ref); // in place: a first list comes in hundreds of steps
    },
    reconcile: async (full, signal) => {
      if (!options.view().complete) return undefined; // what is in the switch stays: nothing is known yet
      const round = beginRound();
      const known = full ? undefined : installed;
      installed = undefined; // unknown, should the bundle fail
      try {
        const done = await bringUpToDate(round, known, signal);
        set = done.installed;
        installed = done.installed;
        enforcedRevision = round.view.revision;
        return { ...round, machine: { ...round.machine, refused }, madeRoom: done.madeRoom };
      } catch (error) {
        touched = new Map(mergeChanges(round.changes, touched));
        throw error;
      }
    },
    tryRefused: () => {
      wantsRefused = true;
    },
    get refusedCount() {
      return refused?.size ?? 0;
    },
    expectLoss: () => {
      driftExpected = true;
      wantsRefused = true;
    },
    get flowCount() {
      return installed === undefined ? 0 : flowCount(installed);
    },
    failures: () => new Map(set.failures.entries()),
    isInstalled: (owner) => installed !== undefined && flowCountOf(installed, owner) > 0,
    get enforcedRevision() {
      return enforcedRevision;
    },
  };
}

function* offered(from: FlowSet, put: Iterable<string>, isPresent: (key: string) => boolean): Generator<OfferedFlow> {
  for (const key of put) yield { key, table: tableOf(key), owner: holderOf(from, key), isNew: !isPresent(key) };
}

function* packed(flows: FlowDelta["put"]): Generator<PackedFlow> {
  for (const [key, deed] of flows) yield { key, deed };
}

/** The result of work in slices; others have their turn between them. */
async function inTurns<R>(slices: Generator<unknown, R>): Promise<R> {
  for (;;) {
    const slice = slices.next();
    if (slice.done === true) return slice.value;
    await nextTurn();
  }
}

/** Undefined when nothing is left. */
function without(refused: Refusals, changes: Changes): Refusals {
  if (refused === undefined || ![...refused.keys()].some((id) => changes.has(id))) return refused;
  const left = new Map([...refused].filter(([id]) => !changes.has(id)));
  return left.size === 0 ? undefined : left;
}
