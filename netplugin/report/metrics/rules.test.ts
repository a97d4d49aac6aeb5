import { Registry } from "prom-client";
import { expect, it } from "vitest";
import { addReportMetrics, RULE_SERIES_MAX } from "./rules.ts";

async function metricsOf(ruleCount: number): Promise<string> {
  const registry = new Registry();
  const totals = new Map(Array.from({ length: ruleCount }, (_, index) => [`t:p:${index}`, { packets: 1, bytes: 60 }]));
  const failures = () => ["endpoint/a", "endpoint/b", "rule/t:p:1"];
  addReportMetrics(registry, { failures, ruleTotals: () => totals, decides: (rule) => rule !== "t:p:7" });
  await registry.metrics();
  return registry.metrics(); // asked twice: counters must not grow by being read
}

it("metrics count failures by kind, and rules one by one while they are few; log rules are not in the sum", async () => {
  const few = await metricsOf(RULE_SERIES_MAX);
  expect(few).toContain('contiv_netplugin_enforcement_failures{kind="endpoint"} 2');
  expect(few).toContain('contiv_netplugin_enforcement_failures{kind="rule"} 1');
  expect(few).toContain('contiv_netplugin_enforcement_failures{kind="node"} 0');
  expect(few).toContain('contiv_netplugin_rule_packets_total{rule="t:p:7"} 1');
  expect(few).toContain(`contiv_netplugin_rules_bytes_total ${(RULE_SERIES_MAX - 1) * 60}`);
  const many = await metricsOf(RULE_SERIES_MAX + 1);
  expect(many).toContain(`contiv_netplugin_rules_packets_total ${RULE_SERIES_MAX}`);
  expect(many).not.toContain("contiv_netplugin_rule_packets_total{");
});
