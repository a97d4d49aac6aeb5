import { Gauge, type Registry } from "prom-client";
import type { CeilingTraffic } from "../../../state/bandwidth/report.ts";
import type { NodeTraffic } from "../traffic/start.ts";

const LABELS = ["kind", "key", "direction"] as const;

/** Metrics of the ceilings of groups and tenants on this node; `direction` is the pods'. */
export function registerCeilingMetrics(registry: Registry, traffic: () => NodeTraffic | undefined): void {
  const gauge = (name: string, help: string, read: (traffic: CeilingTraffic) => number | undefined) =>
    new Gauge({
      name: `contiv_netplugin_ceiling_${name}`,
      help,
      labelNames: LABELS,
      registers: [registry],
      collect() {
        this.reset();
        for (const { kind, key, podIngress, podEgress } of traffic()?.ceilingReports().values() ?? []) {
          for (const [direction, measured] of Object.entries({ ingress: podIngress, egress: podEgress })) {
            const value = measured && read(measured);
            if (value !== undefined) this.set({ kind, key, direction }, value);
          }
        }
      },
    });
  gauge("bits_per_second", "Ceiling over all pods of a group or tenant, in bit/s", (each) => each.rateBitPerSecond);
  gauge("passed_bytes", "Bytes that passed it since its meter was made", (each) => each.totalBytes);
  gauge("dropped_packets", "Packets that it dropped", (each) => each.droppedPackets);
}
