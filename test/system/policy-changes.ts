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

/** Changes without plan: rules come and go, policies are attached and detached. */
export interface RandomChanges {
  next(): Promise<void>;
  /** What is in force now. */
  present(): Pick<PolicySet, "rules" | "attached">;
  /** Takes everything away. */
  end(): Promise<void>;
}

const PRESENT_MAX = 25;
const POLICY_LISTS = [[], ["p"], ["q"], ["p", "q"]];

export function randomChanges(
  { admin, groups, random }: PolicyMoverOptions,
  choices: readonly RuleSpec[],
): RandomChanges {
  const rules = new Map<string, RuleSpec>();
  const attached = new Map<string, readonly string[]>();

  async function attach(group: string, policies: readonly string[]): Promise<void> {
    await admin.attach(group, policies);
    attached.set(group, policies);
  }

  async function remove(rule: RuleSpec): Promise<void> {
    await admin.remove(rule);
    rules.delete(ruleIdOf(rule));
  }

  return {
    next: async () => {
      if (random.next() < 0.15) return attach(random.pick(groups), random.pick(POLICY_LISTS));
      if (rules.size > 0 && random.next() < rules.size / PRESENT_MAX) return remove(random.pick([...rules.values()]));
      const rule = random.pick(choices.filter((each) => !rules.has(ruleIdOf(each))));
      await admin.add(rule);
      rules.set(ruleIdOf(rule), rule);
    },
    present: () => ({ rules: [...rules.values()], attached: Object.fromEntries(attached) }),
    end: async () => {
      for (const group of groups) await attach(group, []);
      for (const rule of [...rules.values()]) await remove(rule);
    },
  };
}

function shuffled<T>(all: readonly T[], random: Random): readonly T[] {
  return all
    .map((each) => [random.next(), each] as const)
    .sort(([left], [right]) => left - right)
    .map(([, each]) => each);
}
