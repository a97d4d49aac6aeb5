import { NetError } from "../../state/errors.ts";
import { objectKey } from "../../state/keys.ts";
import { type Guard, MAX_COMMIT_OPERATIONS, type Put } from "../../state/store/store.ts";
import { type FrozenView, ViewDraft } from "../view/cluster-view.ts";
import { MAX_PLAN_OPERATIONS, type ObjectChange, type Plan } from "../view/types.ts";
import { PEN_OPERATIONS } from "./pen.ts";

/** What becomes of one store key: a value, or nothing. */
interface Write {
  /** What must hold of the key before the group; undefined where nothing needs to. */
  readonly guard: Guard | undefined;
  /** Undefined: the key is deleted, or stays absent. */
  readonly value: string | undefined;
}

/** What is left for the leader's fence. */
const MAX_KEYS = MAX_COMMIT_OPERATIONS - PEN_OPERATIONS;

/**
 * Plans that become one transaction. Each is planned on the view that includes those before it; where two touch the same key,
 * one write remains, guarded by what held before the group.
 */
export class Group {
  readonly #base: FrozenView;
  readonly #writes = new Map<string, Write>();
  readonly #draft: ViewDraft;
  /**
   * The view after the plans so far; it changes with each. The revisions of what they write are not known yet and shown as 0.
   */
  readonly head: FrozenView;

  constructor(base: FrozenView) {
    this.#base = base;
    this.#draft = new ViewDraft(base);
    this.head = this.#draft.live(base.revision);
  }

  /** False: the plan does not fit any more and must wait for the next group. */
  add(plan: Plan<unknown>): boolean {
    const writes = writesOf(plan, this.#base);
    const keys = new Set(this.#writes.keys());
    for (const key of writes.keys()) keys.add(key);
    if (keys.size > MAX_KEYS) return false;
    for (const [key, write] of writes) this.#fold(key, write);
    this.#draft.apply(changesOf(plan, this.head));
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

function changesOf({ puts, deletes }: Plan<unknown>, view: FrozenView): readonly ObjectChange[] {
  return [
    ...deletes.map(({ kind, key }) => plannedChange(view, kind, key, undefined)),
    ...puts.map(({ kind, key, record }) => plannedChange(view, kind, key, record)),
  ];
}

function plannedChange(
  view: FrozenView,
  kind: ObjectChange["kind"],
  key: string,
  record: ObjectChange["record"],
): ObjectChange {
  return { kind, key, record, previous: view.records(kind).get(key), modRevision: 0n } as ObjectChange;
}
