import { setImmediate as nextTurn } from "node:timers/promises";
import type { Logger } from "pino";
import type { Flow } from "../../../drivers/ovs/openflow/flow.ts";
import { type FlowDeed, type PackedFlow, tableOf, unpackFlow } from "../../../drivers/ovs/openflow/packed-flow.ts";
import { formatFlow } from "../../../drivers/ovs/openflow/text.ts";
import type { FlowDelta, FlowDriver } from "../../../drivers/ovs/types.ts";
import type { Failures } from "../../../state/delta.ts";
import type { NetError } from "../../../state/errors.ts";
import {
  type ComputedFlowSet,
  deltaInSlices,
  desiredFlows,
  type FlowSet,
  holderOf,
  ownerOf,
  updateFlowSetInSlices,
  type WantedFlows,
  wantsFlow,
} from "../../desired/flow-set/flow-set.ts";
import type { Machine } from "../../machine/machine.ts";
import type { Changes, NodeView } from "../../view/node-view.ts";
import { beginFlowSync, type Drift } from "./flow-sync.ts";
import type { ChangedFlows } from "./learned-answers.ts";
import { meteredFlows } from "./metered-flows.ts";
import { type MeterKeeper, metersOf } from "./meters.ts";
import type { OfferedFlow } from "./refusals.ts";

export interface FlowApplierOptions {
  readonly driver: FlowDriver;
  /** Made before the flows that name them, deleted after them. */
  readonly meters: Pick<MeterKeeper, "prepare" | "refresh" | "settle" | "settleAll">;
  readonly log: Logger;
  /** Flows that were not as this process had left them, by kind of difference. */
  readonly onDrift: (drift: Drift) => void;
  /** Flows have been changed, for the sake of these objects (none when they were repaired); before they count as enforced. */
  readonly onApplied?: (flows: ChangedFlows, changes: Changes, signal: AbortSignal) => Promise<void>;
}

/** What one round begins from. */
export interface Round {
  readonly from: FlowSet;
  readonly view: NodeView;
  /** With what the switch refuses. */
  readonly machine: Machine;
  readonly changes: Changes;
}

/** The switch has refused flows, and is as it was. */
export interface Refusal {
  readonly failures: Failures;
  readonly offered: () => Iterable<OfferedFlow>;
}

/** The switch has the new flows. */
export interface Installed {
  readonly installed: FlowSet;
  /** Flows have gone: there may be room for others. */
  readonly madeRoom: boolean;
}

export type Outcome = Refusal | Installed;

/** Time for computing before others get their turn. */
const SLICE_MS = 4;
const NO_FAILURES: Failures = new Map();

/** Computes what should be and brings the switch there, by one bundle. */
export class FlowApplier {
  readonly #options: FlowApplierOptions;
  #isDriftExpected = true;

  constructor(options: FlowApplierOptions) {
    this.#options = options;
  }

  /** The switch has started anew: what is missing now is no drift. */
  expectLoss(): void {
    this.#isDriftExpected = true;
  }

  /** From what is known to be in the switch. */
  async step(round: Round, known: FlowSet, signal: AbortSignal): Promise<Outcome> {
    const { driver, meters, onApplied } = this.#options;
    const step = await compute(round);
    const { put, remove } = await inTurns(deltaInSlices(step));
    const metered = await meteredFlows(packed(put));
    const unmetered = await this.#prepareMeters(metered, signal);
    if (unmetered.size > 0) return refusal(step.set, unmetered);
    using bundle = driver.begin({ signal });
    for (const key of remove) bundle.remove(key);
    for (const [key, deed] of put) {
      bundle.put(key, deed);
      if (bundle.isFull) await bundle.room();
    }
    const failures = await bundle.commit();
    if (failures.size > 0) {
      return { failures, offered: () => offered(step.set, put.keys(), (key) => wantsFlow(known, key)) };
    }
    await onApplied?.({ put: put.keys(), removed: remove }, round.changes, signal);
    const plain = [...put.keys()].filter((key) => !metered.has(key));
    await meters.settle({ put: metered, remove: [...remove, ...plain] }, signal);
    return { installed: step.set, madeRoom: remove.size > 0 };
  }

