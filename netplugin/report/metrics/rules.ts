import { Counter, Gauge, type Registry } from "prom-client";
import { countByKind } from "../enforcement.ts";
import type { Total } from "../hits/hit-deltas.ts";

export interface ReportMetricSources {
  /** Objects that could not be enforced, as `kind/key`. */
  readonly failures: () => Iterable<string>;
  readonly ruleTotals: () => ReadonlyMap<string, Total>;
  /** False for log rules, which what they match passes as well as a rule that decides. */
  readonly decides: (ruleKey: string) => boolean;
}

/** Rules that get a series of their own; with more, only the sums are shown. */
export const RULE_SERIES_MAX = 100;

export function addReportMetrics(registry: Registry, sources: ReportMetricSources): void {
  const { failures } = sources;
  const registers = [registry];
  new Gauge({
    name: "contiv_netplugin_enforcement_failures",
    help: "Objects that this node cannot enforce, by kind; endpoints concerned are closed",
    labelNames: ["kind"],
    registers,
    collect() {
      this.reset();
      for (const kind of ["endpoint", "rule", "network", "node"]) this.set({ kind }, 0);
      for (const [kind, count] of Object.entries(countByKind(failures()))) this.set({ kind }, count);
    },
  });
  for (const unit of ["packets", "bytes"] as const) addRuleCounters(registers, unit, sources);
}

function addRuleCounters(
  registers: Registry[],
  unit: "packets" | "bytes",
  { ruleTotals, decides }: ReportMetricSources,
): void {
  new Counter({
    name: `contiv_netplugin_rules_${unit}_total`,
    help: `${unit} that rules have decided over on this node since netplugin started`,
    registers,
    collect() {
      this.reset();
      for (const [rule, total] of ruleTotals()) if (decides(rule)) this.inc(total[unit]);
    },
  });
  new Counter({
    name: `contiv_netplugin_rule_${unit}_total`,
    help: `${unit} that each rule has decided over or logged on this node, while no more than ${RULE_SERIES_MAX} rules have met packets`,
    labelNames: ["rule"],
    registers,
    collect() {
      this.reset();
      const totals = ruleTotals();
      if (totals.size > RULE_SERIES_MAX) return;
      for (const [rule, total] of totals) this.inc({ rule }, total[unit]);
    },
  });
}
