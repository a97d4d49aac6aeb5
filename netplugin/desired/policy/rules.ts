import type { Match } from "../../../drivers/ovs/openflow/match.ts";
import type { RuleRecord } from "../../../state/kinds/rule.ts";
import { type ResolvedRule, resolveRule } from "../../../state/policy/rule-match.ts";
import { objectId } from "../../view/messages.ts";
import { policyWorldOf } from "../../view/policy-world.ts";
import { BASE_OWNER, type FlowContext, type FlowDraft, NO_FLOWS, type OwnedFlows, own } from "../engine/context.ts";
import { Register, rulePriority, Table } from "../pipeline/pipeline.ts";
import { loggingOutcome, whyNotLogging } from "./log.ts";
import { fragmentMatches, ruleMatches } from "./matches.ts";
import { policyScope } from "./scope.ts";

/** The flows of one rule, once for each list of policies on this node that its policy is in; none when nobody here has it. */
export function ruleFlows(context: FlowContext, record: RuleRecord): OwnedFlows {
  const policyKey = `${record.config.tenantName}:${record.config.policyName}`;
  const rulesets = [...(policyScope(context).uses.get(policyKey)?.keys() ?? [])];
  if (rulesets.length === 0) return NO_FLOWS;
  const rule = resolveRule(policyWorldOf(context.view), record);
  if (rule.unresolved !== undefined) return { flows: [], failure: `It matches nothing, because ${rule.unresolved}` };
  const failure = rule.action === "log" ? whyNotLogging(context.machine) : undefined;
  if (failure !== undefined) return { flows: [], failure };
  const outcome = rule.action === "log" ? loggingOutcome(rule) : outcomeOf(rule);
  const draftsOf = (matches: readonly Match[]) =>
    rulesets.flatMap((ruleset) =>
      matches.map((match) => ({ ...outcome, match: { [Register.ruleset]: ruleset, ...match } })),
    );
  const flows = own(context, objectId("rule", record.key), draftsOf(ruleMatches(rule)));
  // Several rules may wish for the same flow: it names none of them, so that it is the same whoever has it.
  const forFragments = own(context, BASE_OWNER, draftsOf(fragmentMatches(rule)));
  return { flows: [...flows, ...forFragments], failure: undefined };
}

/** What out-rules allow, in-rules still have to allow. */
function outcomeOf({ direction, action, priority }: ResolvedRule): Pick<FlowDraft, "table" | "priority" | "goto"> {
  const [table, next] = direction === "out" ? [Table.outRules, Table.receiver] : [Table.inRules, Table.commit];
  return {
    table,
    priority: rulePriority(priority, action),
    goto: action === "allow" ? next : Table.denied,
  } as const;
}