  /** From what the switch says it has; the bundle is on its way while the rest is computed. */
  async all(round: Round, signal: AbortSignal): Promise<Outcome> {
    const actual = await this.#readSwitch(signal);
    using bundle = this.#options.driver.begin({ signal });
    const sync = beginFlowSync(actual, bundle);
    const { set: next } = await compute(round, (wanted) => {
      sync.ahead(wanted);
      return bundle.isFull ? bundle.room() : undefined;
    });
    const metered = await meteredFlows(desiredFlows(next));
    const unmetered = await this.#prepareMeters(metered, signal);
    if (unmetered.size > 0) return refusal(next, unmetered);
    await sync.rest(next);
    const failures = await bundle.commit();
    if (failures.size > 0) {
      const present = await this.#readSwitch(signal);
      return { failures, offered: () => offered(next, sync.put, (key) => present.has(key)) };
    }
    if (!this.#isDriftExpected) this.#reportDrift(sync.drift, next);
    this.#isDriftExpected = false;
    await this.#options.onApplied?.(sync, round.changes, signal);
    await this.#options.meters.settleAll(metered, signal);
    return { installed: next, madeRoom: sync.removed.length > 0 };
  }

  /** Flows whose meters the switch refuses, with its reason. */
  async #prepareMeters(metered: ReadonlyMap<string, Flow>, signal: AbortSignal): Promise<Failures> {
    const refused = await this.#options.meters.prepare(metered.values(), signal);
    if (refused.size === 0) return NO_FAILURES;
    const failures = new Map<string, NetError>();
    for (const [key, flow] of metered) {
      const id = metersOf([flow]).find((each) => refused.has(each));
      const failure = id === undefined ? undefined : refused.get(id);
      if (failure !== undefined) failures.set(key, failure);
    }
    return failures;
  }

  async #readSwitch(signal: AbortSignal): Promise<Map<string, FlowDeed>> {
    const actual = await this.#options.driver.read({ signal });
    await this.#options.meters.refresh(signal);
    return actual;
  }

  #reportDrift(drift: Drift, from: FlowSet): void {
    const { missing, changed, foreign } = drift;
    if (missing.count + changed.count + foreign.count === 0) return;
    this.#options.onDrift(drift);
    const describe = (packedFlow: PackedFlow) => {
      const flow = unpackFlow(packedFlow);
      return `${ownerOf(from, flow.cookie) ?? "unknown owner"}: ${formatFlow(flow)}`;
    };
    this.#options.log.warn(
      {
        ...{ missingCount: missing.count, changedCount: changed.count, foreignCount: foreign.count },
        missing: missing.sample.map(describe),
        changed: changed.sample.map(describe),
        foreign: foreign.sample.map(describe),
      },
      "Flows were not as they should be; they are repaired",
    );
  }
}

/** Computes what should be, for some milliseconds at a time; `onSlice` is told what is known already. */
async function compute(
  { from, view, machine, changes }: Round,
  onSlice?: (wanted: WantedFlows) => Promise<void> | undefined,
): Promise<ComputedFlowSet> {
  const slices = updateFlowSetInSlices(from, { view, changes, machine });
  for (let turnEndsMs = performance.now() + SLICE_MS; ; ) {
    const slice = slices.next();
    if (slice.done === true) return slice.value;
    const sending = onSlice?.(slice.value);
    if (sending !== undefined) await sending;
    if (performance.now() < turnEndsMs) continue;
    await nextTurn();
    turnEndsMs = performance.now() + SLICE_MS;
  }
}

function* offered(from: FlowSet, put: Iterable<string>, isPresent: (key: string) => boolean): Generator<OfferedFlow> {
  for (const key of put) yield { key, table: tableOf(key), owner: holderOf(from, key), isNew: !isPresent(key) };
}

function refusal(from: FlowSet, failures: Failures): Refusal {
  return { failures, offered: () => offered(from, failures.keys(), () => false) };
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
