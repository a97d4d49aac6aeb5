import { randomUUID } from "node:crypto";
import type { Registry } from "prom-client";
import { recordOf } from "../view/query.ts";
import { type Enforcement, watchEnforcement } from "./enforcement.ts";
import { countHits } from "./hits/hit-counter.ts";
import { createHitDeltas, type HitDeltas } from "./hits/hit-deltas.ts";
import { addReportMetrics } from "./metrics/rules.ts";
import { createReportTrigger, type ReportTrigger } from "./report-trigger.ts";
import type { ToldNode } from "./told-node.ts";

/** What this node tells of itself besides its conditions, and when it tells it before its time. */
export interface NodeReport {
  readonly trigger: ReportTrigger;
  readonly enforcement: Enforcement;
  readonly deltas: HitDeltas;
}

export interface NodeReportOptions {
  readonly node: ToldNode;
  readonly registry: Registry;
  readonly signal: AbortSignal;
}

const RECEIPT_DELAY_MS = 50;

/** Begins to watch and to count; ends with the signal. */
export function startNodeReport({ node, registry, signal }: NodeReportOptions): NodeReport {
  const { nodeName, holder, flows, ovs, log } = node;
  const { reconciler, connections } = flows;
  const trigger = createReportTrigger(RECEIPT_DELAY_MS);
  const deltas = createHitDeltas(randomUUID());
  const enforcement = watchEnforcement({
    ...{ holder, reconciler, connections, nodeName },
    endpointCount: () => node.attachments().size,
    onNews: trigger.request,
  });
  holder.onStep(() => {
    if (node.offers.isOpen) trigger.request();
  });
  void countHits({
    ...{ deltas, signal },
    connection: () => ovs.flowConnection.connection(),
    view: node.view,
    attachments: node.attachments,
    report: (error) => log.debug({ error: error.message }, "hits were not counted this time"),
  });
  addReportMetrics(registry, {
    failures: enforcement.failing,
    ruleTotals: deltas.totals,
    decides: (rule) => recordOf(node.view(), "rule", rule)?.config.action !== "log",
  });
  return { trigger, enforcement, deltas };
}
