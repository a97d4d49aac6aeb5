import type { FlowCache } from "../../../drivers/ovs/flow-cache.ts";
import { tableOf } from "../../../drivers/ovs/openflow/packed-flow.ts";
import { Table } from "../../desired/pipeline/pipeline.ts";
import type { Changes } from "../../view/node-view.ts";

/** Flows that have been put or removed, by the keys of packed flows. */
export interface ChangedFlows {
  readonly put: Iterable<string>;
  readonly removed: Iterable<string>;
}

/**
 * After flows have been changed: what packets have met so far must not be what they go on to meet. A change of policies is not in
 * force before that. Endpoints that come and go bring packets that nobody has seen before; for them it need not be at once, so that
 * the churn of a busy node does not empty the cache all the time.
 */
export async function forgetAnswers(
  cache: FlowCache,
  { flows, changes }: { readonly flows: ChangedFlows; readonly changes: Changes },
  signal: AbortSignal,
): Promise<void> {
  if (!touchesPolicies(flows)) return;
  if (!isOnlyChurn(changes)) await cache.forget(signal);
  cache.forgetSoon();
}

function touchesPolicies({ put, removed }: ChangedFlows): boolean {
  for (const keys of [put, removed]) {
    for (const key of keys) if (isPolicyTable(tableOf(key))) return true;
  }
  return false;
}

/** Where policies are decided: a change here turns what the datapath knows of packets that it has seen before. */
function isPolicyTable(table: number): boolean {
  return table === Table.sourceGroup || (Table.conntrack <= table && table <= Table.denied);
}

function isOnlyChurn(changes: Changes): boolean {
  for (const { kind } of changes.values()) if (kind !== "endpoint" && kind !== "node") return false;
  return changes.size > 0;
}
