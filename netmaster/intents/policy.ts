import type { Policy } from "../../state/kinds/policy.ts";
import { type ClusterView, MAX_PLAN_OPERATIONS, type Plan } from "../view/types.ts";
import { firstOf, notFound, refuseInUse } from "./errors.ts";
import { type Changed, changed, plan, type Removed, unchanged } from "./plan.ts";
import { requireTenant, scopedKey } from "./references.ts";

/** Creates a policy; an update changes nothing and succeeds (contract §6.4). */
export function upsertPolicy(view: ClusterView, config: Policy): Plan<Changed> {
  const key = scopedKey(config.tenantName, config.policyName);
  const existing = view.records("policy").get(key);
  if (existing !== undefined) return unchanged({ kind: "policy", key, record: existing });
  requireTenant(view, config.tenantName);
  return changed({ kind: "policy", key, record: { key, config } });
}

/** Deletes a policy that no group uses, with its rules; the policy goes last when they do not fit into one transaction. */
export function deletePolicy(view: ClusterView, key: string): Plan<Removed> {
  if (!view.records("policy").has(key)) throw notFound("policy", key);
  refuseInUse(`policy ${key}`, [{ noun: "endpoint group", keys: view.groupsOfPolicy(key) }]);
  const rules = view.rulesOfPolicy(key);
  const now = firstOf(rules, MAX_PLAN_OPERATIONS - 1);
  const deletes = now.map((ruleKey) => ({ kind: "rule", key: ruleKey }) as const);
  const remaining = rules.size - now.length;
  return plan({ key, remaining }, { deletes: remaining > 0 ? deletes : [...deletes, { kind: "policy", key }] });
}
