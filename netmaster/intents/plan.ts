import { NetError } from "../../state/errors.ts";
import type { Kind } from "../../state/records.ts";
import { type Claim, MAX_PLAN_OPERATIONS, type Plan, type PlannedDelete, type PlannedPut } from "../view/types.ts";

/** What a plan may be made of; everything left out is empty. */
export interface PlanParts {
  readonly puts?: readonly PlannedPut[];
  readonly deletes?: readonly PlannedDelete[];
  readonly claims?: readonly Claim[];
  readonly releases?: readonly string[];
}

/** Makes a plan and checks that one transaction can hold it. */
export function plan<Reply>(reply: Reply, parts: PlanParts = {}): Plan<Reply> {
  const { puts = [], deletes = [], claims = [], releases = [] } = parts;
  const operationCount = puts.length + deletes.length + claims.length + releases.length;
  if (operationCount > MAX_PLAN_OPERATIONS) {
    throw new NetError("INTERNAL", `Cannot plan ${operationCount} operations at once, at most ${MAX_PLAN_OPERATIONS}`);
  }
  return { puts, deletes, claims, releases, reply };
}

export function claimOf(kind: Kind, key: string, storeKey: string): Claim {
  return { storeKey, owner: `${kind}/${key}` };
}

/** What the creation or change of an object answers. */
export interface Changed {
  readonly kind: Kind;
  readonly key: string;
  readonly record: PlannedPut["record"];
}

/** One put and the answer that shows it. */
export function changed(put: PlannedPut, parts: Omit<PlanParts, "puts"> = {}): Plan<Changed> {
  return plan<Changed>({ kind: put.kind, key: put.key, record: put.record }, { ...parts, puts: [put] });
}

/** The answer to a repetition: nothing is written. */
export function unchanged(put: PlannedPut): Plan<Changed> {
  return plan<Changed>({ kind: put.kind, key: put.key, record: put.record });
}

/** `remaining` > 0: so many operations did not fit into the transaction, and the request must be made again. */
export interface Removed {
  readonly key: string;
  readonly remaining: number;
}

export function removed(kind: Kind, key: string, releases: readonly string[] = []): Plan<Removed> {
  return plan<Removed>({ key, remaining: 0 }, { deletes: [{ kind, key }], releases });
}
