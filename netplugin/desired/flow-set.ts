import type { Flow } from "../../drivers/ovs/openflow/flow.ts";
import { flowKey, flowsEqual } from "../../drivers/ovs/openflow/flow-identity.ts";
import type { Delta } from "../../state/delta.ts";
import { compareText, type SortedMap, sortedMap } from "../../state/sorted-map.ts";
import type { ObjectId } from "../view/messages.ts";
import type { Changes, NodeView } from "../view/node-view.ts";
import { type FlowContext, flowContext, type OwnedFlows } from "./context.ts";
import type { Machine } from "./machine.ts";
import { allOwners, flowsOf } from "./owners.ts";
import { ownerIdOf, PIPELINE_GENERATION, parseCookie } from "./pipeline.ts";
import { touchedOwners } from "./touched.ts";

/** One owner's wish for a flow. Two owners want the same only when the cluster's data are at odds; then the first by name has it. */
interface Claim {
  readonly owner: ObjectId;
  readonly flow: Flow;
}

/**
 * All flows that should be in the switch, by owner; an immutable value like the view it was made from. Made by `newFlowSet`,
 * carried on by `updateFlowSet`.
 */
export interface FlowSet {
  readonly generation: number;
  /** What could not be turned into flows: object (`kind/key`) → the reason, for receipts and logs. */
  readonly failures: SortedMap<ObjectId, string>;
  /** `flowKey` → who wants it, in the order of their names; never empty. */
  readonly claims: SortedMap<string, readonly Claim[]>;
  readonly keysByOwner: SortedMap<ObjectId, readonly string[]>;
  /** Cookie's owner number → owner: names drift. */
  readonly ownersById: SortedMap<number, ObjectId>;
  /** View and machine that it was computed from; undefined before the first time. */
  readonly source: { readonly view: NodeView; readonly machine: Machine } | undefined;
}

export interface FlowSetStep {
  readonly set: FlowSet;
  /** What the switch must be told, by `flowKey`, if it has the previous set. */
  readonly delta: Delta<Flow>;
}

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
    keysByOwner: sortedMap(compareText),
    ownersById: sortedMap((left, right) => left - right),
    source: undefined,
  };
}

/** How many owners are computed between two chances to do something else: well below 10 ms of work. */
const OWNERS_PER_SLICE = 16;

/**
 * The next set, computed only for owners that the changes touch. Equal to what a new set would hold (flow-set.test.ts).
 * Holds the event loop until it is done: for many changes (start, reconnect) use `updateFlowSetInSlices`.
 */
export function updateFlowSet(previous: FlowSet, input: FlowSetInput): FlowSetStep {
  const slices = updateFlowSetInSlices(previous, input);
  for (;;) {
    const slice = slices.next();
    if (slice.done) return slice.value;
  }
}

/** The same in slices of a few milliseconds: between two `next()` the caller may let others run. Until the end nothing changes. */
export function* updateFlowSetInSlices(previous: FlowSet, input: FlowSetInput): Generator<void, FlowSetStep> {
  const { view, machine } = input;
  const context = flowContext(view, machine, previous.generation);
  const draft = beginDraft(previous);
  let count = 0;
  for (const [id, owner] of ownersToCompute(previous, context, input.changes)) {
    replaceOwner(draft, id, flowsOf(context, owner));
    if (++count % OWNERS_PER_SLICE === 0) yield;
  }
  const delta = yield* deltaOf(draft);
  const { before: _, ...rest } = draft;
  return { set: Object.freeze({ ...rest, source: { view, machine } }), delta };
}

function ownersToCompute({ source, generation }: FlowSet, after: FlowContext, changes: Changes) {
  if (source === undefined) return allOwners(after.view);
  return touchedOwners(flowContext(source.view, source.machine, generation), after, changes);
}

/** A set being changed, and each flow touched as it was before (undefined = there was none). */
type Draft = Omit<FlowSet, "source"> & { readonly before: Map<string, Flow | undefined> };

function beginDraft({ generation, failures, claims, keysByOwner, ownersById }: FlowSet): Draft {
  return {
    generation,
    failures: failures.clone(),
    claims: claims.clone(),
    keysByOwner: keysByOwner.clone(),
    ownersById: ownersById.clone(),
    before: new Map(),
  };
}

function replaceOwner(draft: Draft, id: ObjectId, { flows, failure }: OwnedFlows): void {
  const wanted = new Map(flows.map((flow) => [flowKey(flow), flow]));
  for (const key of draft.keysByOwner.get(id) ?? []) if (!wanted.has(key)) changeClaim(draft, key, { id });
  for (const [key, flow] of wanted) changeClaim(draft, key, { id, flow });
  if (wanted.size > 0) draft.keysByOwner.set(id, [...wanted.keys()]);
  else draft.keysByOwner.delete(id);
  if (wanted.size > 0) draft.ownersById.set(ownerIdOf(id), id);
  else forgetOwner(draft, id);
  if (failure === undefined) draft.failures.delete(id);
  else draft.failures.set(id, failure);
}

function forgetOwner({ ownersById }: Draft, id: ObjectId): void {
  if (ownersById.get(ownerIdOf(id)) === id) ownersById.delete(ownerIdOf(id));
}

/** Sets or (without a flow) withdraws an owner's claim. */
function changeClaim(draft: Draft, key: string, { id, flow }: { readonly id: ObjectId; readonly flow?: Flow }): void {
  const present = draft.claims.get(key) ?? [];
  if (!draft.before.has(key)) draft.before.set(key, present[0]?.flow);
  const others = present.filter(({ owner }) => owner !== id);
  const claims = flow === undefined ? others : [...others, { owner: id, flow }];
  if (claims.length === 0) draft.claims.delete(key);
  else draft.claims.set(key, claims.length === 1 ? claims : claims.sort((a, b) => compareText(a.owner, b.owner)));
}

/** How many flows are compared per slice. */
const FLOWS_PER_SLICE = 256;

function* deltaOf({ before, claims }: Draft): Generator<void, Delta<Flow>> {
  const put = new Map<string, Flow>();
  const remove = new Set<string>();
  let count = 0;
  for (const [key, earlier] of before) {
    const flow = claims.get(key)?.[0]?.flow;
    if (flow !== undefined && (earlier === undefined || !flowsEqual(earlier, flow))) put.set(key, flow);
    if (flow === undefined && earlier !== undefined) remove.add(key);
    if (++count % FLOWS_PER_SLICE === 0) yield;
  }
  return { put, remove };
}

/** Everything that should be in the switch, by `flowKey`: for a full comparison. Costs what it holds. */
export function desiredFlows({ claims }: FlowSet): Map<string, Flow> {
  const flows = new Map<string, Flow>();
  for (const [key, [claim]] of claims.entries()) if (claim !== undefined) flows.set(key, claim.flow);
  return flows;
}

export function flowCount({ claims }: FlowSet): number {
  return claims.size;
}

/** The object (`kind/key`) that a flow of ours belongs to, for reports of drift; undefined when it is not ours or unknown. */
export function ownerOf({ ownersById }: FlowSet, cookie: bigint): ObjectId | undefined {
  const parts = parseCookie(cookie);
  return parts === undefined ? undefined : ownersById.get(parts.ownerId);
}
