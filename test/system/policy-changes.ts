import { type Attachments, type PolicyAdmin, type RuleSpec, ruleIdOf } from "./policy-admin.ts";
import type { PolicySet } from "./policy-sets.ts";
import type { Random } from "./random.ts";

/** Takes a tenant from one set of policies to the next, change by change, in random order. */
export interface PolicyMover {
  moveTo(set: Pick<PolicySet, "rules" | "attached">): Promise<void>;
}

export interface PolicyMoverOptions {
  readonly admin: PolicyAdmin;
  readonly groups: readonly string[];
  readonly random: Random;
}

export function policyMover({ admin, groups, random }: PolicyMoverOptions): PolicyMover {
  let rules: readonly RuleSpec[] = [];
  let attached: Attachments = {};
  return {
    moveTo: async (next) => {
      const present = new Set(rules.map(ruleIdOf));
      const wanted = new Set(next.rules.map(ruleIdOf));
      const isOther = (group: string) => `${attached[group] ?? []}` !== `${next.attached[group] ?? []}`;
      const [first, later] = [next.rules, rules].map((all, index) =>
        all.filter((rule) => !(index === 0 ? present : wanted).has(ruleIdOf(rule))),
      );
      const changes = [
        ...(later ?? []).map((rule) => () => admin.remove(rule)),
        ...(first ?? []).map((rule) => () => admin.add(rule)),
      ];
      const attachments = groups.filter(isOther).map((group) => () => admin.attach(group, next.attached[group] ?? []));
      // A rule that names its own endpoint is refused while nobody has its policy.
      const isAttachedFirst = next.rules.some(({ direction, toIpAddress }) => direction === "in" && toIpAddress);
      const order = isAttachedFirst ? [...attachments, ...changes] : shuffled([...changes, ...attachments], random);
      for (const change of order) await change();
      [rules, attached] = [next.rules, next.attached];
      await admin.untilEnforced();
    },
  };
}

function shuffled<T>(all: readonly T[], random: Random): readonly T[] {
  return all
    .map((each) => [random.next(), each] as const)
    .sort(([left], [right]) => left - right)
    .map(([, each]) => each);
}
