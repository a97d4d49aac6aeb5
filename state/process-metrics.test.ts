import { Registry } from "prom-client";
import { expect, it } from "vitest";
import { addProcessMetrics } from "./process-metrics.ts";

/** What `promtool check metrics` asks of names: counters, and only counters, end in `_total`. */
it.each(["contiv_netmaster_", "contiv_netplugin_"])(
  "process metrics are named by the rules: prefix %j",
  async (prefix) => {
    const registry = new Registry();
    addProcessMetrics(registry, prefix);
    const types = [...(await registry.metrics()).matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => ({
      name,
      type,
    }));
    expect(types.length).toBeGreaterThan(20);
    for (const { name, type } of types) expect([name, name?.endsWith("_total")]).toEqual([name, type === "counter"]);
    expect(types.map(({ name }) => name)).toContain(`${prefix}nodejs_active_handles`);
  },
);
