import { randomUUID } from "node:crypto";
import type { Registry } from "prom-client";
import type { OpenNodeRuntime } from "../node.ts";
import { recordOf } from "../view/query.ts";
import { type Enforcement, watchEnforcement } from "./enforcement.ts";
import { countHits } from "./hits/hit-counter.ts";
import { createHitLedger, type HitLedger } from "./hits/hit-ledger.ts";
import { addReportMetrics } from "./metrics/rules.ts";
import { createReportBell, type ReportBell } from "./report-bell.ts";

/** What this node tells of itself besides its conditions, and when it tells it before its time. */
export interface NodeReport {
  readonly bell: ReportBell;
  readonly enforcement: Enforcement;
  readonly ledger: HitLedger;
}

export interface NodeReportOptions {
  readonly runtime: OpenNodeRuntime;
  readonly nodeName: string;
  readonly registry: Registry;
  readonly signal: AbortSignal;
}

const RECEIPT_DELAY_MS = 50;

/** Begins to watch and to count; ends with the signal. */
export function startNodeReport({ runtime, nodeName, registry, signal }: NodeReportOptions): NodeReport {
  const { holder, flows, driver, log } = runtime;
  const { reconciler, loop } = flows;
  const bell = createReportBell(RECEIPT_DELAY_MS);
  const ledger = createHitLedger(randomUUID());
  const enforcement = watchEnforcement({
    ...{ holder, reconciler, loop, nodeName, signal },
    endpointCount: () => runtime.attachments().size,
    onEnforced: bell.ring,
  });
  holder.onStep(() => {
    if (runtime.offers.isOpen) bell.ring();
  });
  void countHits({
    ...{ ledger, signal },
    connection: () => driver.flowConnection.connection(),
    view: runtime.view,
    attachments: runtime.attachments,
    report: (error) => log.debug({ error: error.message }, "hits were not counted this time"),
  });
  addReportMetrics(registry, {
    failures: () => reconciler.failures().keys(),
    ruleTotals: ledger.totals,
    decides: (rule) => recordOf(runtime.view(), "rule", rule)?.config.action !== "log",
  });
  return { bell, enforcement, ledger };
}
