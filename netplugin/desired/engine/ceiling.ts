import type { Action } from "../../../drivers/ovs/openflow/action.ts";
import type { PodLimits } from "../../../state/bandwidth/limits.ts";
import type { LimitPlan } from "../limits/limit-plan.ts";
import { output } from "../pipeline/actions.ts";
import { Priority, Register, Table } from "../pipeline/pipeline.ts";
import type { FlowDraft } from "./context.ts";
import type { LocalPlace } from "./place.ts";

/** The meters of the ceilings over a pod, group before tenant: what the first one drops does not reach the second. */
export function ceilingMeters({ ceilings }: LimitPlan, direction: keyof PodLimits): Action[] {
  return ceilings.flatMap((ceiling) => {
    const { meterId } = ceiling;
    return ceiling.direction === direction && meterId !== undefined ? [{ kind: "meter", meter: meterId }] : [];
  });
}

/**
 * Whatever is delivered to a pod under a ceiling passes its meters once, at the last step. It is a copy of a flooded packet that may end
 * there, not the packet itself: others still wait for theirs.
 */
export function deliveryFlows({ limits, ofport }: LocalPlace): FlowDraft[] {
  const meters = ceilingMeters(limits, "podIngress");
  if (meters.length === 0) return [];
  return [
    {
      table: Table.output,
      priority: Priority.output.ceiling,
      match: { [Register.outputPort]: ofport },
      actions: [{ kind: "clone", actions: [...meters, output(ofport)] }],
    },
  ];
}
