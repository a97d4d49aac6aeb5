import { Counter, Gauge, type Registry } from "prom-client";
import type { Receipt } from "../../state/node-api.ts";
import type { HitCounters } from "../node-reports/hit-counters.ts";
import type { ClusterView } from "../view/types.ts";

export interface ReportMetricSources {
  view(): ClusterView;
  receipt(nodeName: string): Receipt | undefined;
  readonly hits: Pick<HitCounters, "rules">;
}

/** Rules that get a series of their own; with more, only the sums by action and direction are shown. */
export const RULE_SERIES_MAX = 200;

/** What the nodes have told, summed over them. Only the leader has something to show. */
export function addReportMetrics(registry: Registry, sources: ReportMetricSources): void {
  addReceiptGauges(registry, sources);
  for (const unit of ["packets", "bytes"] as const) addRuleCounters(registry, unit, sources);
}

function addReceiptGauges(registry: Registry, sources: ReportMetricSources): void {
  const registers = [registry];
  new Gauge({
    name: "contiv_netmaster_enforcement_failures",
    help: "Objects that nodes cannot enforce, by kind, summed over the nodes",
    labelNames: ["kind"],
    registers,
    collect() {
      this.reset();
      for (const kind of ["endpoint", "rule", "network", "node"]) this.set({ kind }, 0);
      for (const { failureCounts = {} } of receipts(sources)) {
        for (const [kind, count] of Object.entries(failureCounts)) this.inc({ kind }, count);
      }
    },
  });
  new Gauge({
    name: "contiv_netmaster_enforcement_failing_nodes",
    help: "Nodes that cannot enforce something",
    registers,
    collect() {
      this.set([...receipts(sources)].filter(({ failures }) => Object.keys(failures).length > 0).length);
    },
  });
  new Gauge({
    name: "contiv_netmaster_enforced_revision_min",
    help: "The lowest store revision that a ready node enforces; contiv_netmaster_view_revision less this is the greatest lag",
    registers,
    collect() {
      this.remove(); // reset would leave a 0, which reads as the greatest lag of all
      const revisions = Array.from(receipts(sources), ({ enforcedRevision }) => Number(enforcedRevision));
      if (revisions.length > 0) this.set(revisions.reduce((low, revision) => Math.min(low, revision)));
    },
  });
}

/** Receipts of the nodes that are ready. */
function* receipts({ view, receipt }: ReportMetricSources): Generator<Receipt> {
  for (const [name, { state }] of view().records("node").entries()) {
    const found = state === "ready" ? receipt(name) : undefined;
    if (found !== undefined) yield found;
  }
}

function addRuleCounters(registry: Registry, unit: "packets" | "bytes", { view, hits }: ReportMetricSources): void {
  const registers = [registry];
  new Counter({
    name: `contiv_netmaster_rules_${unit}_total`,
    help: `${unit} that rules have decided over, by action and direction, since this netmaster leads`,
    labelNames: ["action", "direction"],
    registers,
    collect() {
      this.reset();
      for (const action of ["allow", "deny", "log"]) {
        for (const direction of ["in", "out"]) this.inc({ action, direction }, 0);
      }
      const rules = view().records("rule");
      for (const [key, found] of hits.rules()) {
        const { action, direction } = rules.get(key)?.config ?? {};
        if (action !== undefined && direction !== undefined) this.inc({ action, direction }, found[unit]);
      }
    },
  });
  new Counter({
    name: `contiv_netmaster_rule_${unit}_total`,
    help: `${unit} that each rule has decided over or logged, while no more than ${RULE_SERIES_MAX} rules have met packets`,
    labelNames: ["rule"],
    registers,
    collect() {
      this.reset();
      if (hits.rules().size > RULE_SERIES_MAX) return;
      for (const [rule, found] of hits.rules()) this.inc({ rule }, found[unit]);
    },
  });
}
