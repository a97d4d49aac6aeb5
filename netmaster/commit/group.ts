import { NetError } from "../../state/errors.ts";
import { objectKey } from "../../state/keys.ts";
import { type Guard, MAX_COMMIT_OPERATIONS, type Put } from "../../state/store/store.ts";
import type { FrozenView } from "../view/cluster-view.ts";
import { applyChanges } from "../view/cluster-view.ts";
import { MAX_PLAN_OPERATIONS, type ObjectChange, type Plan } from "../view/types.ts";

/** What becomes of one store key: a value, or nothing. */
interface Write {
  /** What must hold of the key before the group; undefined where nothing needs to. */
  readonly guard: Guard | undefined;
  /** Undefined: the key is deleted, or stays absent. */
  readonly value: string | undefined;
}

/** One operation and one guard are left for the leader's fence. */
const MAX_KEYS = MAX_COMMIT_OPERATIONS - 1;

/**
 * Plans that become one transaction. Each is planned on the view that includes those before it; where two touch the same key,
 * one write remains, guarded by what held before the group.
 */
export class Group {
  readonly #base: FrozenView;
  readonly #writes = new Map<string, Write>();
  #head: FrozenView;

  constructor(base: FrozenView) {
    this.#base = base;
    this.#head = base;
  }

  /** The view after the plans so far. */
  get head(): FrozenView {
    return this.#head;
  }

  /** False: the plan does not fit any more and must wait for the next group. */
  add(plan: Plan<unknown>): boolean {
    const writes = writesOf(plan, this.#base);
    const keys = new Set(this.#writes.keys());
    for (const key of writes.keys()) keys.add(key);
    if (keys.size > MAX_KEYS) return false;
    for (const [key, write] of writes) this.#fold(key, write);
    this.#head = applyPlan(this.#head, plan);
    return true;
  }

  get isEmpty(): boolean {
    return this.#writes.size === 0;
  }

  /** What is to be committed, besides the leader's fence. */
  operations(): {
    readonly guards: readonly Guard[];
    readonly puts: readonly Put[];
    readonly deletes: readonly string[];
  } {
    const guards: Guard[] = [];
    const puts: Put[] = [];
    const deletes: string[] = [];
    for (const [key, { guard, value }] of this.#writes) {
      if (guard !== undefined) guards.push(guard);
      if (value !== undefined) puts.push({ key, value });
      else if (guard?.is !== "absent") deletes.push(key);
    }
    return { guards, puts, deletes };
  }

  #fold(key: string, write: Write): void {
    const first = this.#writes.get(key);
    this.#writes.set(key, first === undefined ? write : { ...write, guard: first.guard });
  }
}

function writesOf(plan: Plan<unknown>, base: FrozenView): ReadonlyMap<string, Write> {
  const writes = new Map<string, Write>();
  for (const { kind, key } of plan.deletes) {
    const storeKey = objectKey(kind, key);
    writes.set(storeKey, { guard: guardOf(storeKey, base.modRevision(kind, key)), value: undefined });
  }
  for (const { kind, key, record } of plan.puts) {
    const storeKey = objectKey(kind, key);
    writes.set(storeKey, { guard: guardOf(storeKey, base.modRevision(kind, key)), value: JSON.stringify(record) });
  }
  for (const storeKey of plan.releases) writes.set(storeKey, { guard: undefined, value: undefined });
  for (const { storeKey, owner, replaces } of plan.claims) {
    writes.set(storeKey, { guard: { key: storeKey, is: replaces === true ? "present" : "absent" }, value: owner });
  }
  const count = plan.puts.length + plan.deletes.length + plan.claims.length + plan.releases.length;
  if (count > MAX_PLAN_OPERATIONS) {
    throw new NetError("INTERNAL", `A plan of ${count} operations is too large for one transaction`);
  }
  return writes;
}

function guardOf(key: string, modRevision: bigint | undefined): Guard {
  return modRevision === undefined ? { key, is: "absent" } : { key, is: "at", modRevision };
}

/** The view as it will be when the plan is committed; the revisions of what it writes are not known yet and shown as 0. */
export function applyPlan(view: FrozenView, plan: Plan<unknown>): FrozenView {
  if (plan.puts.length + plan.deletes.length === 0) return view;
  const changes: ObjectChange[] = [];
  for (const { kind, key } of plan.deletes) changes.push(plannedChange(view, kind, key, undefined));
  for (const { kind, key, record } of plan.puts) changes.push(plannedChange(view, kind, key, record));
  return applyChanges(view, changes, view.revision);
}

function plannedChange(
  view: FrozenView,
  kind: ObjectChange["kind"],
  key: string,
  record: ObjectChange["record"],
): ObjectChange {
  return { kind, key, record, previous: view.records(kind).get(key), modRevision: 0n } as ObjectChange;
}
