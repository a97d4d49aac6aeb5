import type { EndpointRecord } from "../../../state/kinds/endpoint.ts";
import type { Changes } from "../../view/node-view.ts";
import { endpointsOfNode } from "../../view/query.ts";
import type { FlowContext } from "../engine/context.ts";
import { concernsLimits, limitChanges } from "../limits/endpoint-limits.ts";
import type { LimitPlan } from "../limits/limit-plan.ts";

/** One of this node's endpoints that flows limit otherwise than before. */
export interface LimitedAnew {
  readonly endpoint: EndpointRecord;
  /** The floods of its network may pass other meters. */
  readonly hasOtherCeilings: boolean;
}

/** Those whose flows differ because of netprofiles, groups or tenants. Rates are the meters' and ports' business. */
export function* limitedAnew(before: FlowContext, after: FlowContext, changes: Changes): Generator<LimitedAnew> {
  if (!concernsLimits(changes)) return;
  const endpoints = endpointsOfNode(after.view, after.machine.nodeName);
  for (const change of limitChanges(sourcesOf(before), sourcesOf(after), endpoints)) {
    const [was, is] = [change.before.plan, change.after.plan];
    const hasOtherCeilings = ceilingsText(was) !== ceilingsText(is);
    if (hasOtherCeilings || was.dscp !== is.dscp || isMetered(was) !== isMetered(is)) {
      yield { endpoint: change.endpoint, hasOtherCeilings };
    }
  }
}

function sourcesOf({ view, machine }: FlowContext) {
  return { view, means: machine.limitMeans };
}

function isMetered({ podEgress }: LimitPlan): boolean {
  return podEgress?.mechanism === "meter";
}

function ceilingsText({ ceilings }: LimitPlan): string {
  return ceilings.map(({ direction, meterId }) => `${direction} ${meterId}`).join();
}
