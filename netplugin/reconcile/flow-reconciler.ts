import type { Logger } from "pino";
import type { Flow } from "../../drivers/ovs/openflow/flow.ts";
import { formatFlow } from "../../drivers/ovs/openflow/text.ts";
import type { FlowDelta, FlowDriver } from "../../drivers/ovs/types.ts";
import type { MeterKeeper } from "../bandwidth/meters.ts";
import {
  desiredFlows,
  type FlowSet,
  type FlowSetStep,
  newFlowSet,
  ownerOf,
  updateFlowSetInSlices,
} from "../desired/flow-set.ts";
import type { Machine } from "../desired/machine.ts";
import { type Changes, mergeChanges, NO_CHANGES, type NodeView } from "../view/node-view.ts";
import { compareFlows, type Drift } from "./flow-sync.ts";

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
}

/** What the switch enforces, and what differs from the last time that this was known. */
export interface EnforcedStep {
  readonly view: NodeView;
  readonly machine: Machine;
  readonly changes: Changes;
}

/** Keeps the switch's flows equal to what the view asks for. */
export interface FlowReconciler {
  /** Objects that differ since the last round. */
  touch(changes: Changes): void;
  /** One round; `full` compares everything with what the switch really has. Says what the switch enforces now, if that is known. */
  reconcile(full: boolean, signal: AbortSignal): Promise<EnforcedStep | undefined>;
  /** The switch has started anew: what is missing now is no drift. */
  expectLoss(): void;
  readonly flowCount: number;
  /** What could not be turned into flows: object → reason. */
  failures(): ReadonlyMap<string, string>;
  /** Is every flow of this owner (`kind/key`) in the switch, as of the last successful round? */
  isInstalled(owner: string): boolean;
  /** Revision of the view that was enforced last. */
  readonly enforcedRevision: bigint;
}

const DRIFT_LOGGED_MAX = 20;

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

export function createFlowReconciler(options: FlowReconcilerOptions): FlowReconciler {
  let set: FlowSet = newFlowSet(options.generation);
  let touched: Changes = NO_CHANGES;
  /** What the switch has, as far as this process knows. */
  let installed: ReadonlyMap<string, Flow> | undefined;
  let driftExpected = true;
  let enforcedRevision = 0n;
  /** Since the last round that has succeeded. */
  let unenforced: Changes = NO_CHANGES;

  async function advance(): Promise<FlowSetStep & Pick<EnforcedStep, "view" | "machine">> {
    const [view, machine] = [options.view(), options.machine()];
    const changes = touched;
    touched = NO_CHANGES;
    unenforced = mergeChanges(unenforced, changes);
    const slices = updateFlowSetInSlices(set, { view, changes, machine });
    for (let slice = slices.next(); ; slice = slices.next()) {
      if (slice.done === true) {
        set = slice.value.set;
        return { ...slice.value, view, machine };
      }
      await nextTurn();
    }
  }

  async function applyStep(delta: FlowSetStep["delta"], known: ReadonlyMap<string, Flow>, signal: AbortSignal) {
    const remove = new Map<string, Flow>();
    for (const key of delta.remove) {
      const flow = known.get(key);
      if (flow !== undefined) remove.set(key, flow);
    }
    await options.meters.prepare(delta.put.values(), signal);
    await options.driver.apply({ put: delta.put, remove }, { signal });
    await options.meters.settle({ put: delta.put, remove }, signal);
    return remember(known, { put: delta.put, remove });
  }

  async function applyAll(signal: AbortSignal): Promise<ReadonlyMap<string, Flow>> {
    const wanted = desiredFlows(set);
    const actual = await options.driver.read({ signal });
    await options.meters.refresh(signal);
    const { delta, drift } = await compareFlows(wanted, actual);
    if (!driftExpected) reportDrift(drift);
    driftExpected = false;
    await options.meters.prepare(wanted.values(), signal);
    await options.driver.apply(delta, { signal });
    await options.meters.settleAll(wanted, signal);
    return wanted;
  }

  function reportDrift(drift: Drift): void {
    const count = drift.missing.length + drift.changed.length + drift.foreign.length;
    if (count === 0) return;
    options.onDrift(drift);
    const describe = (flow: Flow) => `${ownerOf(set, flow.cookie) ?? "unknown owner"}: ${formatFlow(flow)}`;
    const sample = (flows: readonly Flow[]) => flows.slice(0, DRIFT_LOGGED_MAX).map(describe);
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
      touched = mergeChanges(touched, changes);
    },
    reconcile: async (full, signal) => {
      if (!options.view().complete) return undefined; // what is in the switch stays: nothing is known yet
      const { delta, view, machine } = await advance();
      const known = installed;
      installed = undefined; // unknown, should the bundle fail
      installed = full || known === undefined ? await applyAll(signal) : await applyStep(delta, known, signal);
      enforcedRevision = view.revision;
      const changes = unenforced;
      unenforced = NO_CHANGES;
      return { view, machine, changes };
    },
    expectLoss: () => {
      driftExpected = true;
    },
    get flowCount() {
      return installed?.size ?? 0;
    },
    failures: () => new Map(set.failures.entries()),
    isInstalled: (owner) => {
      const keys = set.keysByOwner.get(owner as never) ?? [];
      return keys.length > 0 && keys.every((key) => installed?.has(key) === true);
    },
    get enforcedRevision() {
      return enforcedRevision;
    },
  };
}

/** The map is only this module's, so a small change is made in place: a copy would cost what the node holds. */
function remember(known: ReadonlyMap<string, Flow>, { put, remove }: FlowDelta): ReadonlyMap<string, Flow> {
  const next = known as Map<string, Flow>;
  for (const key of remove.keys()) next.delete(key);
  for (const [key, flow] of put) next.set(key, flow);
  return next;
}
