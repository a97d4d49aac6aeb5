import { type FlowDeed, type PackedFlow, packFlow, tableOf } from "../../../drivers/ovs/openflow/packed-flow.ts";
import type { Delta } from "../../../state/delta.ts";
import { compareText, type SortedMap, sortedMap } from "../../../state/sorted-map.ts";
import type { Machine } from "../../machine/machine.ts";
import type { ObjectId } from "../../view/messages.ts";
import type { Changes, NodeView } from "../../view/node-view.ts";
import { type FlowContext, flowContext, type OwnedFlows } from "../engine/context.ts";
import { ownerIdOf, PIPELINE_GENERATION, parseCookie } from "../pipeline/pipeline.ts";
import { allOwners, flowsOf } from "./owners.ts";
import type { Owner } from "./step.ts";
import { touchedOwners } from "./touched.ts";

/** One owner's wish for a flow. Two owners want the same only when the cluster's data are at odds; then the first by name has it. */
interface Wish {
  readonly owner: ObjectId;
  readonly deed: FlowDeed;
}

/** The wish that is fulfilled, and those that are not, in the order of their owners' names. */
interface Claim extends Wish {
  readonly others: readonly Wish[];
}

/**
 * All flows that should be in the switch, by owner; an immutable value like the view it was made from. Made by `newFlowSet`,
 * carried on by `updateFlowSet`. Flows are packed: a node can have a hundred thousand of them.
 */
export interface FlowSet {
  readonly generation: number;
  /** What could not be turned into flows: object (`kind/key`) → the reason, for receipts and logs. */
  readonly failures: SortedMap<ObjectId, string>;
  /** By the keys of packed flows. */
  readonly claims: SortedMap<string, Claim>;
  /** How many claims each table has. */
  readonly tableCounts: ReadonlyMap<number, number>;
  readonly keysByOwner: SortedMap<ObjectId, readonly string[]>;
  /** Cookie's owner number → owner: names drift. */
  readonly ownersById: SortedMap<number, ObjectId>;
  /** View and machine that it was computed from; undefined before the first time. */
  readonly source: { readonly view: NodeView; readonly machine: Machine } | undefined;
}

/** A set and the way to it. */
export interface ComputedFlowSet {
  readonly set: FlowSet;
  /** What each flow that was looked at did before; undefined: it is the first set, before which there was nothing. */
  readonly before: ReadonlyMap<string, FlowDeed | undefined> | undefined;
}

export interface FlowSetStep {
  readonly set: FlowSet;
  /** What the switch must be told if it has the previous set. */
  readonly delta: Delta<FlowDeed>;
}

/** Flows of some owners as they are wished for, owner by owner: hardly ever does another owner's wish for the same flow prevail. */
export type WantedFlows = readonly (readonly PackedFlow[])[];

export interface FlowSetInput {
  readonly view: NodeView;
  /** Objects that differ between the view of the previous set and this one (merge them when views were skipped). */
  readonly changes: Changes;
  readonly machine: Machine;
}

/** An empty set, from which the first update makes everything. `generation` is part of every cookie. */
export function newFlowSet(generation: number = PIPELINE_GENERATION): FlowSet {
  return {
    generation,
    failures: sortedMap(compareText),
    claims: sortedMap(compareText),
    tableCounts: new Map(),
    keysByOwner: sortedMap(compareText),
    ownersById: sortedMap((left, right) => left - right),
    source: undefined,
  };
}

/** How many owners are computed between two chances to do something else: a millisecond of work. */
const OWNERS_PER_SLICE = 4;

/**
 * The next set, computed only for owners that the changes touch. Equal to what a new set would hold (flow-set.test.ts).
 * Holds the event loop until it is done: for many changes (start, reconnect) use `updateFlowSetInSlices`.
 */
export function updateFlowSet(previous: FlowSet, input: FlowSetInput): FlowSetStep {
  const step = endOf(updateFlowSetInSlices(previous, input));
  return { set: step.set, delta: endOf(deltaInSlices(step)) };
}

function endOf<R>(slices: Generator<unknown, R>): R {
  for (;;) {
    const slice = slices.next();
    if (slice.done) return slice.value;
  }
}

/**
 * The same in slices of a few milliseconds, which tell what they have computed: between two `next()` the caller may let others run.
 * Until the end nothing changes.
 */
export function* updateFlowSetInSlices(
  previous: FlowSet,
  input: FlowSetInput,
): Generator<WantedFlows, ComputedFlowSet> {
  const { view, machine } = input;
  const context = flowContext(view, machine, previous.generation);
  const draft = beginDraft(previous);
  let slice: (readonly PackedFlow[])[] = [];
  for (const [id, owner] of ownersToCompute(previous, context, input.changes)) {
    slice.push(replaceOwner(draft, id, flowsOf(context, owner)));
    if (slice.length < OWNERS_PER_SLICE) continue;
    yield slice;
    slice = [];
  }
  yield slice;
  const { before, ...rest } = draft;
  return { set: Object.freeze({ ...rest, source: { view, machine } }), before };
}

function ownersToCompute(
  { source, generation }: FlowSet,
  after: FlowContext,
  changes: Changes,
): Iterable<[ObjectId, Owner]> {
  if (source === undefined) return allOwners(after.view);
  return touchedOwners(flowContext(source.view, source.machine, generation), after, changes);
}

/** A set being changed, and each flow touched as it was before (undefined = there was none). */
type Draft = Omit<FlowSet, "source" | "tableCounts"> & {
  readonly tableCounts: Map<number, number>;
  readonly before: Map<string, FlowDeed | undefined> | undefined;
};

