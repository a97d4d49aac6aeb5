import { Registry } from "prom-client";
import { describe, expect, it } from "vitest";
import type { Receipt } from "../../state/node-api.ts";
import type { Hits } from "../node-reports/hit-counters.ts";
import { put, worldView } from "../view/testing.ts";
import { addReportMetrics, RULE_SERIES_MAX } from "./node-reports.ts";

const RULES = Array.from({ length: RULE_SERIES_MAX + 1 }, (_, index) => `t:p:${index}`);
const VIEW = worldView(
  ["tenant t", "policy t:p", ...RULES.map((key) => `rule ${key}`), "node n1", "node n2"].join("\n"),
);

function receipt(enforcedRevision: string, failureCounts: Record<string, number>): Receipt {
  const failures = Object.fromEntries(Object.keys(failureCounts).map((kind) => [`${kind}/x`, "no"]));
  return { enforcedRevision, enforcedAt: "", endpointCount: 0, flowCount: 0, failures, failureCounts };
}

async function metricsOf(receipts: Record<string, Receipt>, hitCount: number, view = VIEW): Promise<string> {
  const registry = new Registry();
  const hits: Hits = { packets: 2, bytes: 200, lastAtMs: 0 };
  const rules = new Map(RULES.slice(0, hitCount).map((key) => [key, hits]));
  addReportMetrics(registry, { view: () => view, receipt: (name) => receipts[name], hits: { rules: () => rules } });
  await registry.metrics();
  return registry.metrics(); // asked twice: counters must not grow by being read
}

describe("metrics of what the nodes have told", () => {
  it("sum failures and show the lowest revision", async () => {
    const receipts = { n1: receipt("7", { rule: 2, endpoint: 1 }), n2: receipt("5", { rule: 1 }) };
    const text = await metricsOf(receipts, 0);
    expect(text).toContain('contiv_netmaster_enforcement_failures{kind="rule"} 3');
    expect(text).toContain('contiv_netmaster_enforcement_failures{kind="endpoint"} 1');
    expect(text).toContain('contiv_netmaster_enforcement_failures{kind="network"} 0');
    expect(text).toContain("contiv_netmaster_enforcement_failing_nodes 2");
    expect(text).toContain("contiv_netmaster_enforced_revision_min 5");
  });

  it("have no lowest revision while no node has told one: 0 would be the greatest lag", async () => {
    expect(await metricsOf({}, 0)).not.toMatch(/^contiv_netmaster_enforced_revision_min/m);
  });

  it("leave out nodes that are silent", async () => {
    const node = VIEW.records("node").get("n2");
    if (node === undefined) throw new Error("no node");
    const view = put(VIEW, { kind: "node", record: { ...node, state: "unreachable" } });
    const text = await metricsOf({ n1: receipt("7", {}), n2: receipt("5", { rule: 1 }) }, 0, view);
    expect(text).toContain("contiv_netmaster_enforced_revision_min 7");
    expect(text).toContain("contiv_netmaster_enforcement_failing_nodes 0");
  });

  it("show rules one by one while they are few, and their sum always", async () => {
    const few = await metricsOf({}, 2);
    expect(few).toContain('contiv_netmaster_rules_packets_total{action="allow",direction="in"} 4');
    expect(few).toContain('contiv_netmaster_rule_bytes_total{rule="t:p:1"} 200');
    const many = await metricsOf({}, RULE_SERIES_MAX + 1);
    expect(many).toContain(
      `contiv_netmaster_rules_packets_total{action="allow",direction="in"} ${(RULE_SERIES_MAX + 1) * 2}`,
    );
    expect(many).not.toContain("contiv_netmaster_rule_packets_total{");
  });
});
