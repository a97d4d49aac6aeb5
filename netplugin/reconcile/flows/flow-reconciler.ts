import { NetError } from "../../../state/errors.ts";
import { type FlowSet, flowCount, flowCountOf, newFlowSet } from "../../desired/flow-set/flow-set.ts";
import type { Machine, RefusedObject } from "../../machine/machine.ts";
import type { ObjectId } from "../../view/messages.ts";
import { type Changes, mergeChanges, type NodeView, type ObjectRef } from "../../view/node-view.ts";
import { FlowApplier, type FlowApplierOptions, type Installed, type Refusal, type Round } from "./flow-applier.ts";
import { refusedObjects } from "./refusals.ts";

export interface FlowReconcilerOptions extends FlowApplierOptions {
  readonly generation: number;
  readonly view: () => NodeView;
  readonly machine: () => Machine;
  /** The switch has refused a bundle; so many more objects are left out of the next one. */
  readonly onRefusal: (message: string, objectCount: number) => void;
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
  /** How many flows of ours each table of the switch has; undefined while that is not known. Another object once it may have changed. */
  tableCounts(): ReadonlyMap<number, number> | undefined;
  /** What could not be turned into flows: object → reason. */
  failures(): ReadonlyMap<string, string>;
  /** Is every flow of this owner (`kind/key`) in the switch, as of the last successful round? */
  isInstalled(owner: string): boolean;
  /** Revision of the view that was enforced last. */
  readonly enforcedRevision: bigint;
  /** The store's epoch that this revision belongs to. */
  readonly enforcedEpoch: string | undefined;
}

/** Refused bundles of one round: each tells all that the switch cannot read, or the first flow of a full table. */
const ATTEMPTS_MAX = 12;

type Refusals = ReadonlyMap<string, RefusedObject> | undefined;

export function createFlowReconciler(options: FlowReconcilerOptions): FlowReconciler {
  return new Reconciler(options);
}

class Reconciler implements FlowReconciler {
  readonly #options: FlowReconcilerOptions;
  readonly #applier: FlowApplier;
  /** What is in the switch, or was wanted last if that is not known. */
  #set: FlowSet;
  /** Is `#set` in the switch? */
  #isInstalled = false;
  #touched = new Map<ObjectId, ObjectRef>();
  #enforcedRevision = 0n;
  #enforcedEpoch: string | undefined;
  #refused: Refusals;
  #wantsRefused = false;

  constructor(options: FlowReconcilerOptions) {
    this.#options = options;
    this.#applier = new FlowApplier(options);
    this.#set = newFlowSet(options.generation);
  }

  touch(changes: Changes): void {
    for (const [id, ref] of changes) this.#touched.set(id, ref); // in place: a first list comes in many steps
  }

  async reconcile(full: boolean, signal: AbortSignal): Promise<EnforcedStep | undefined> {
    if (!this.#options.view().complete) return undefined; // what is in the switch stays: nothing is known yet
    const begun = this.#begin();
    const isKnown = this.#isInstalled && !full;
    this.#isInstalled = false; // unknown, should the bundle fail
    try {
      const { round, installed, madeRoom } = await this.#bringUpToDate(begun, isKnown, signal);
      this.#set = installed;
      this.#isInstalled = true;
      this.#noteEnforced(round.view);
      return { ...round, madeRoom };
    } catch (error) {
      this.#touched = new Map(mergeChanges(begun.changes, this.#touched));
      throw error;
    }
  }

  tryRefused(): void {
    this.#wantsRefused = true;
  }

  expectLoss(): void {
    this.#applier.expectLoss();
    this.#wantsRefused = true;
  }

  get refusedCount(): number {
    return this.#refused?.size ?? 0;
  }

  get flowCount(): number {
    return this.#isInstalled ? flowCount(this.#set) : 0;
  }

  tableCounts(): ReadonlyMap<number, number> | undefined {
    return this.#isInstalled ? this.#set.tableCounts : undefined;
  }

  get enforcedRevision(): bigint {
    return this.#enforcedRevision;
  }

  get enforcedEpoch(): string | undefined {
    return this.#enforcedEpoch;
  }

  /** While the list of another store is on its way, what is enforced is still the last store's, as of the revision told before. */
  #noteEnforced({ revision, epoch, listing }: NodeView): void {
    if (epoch !== undefined && listing?.epoch !== undefined && listing.epoch !== epoch) return;
    this.#enforcedRevision = revision;
    this.#enforcedEpoch = epoch;
  }

  failures(): ReadonlyMap<string, string> {
    return new Map(this.#set.failures.entries());
  }

  isInstalled(owner: string): boolean {
    return this.#isInstalled && flowCountOf(this.#set, owner) > 0;
  }

  /** What is to be enforced next. Objects that have changed may be taken now. */
  #begin(): Round {
    const round = {
      ...{ from: this.#set, view: this.#options.view(), machine: this.#options.machine(), changes: this.#touched },
    };
    this.#touched = new Map();
    this.#refused = this.#wantsRefused ? undefined : without(this.#refused, round.changes);
    this.#wantsRefused = false;
    return round;
  }

  async #bringUpToDate(
    begun: Round,
    isKnown: boolean,
    signal: AbortSignal,
  ): Promise<Installed & { readonly round: Round }> {
    for (let attempt = 1; ; attempt += 1) {
      const round = { ...begun, machine: { ...begun.machine, refused: this.#refused } };
      const outcome = isKnown
        ? await this.#applier.step(round, begun.from, signal)
        : await this.#applier.all(round, signal);
      if ("installed" in outcome) return { ...outcome, round };
      this.#leaveOut(outcome, attempt);
    }
  }

  /** What the switch refuses is left out, and what depends on it closed, until it takes the rest. */
  #leaveOut({ failures, offered }: Refusal, attempt: number): void {
    const [first] = failures.values();
    const more = refusedObjects(failures, offered());
    if (attempt >= ATTEMPTS_MAX || more.size === 0) throw first ?? new NetError("REJECTED", "Cannot install flows");
    this.#refused = new Map([...(this.#refused ?? []), ...more]);
    this.#options.onRefusal(first?.message ?? "", more.size);
  }
}

/** Undefined when nothing is left. */
function without(refused: Refusals, changes: Changes): Refusals {
  if (refused === undefined || ![...refused.keys()].some((id) => changes.has(id))) return refused;
  const left = new Map([...refused].filter(([id]) => !changes.has(id)));
  return left.size === 0 ? undefined : left;
}
