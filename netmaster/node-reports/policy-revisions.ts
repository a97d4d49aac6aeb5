import { policyKeyOf } from "../view/indexes.ts";
import type { ClusterView, ViewChange } from "../view/types.ts";

/** The last change of a policy or of one of its rules. */
export interface PolicyChange {
  readonly revision: bigint;
  /** When this process saw it; undefined when it began later. */
  readonly atMs: number | undefined;
}

/** Knows when each policy was changed last, also when the change was that a rule was deleted. */
export class PolicyRevisions {
  readonly #latest = new Map<string, PolicyChange>();
  #epoch = "";

  follow({ view, changes }: ViewChange): void {
    this.#turn(view);
    for (const { kind, key, record, previous, modRevision } of changes) {
      const atMs = Date.now();
      if (kind === "policy" && record === undefined) this.#latest.delete(key);
      else if (kind === "policy") this.#latest.set(key, { revision: modRevision, atMs });
      else if (kind === "rule") {
        const rule = record ?? previous;
        if (rule !== undefined) this.#latest.set(policyKeyOf(rule), { revision: modRevision, atMs });
      }
    }
  }

  of(view: ClusterView, policyKey: string): PolicyChange {
    this.#turn(view);
    const known = this.#latest.get(policyKey);
    if (known !== undefined && known.revision <= view.revision) return known;
    const found = { revision: latestOf(view, policyKey), atMs: undefined };
    if (view.records("policy").has(policyKey)) this.#latest.set(policyKey, found);
    return found;
  }

  /** Revisions of another epoch of the store say nothing about those of this one. */
  #turn({ epoch }: ClusterView): void {
    if (epoch !== this.#epoch) this.#latest.clear();
    this.#epoch = epoch;
  }
}

function latestOf(view: ClusterView, policyKey: string): bigint {
  let latest = view.modRevision("policy", policyKey) ?? 0n;
  for (const key of view.rulesOfPolicy(policyKey)) {
    const revision = view.modRevision("rule", key) ?? 0n;
    if (revision > latest) latest = revision;
  }
  return latest;
}
