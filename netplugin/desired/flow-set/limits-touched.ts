import type { EndpointRecord } from "../../../state/kinds/endpoint.ts";
import { NO_MEANS } from "../../machine/limit-means.ts";
import type { Changes } from "../../view/node-view.ts";
import { endpointsOfNode } from "../../view/query.ts";
import type { FlowContext } from "../engine/context.ts";
import { planCeilings } from "../limits/ceilings.ts";
import { netprofileOf } from "../limits/limit-plan.ts";

/** Keys of this node's endpoints whose netprofile differs between the views: another one, none any more, or changed. */
export function* limitedAnew(before: FlowContext, after: FlowContext, changes: Changes): Generator<string> {
  const concerns = [...changes.values()].some(({ kind }) => kind === "netprofile" || kind === "endpointGroup");
  if (!concerns) return;
  for (const endpoint of endpointsOfNode(after.view, after.machine.nodeName)) {
    if (profileIn(before, endpoint) !== profileIn(after, endpoint)) yield endpoint.key;
  }
}

/** This node's endpoints that other ceilings are over than before. Their rates are the meters' business. */
export function* ceilingedAnew(before: FlowContext, after: FlowContext, changes: Changes): Generator<EndpointRecord> {
  const concerns = [...changes.values()].some(({ kind }) => kind === "tenant" || kind === "endpointGroup");
  if (!concerns) return;
  for (const endpoint of endpointsOfNode(after.view, after.machine.nodeName)) {
    if (ceilingsText(before, endpoint) !== ceilingsText(after, endpoint)) yield endpoint;
  }
}

function ceilingsText({ view, machine }: FlowContext, endpoint: EndpointRecord): string {
  const ceilings = planCeilings(view, endpoint, machine.limitMeans ?? NO_MEANS);
  return ceilings.map(({ direction, meterId }) => `${direction} ${meterId}`).join();
}

/** Records are never changed in place: the same object is the same profile. */
function profileIn({ view }: FlowContext, endpoint: EndpointRecord) {
  return netprofileOf(view, endpoint);
}
