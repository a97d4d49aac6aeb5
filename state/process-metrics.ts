import { collectDefaultMetrics, type Registry } from "prom-client";

/** Gauges of prom-client that end as counters do (`promtool check metrics` refuses that); each has a twin by type. */
const MISNAMED = [
  "nodejs_active_resources_total",
  "nodejs_active_handles_total",
  "nodejs_active_requests_total",
] as const;

/** Figures of this process: CPU, memory, event loop, garbage collection. */
export function addProcessMetrics(registry: Registry, prefix: string): void {
  collectDefaultMetrics({ register: registry, prefix });
  for (const name of MISNAMED) registry.removeSingleMetric(`${prefix}${name}`);
}
