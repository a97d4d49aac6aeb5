import { setImmediate as nextTurn } from "node:timers/promises";
import type { Logger } from "pino";
import { type PackedFlow, tableOf, unpackFlow } from "../../drivers/ovs/openflow/packed-flow.ts";
import { formatFlow } from "../../drivers/ovs/openflow/text.ts";
import type { FlowDelta, FlowDriver } from "../../drivers/ovs/types.ts";
import type { Failures } from "../../state/delta.ts";
import { NetError } from "../../state/errors.ts";
import type { MeterKeeper } from "../bandwidth/meters.ts";
import {
  desiredFlows,
  type FlowSet,
  type FlowSetStep,
  flowCount,
  flowCountOf,
  holderOf,
  newFlowSet,
  ownerOf,
  updateFlowSetInSlices,
  wantsFlow,
} from "../desired/flow-set.ts";
import type { Machine, RefusedObject } from "../desired/machine.ts";
import type { ObjectId } from "../view/messages.ts";
import { type Changes, mergeChanges, NO_CHANGES, type NodeView, type ObjectRef } from "../view/node-view.ts";
import { compareFlows, type Drift } from "./flow-sync.ts";
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
  readonly onApplied?: (delta: FlowDelta, changes: Changes, signal: AbortSignal) => Promise<void>;
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

const DRIFT_LOGGED_MAX = 20;
/** Time for computing before others get their turn. */
const SLICE_MS = 4;
/** Refused bundles of one round: each tells all that the switch cannot read, or the first flow of a full table. */
const ATTEMPTS_MAX = 12;

/** What the switch has, as it says itself: key → deed. */
type PresentFlows = Awaited<ReturnType<FlowDriver["read"]>>;
const NOTHING: PresentFlows = new Map();
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

type Outcome = Refusal | { readonly failures: Failures; readonly installed: FlowSet };

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

  async function compute({ from, view, machine, changes }: Round): Promise<FlowSetStep> {
    const slices = updateFlowSetInSlices(from, { view, changes, machine: { ...machine, refused } });
    for (let turnEndsMs = performance.now() + SLICE_MS; ; ) {
      const slice = slices.next();
      if (slice.done === true) return slice.value;
      if (performance.now() < turnEndsMs) continue;
      await nextTurn();
      turnEndsMs = performance.now() + SLICE_MS;
    }
  }

  /** The new flows of the switch; or, when it refuses some, their failures: then nothing has changed. */
  async function applyStep(step: FlowSetStep, known: FlowSet, signal: AbortSignal): Promise<Outcome> {
    const { set: next, delta } = step;
    const metered = await meteredFlows(packed(delta.put));
    await options.meters.prepare(metered.values(), signal);
    const failures = await options.driver.apply(delta, { signal });
    if (failures.size > 0) return { failures, offered: () => offered(next, delta, (key) => wantsFlow(known, key)) };
    await options.onApplied?.(delta, changing, signal);
    const unmetered = [...delta.put.keys()].filter((key) => !metered.has(key));
    await options.meters.settle({ put: metered, remove: [...delta.remove, ...unmetered] }, signal);
    return { failures, installed: next };
  }

  async function applyAll({ set: next }: FlowSetStep, actual: PresentFlows, signal: AbortSignal): Promise<Outcome> {
    const { delta, drift } = await compareFlows(next, actual);
    const metered = await meteredFlows(desiredFlows(next));
    await options.meters.prepare(metered.values(), signal);
    const failures = await options.driver.apply(delta, { signal });
    if (failures.size > 0) return { failures, offered: () => offered(next, delta, (key) => actual.has(key)) };
    if (!driftExpected) reportDrift(drift, next);
    driftExpected = false;
    await options.onApplied?.(delta, changing, signal);
    await options.meters.settleAll(metered, signal);
    return { failures, installed: next };
  }

  async function readSwitch(signal: AbortSignal): Promise<PresentFlows> {
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

  async function bringUpToDate(round: Round, known: FlowSet | undefined, signal: AbortSignal) {
    const actual = known === undefined ? await readSwitch(signal) : NOTHING;
    for (let attempt = 1; ; attempt += 1) {
      const step = await compute(round);
      const outcome = known === undefined ? await applyAll(step, actual, signal) : await applyStep(step, known, signal);
      if ("installed" in outcome) return { ...outcome, set: step.set, madeRoom: step.delta.remove.size > 0 };
      leaveOut(outcome, attempt);
    }
  }

  function reportDrift(drift: Drift, from: FlowSet): void {
    const count = drift.missing.length + drift.changed.length + drift.foreign.length;
    if (count === 0) return;
    options.onDrift(drift);
    const describe = (packedFlow: PackedFlow) => {
      const flow = unpackFlow(packedFlow);
      return `${ownerOf(from, flow.cookie) ?? "unknown owner"}: ${formatFlow(flow)}`;
    };
    const sample = (flows: readonly PackedFlow[]) => flows.slice(0, DRIFT_LOGGED_MAX).map(describe);
    options.log.warn(
      {
        missingCount: drift.missing.length,
        changedCount: drift.changed.length,
        foreignCount: drift.foreign.length,
        missing: sample(drift.missing),
        changed: sample(drift.changed),
        foreign: sample(drift.foreign),
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
        ({ set, installed } = done);
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

function* offered(from: FlowSet, { put }: FlowDelta, isPresent: (key: string) => boolean): Generator<OfferedFlow> {
  for (const key of put.keys()) yield { key, table: tableOf(key), owner: holderOf(from, key), isNew: !isPresent(key) };
}

function* packed(flows: FlowDelta["put"]): Generator<PackedFlow> {
  for (const [key, deed] of flows) yield { key, deed };
}

/** Undefined when nothing is left. */
function without(refused: Refusals, changes: Changes): Refusals {
  if (refused === undefined || ![...refused.keys()].some((id) => changes.has(id))) return refused;
  const left = new Map([...refused].filter(([id]) => !changes.has(id)));
  return left.size === 0 ? undefined : left;
}