function beginDraft({ generation, failures, claims, tableCounts, keysByOwner, ownersById, source }: FlowSet): Draft {
  return {
    generation,
    failures: failures.clone(),
    claims: claims.clone(),
    tableCounts: new Map(tableCounts),
    keysByOwner: keysByOwner.clone(),
    ownersById: ownersById.clone(),
    before: source === undefined ? undefined : new Map(),
  };
}

/** The flows that the owner wishes for now. */
function replaceOwner(draft: Draft, id: ObjectId, { flows, failure }: OwnedFlows): readonly PackedFlow[] {
  const wanted = flows.map((flow) => packFlow(flow));
  const keys = wanted.map(({ key }) => key);
  withdrawOthers(draft, id, keys);
  for (const { key, deed } of wanted) changeClaim(draft, key, { owner: id, deed });
  if (keys.length > 0) {
    draft.keysByOwner.set(id, keys);
    draft.ownersById.set(ownerIdOf(id), id);
  } else {
    draft.keysByOwner.delete(id);
    forgetOwner(draft, id);
  }
  if (failure === undefined) draft.failures.delete(id);
  else draft.failures.set(id, failure);
  return wanted;
}

/** What the owner wished for before, and wishes for no more. */
function withdrawOthers(draft: Draft, id: ObjectId, keys: readonly string[]): void {
  const before = draft.keysByOwner.get(id);
  if (before === undefined) return;
  const kept = new Set(keys);
  for (const key of before) if (!kept.has(key)) changeClaim(draft, key, { owner: id });
}

function forgetOwner({ ownersById }: Draft, id: ObjectId): void {
  if (ownersById.get(ownerIdOf(id)) === id) ownersById.delete(ownerIdOf(id));
}

const NOBODY: readonly Wish[] = [];

/** Sets or (without a deed) withdraws an owner's wish. */
function changeClaim(
  draft: Draft,
  key: string,
  { owner, deed }: { readonly owner: ObjectId; readonly deed?: FlowDeed },
) {
  const { before, claims } = draft;
  const present = claims.get(key);
  if (before?.has(key) === false) before.set(key, present?.deed);
  if (present === undefined || (present.owner === owner && present.others === NOBODY)) {
    countChange(draft, key, { from: present, to: deed });
    if (deed === undefined) claims.delete(key);
    else if (deed !== present?.deed) claims.set(key, { owner, deed, others: NOBODY });
    return;
  }
  const wishes = wishesOf(present).filter((wish) => wish.owner !== owner);
  if (deed !== undefined) insertWish(wishes, { owner, deed });
  const claim = claimOf(wishes);
  countChange(draft, key, { from: present, to: claim });
  if (claim === undefined) claims.delete(key);
  else claims.set(key, claim);
}

function countChange(
  { tableCounts }: Draft,
  key: string,
  { from, to }: { readonly from: unknown; readonly to: unknown },
) {
  if ((from === undefined) === (to === undefined)) return;
  const table = tableOf(key);
  tableCounts.set(table, (tableCounts.get(table) ?? 0) + (to === undefined ? -1 : 1));
}

function wishesOf({ owner, deed, others }: Claim): Wish[] {
  return [{ owner, deed }, ...others];
}

/** Wishes stand in the order of their owners' names. */
function insertWish(wishes: Wish[], wish: Wish): void {
  let [low, high] = [0, wishes.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareText(wishes[middle]?.owner ?? "", wish.owner) < 0) low = middle + 1;
    else high = middle;
  }
  wishes.splice(low, 0, wish);
}

function claimOf([first, ...others]: readonly Wish[]): Claim | undefined {
  if (first === undefined) return undefined;
  // No spread: V8 would give each of a hundred thousand claims a shape of its own.
  return { owner: first.owner, deed: first.deed, others: others.length === 0 ? NOBODY : others };
}

/** How many flows are compared per slice. */
const FLOWS_PER_SLICE = 256;

/** What the switch must be told if it has the previous set; in slices. */
export function* deltaInSlices({ set: { claims }, before }: ComputedFlowSet): Generator<void, Delta<FlowDeed>> {
  const put = new Map<string, FlowDeed>();
  const remove = new Set<string>();
  let count = 0;
  for (const [key, earlier] of before ?? allNew(claims)) {
    const deed = claims.get(key)?.deed;
    if (deed !== undefined && deed !== earlier) put.set(key, deed);
    if (deed === undefined && earlier !== undefined) remove.add(key);
    if (++count % FLOWS_PER_SLICE === 0) yield;
  }
  return { put, remove };
}

function* allNew(claims: FlowSet["claims"]): Generator<[string, undefined]> {
  for (const key of claims.keys()) yield [key, undefined];
}

/** Everything that should be in the switch. */
export function* desiredFlows({ claims }: FlowSet): Generator<PackedFlow> {
  for (const [key, { deed }] of claims.entries()) yield { key, deed };
}

export function flowCount({ claims }: FlowSet): number {
  return claims.size;
}

/** Is a flow of that key wanted? */
export function wantsFlow({ claims }: FlowSet, key: string): boolean {
  return claims.has(key);
}

/** The object (`kind/key`) whose flow has that key. */
export function holderOf({ claims }: FlowSet, key: string): ObjectId | undefined {
  return claims.get(key)?.owner;
}

/** How many flows an owner (`kind/key`) has. */
export function flowCountOf({ keysByOwner }: FlowSet, owner: string): number {
  return keysByOwner.get(owner as ObjectId)?.length ?? 0;
}

/** The object (`kind/key`) that a flow of ours belongs to, for reports of drift; undefined when it is not ours or unknown. */
export function ownerOf({ ownersById }: FlowSet, cookie: bigint): ObjectId | undefined {
  const parts = parseCookie(cookie);
  return parts === undefined ? undefined : ownersById.get(parts.ownerId);
}
