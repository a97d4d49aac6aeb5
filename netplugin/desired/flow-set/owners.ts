import type { EndpointRecord } from "../../../state/kinds/endpoint.ts";
import type { Kind } from "../../../state/records.ts";
import { type ObjectId, objectId } from "../../view/messages.ts";
import type { NodeView } from "../../view/node-view.ts";
import { recordOf, recordsOf } from "../../view/query.ts";
import { BASE_OWNER, type FlowContext, NO_FLOWS, type OwnedFlows, own } from "../engine/context.ts";
import { baseFlows } from "../forwarding/base.ts";
import { endpointFlows } from "../forwarding/endpoint.ts";
import { networkFlows } from "../forwarding/network.ts";
import { nodeFlows } from "../forwarding/node.ts";
import { endpointPolicy } from "../policy/endpoint.ts";
import { ruleFlows } from "../policy/rules.ts";
import type { Owner } from "./step.ts";

const OWNING_KINDS = ["network", "node", "endpoint", "rule"] as const satisfies readonly Kind[];

/** Every owner of a view. */
export function* allOwners(view: NodeView): Generator<[ObjectId, Owner]> {
  yield [BASE_OWNER, { kind: "base", key: "" }];
  for (const kind of OWNING_KINDS) {
    for (const { key } of recordsOf(view, kind)) yield [objectId(kind, key), { kind, key }];
  }
}

/** The flows of one owner as they should be; none when the object does not exist. */
export function flowsOf(context: FlowContext, owner: Owner): OwnedFlows {
  const refused = context.machine.refused?.get(objectId(owner.kind, owner.key));
  if (refused !== undefined && recordOf(context.view, refused.kind, refused.key) !== undefined) {
    return { flows: [], failure: refused.reason };
  }
  switch (owner.kind) {
    case "base":
      return baseFlows(context);
    case "network":
      return withRecord(recordOf(context.view, "network", owner.key), (record) => networkFlows(context, record));
    case "node":
      return withRecord(recordOf(context.view, "node", owner.key), (record) => nodeFlows(context, record));
    case "endpoint":
      return withRecord(recordOf(context.view, "endpoint", owner.key), (record) => allEndpointFlows(context, record));
    case "rule":
      return withRecord(recordOf(context.view, "rule", owner.key), (record) => ruleFlows(context, record));
    default:
      return owner satisfies never;
  }
}

/** Forwarding and policy have one owner: an endpoint is there when both are. */
function allEndpointFlows(context: FlowContext, endpoint: EndpointRecord): OwnedFlows {
  const forwarding = endpointFlows(context, endpoint);
  const policy = endpointPolicy(context, endpoint);
  if (policy.drafts.length === 0) return forwarding;
  const flows = own(context, objectId("endpoint", endpoint.key), policy.drafts);
  return { flows: [...forwarding.flows, ...flows], failure: forwarding.failure ?? policy.failure };
}

function withRecord<R>(record: R | undefined, compute: (record: R) => OwnedFlows): OwnedFlows {
  return record === undefined ? NO_FLOWS : compute(record);
}
