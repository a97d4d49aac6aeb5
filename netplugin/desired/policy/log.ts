import type { Action } from "../../../drivers/ovs/openflow/action.ts";
import type { Match } from "../../../drivers/ovs/openflow/match.ts";
import type { ResolvedRule } from "../../../state/policy/rule-match.ts";
import type { Machine } from "../../machine/machine.ts";
import { objectId } from "../../view/messages.ts";
import type { FlowContext, FlowDraft } from "../engine/context.ts";
import { setField, UNICAST_MAC } from "../pipeline/actions.ts";
import { hasFlags, LogMark, ownerIdOf, Priority, Register, rulePriority, Table } from "../pipeline/pipeline.ts";
import { sampleMeterId } from "../pipeline/sample-meters.ts";
import { type SampledVerdict, sampleNote } from "../pipeline/sample-note.ts";
import { policyScope } from "./scope.ts";

/** How a log rule is found again in a sample: the number of its owner, without its kind. */
export function logNumberOf(ruleKey: string): number {
  return ownerIdOf(objectId("rule", ruleKey)) & LogMark.rule;
}

/** What no log rule matches goes on to the rules. A flooded copy must not keep the mark of the copy before it. */
export function unlogged(): FlowDraft[] {
  const [priority, match] = [Priority.miss, {}];
  return [
    { table: Table.outLog, priority, match, actions: [setField(Register.outLog, LogMark.asked)], goto: Table.outRules },
    { table: Table.inLog, priority, match, actions: [setField(Register.inLog, LogMark.asked)], goto: Table.inRules },
  ];
}

/** A log rule marks the packet, which then goes on to the rules that decide. */
export function loggingOutcome({ direction, action, priority, record }: ResolvedRule): Omit<FlowDraft, "match"> {
  const mark = (LogMark.logged | LogMark.asked | logNumberOf(record.key)) >>> 0;
  const ranked = { priority: rulePriority(priority, action) };
  return direction === "out"
    ? { ...ranked, table: Table.outLog, actions: [setField(Register.outLog, mark)], goto: Table.outRules }
    : { ...ranked, table: Table.inLog, actions: [setField(Register.inLog, mark)], goto: Table.inRules };
}

/** Samples go through meters, so that a flood of them harms nobody: without meters nothing is logged. */
export function whyNotLogging({ limitMeans }: Pick<Machine, "limitMeans">): string | undefined {
  if (limitMeans?.meters === true) return undefined;
  return limitMeans === undefined
    ? "It logs nothing yet: what this node's switch can do is not known"
    : "It logs nothing: this node's switch has no meters, which hold back a flood of samples";
}

/** Do log rules concern this node, and can it log? Otherwise there are neither samples nor meters for them. */
export function isLogging(context: Pick<FlowContext, "view" | "machine">): boolean {
  return policyScope(context).isLogged && whyNotLogging(context.machine) === undefined;
}

/**
 * Tells netplugin of marked packets where their fate is known, and lets them go on as if they were not marked: of what is allowed the
 * packets without an established connection, of what is denied all; each through a meter of its own. What goes to many is no connection:
 * it is told of only where a copy is denied.
 */
export function sampleFlows(context: FlowContext): FlowDraft[] {
  if (!isLogging(context)) return [];
  return [Register.outLog, Register.inLog].flatMap((register) => {
    const marked: Match = { [register]: hasFlags(LogMark.logged) };
    return [
      {
        table: Table.commit,
        priority: Priority.commit.logged,
        match: { ...marked, ctState: "-est+trk", ethDst: UNICAST_MAC },
        actions: tell("allowed", Table.commit),
      },
      { table: Table.denied, priority: Priority.denied.logged, match: marked, actions: tell("denied", Table.denied) },
    ];
  });
}

function tell(verdict: SampledVerdict, table: number): Action[] {
  return [
    { kind: "controller", userdata: sampleNote(verdict), meter: sampleMeterId(verdict) },
    setField(Register.outLog, 0),
    setField(Register.inLog, 0),
    { kind: "resubmit", table },
  ];
}
