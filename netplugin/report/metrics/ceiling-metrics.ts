import { Counter, Gauge, type Registry } from "prom-client";
import type { CeilingTraffic } from "../../../state/bandwidth/report.ts";
import type { NodeTraffic } from "../traffic/start.ts";

const LABELS = ["kind", "key", "direction"] as const;

interface Measured {
  readonly labels: Record<(typeof LABELS)[number], string>;
  readonly value: number;
}

type Read = (traffic: CeilingTraffic) => number | undefined;

/** Metrics of the ceilings of groups and tenants on this node; `direction` is the pods'. */
export function registerCeilingMetrics(registry: Registry, traffic: () => NodeTraffic | undefined): void {
  const common = { labelNames: LABELS, registers: [registry] };
  const counter = (name: string, help: string, read: Read) =>
    new Counter({
      ...{ name: `contiv_netplugin_ceiling_${name}_total`, help, ...common },
      collect() {
        this.reset();
        for (const { labels, value } of measured(traffic(), read)) this.inc(labels, value);
      },
    });
  new Gauge({
    name: "contiv_netplugin_ceiling_bits_per_second",
    help: "Ceiling over all pods of a group or tenant, in bit/s",
    ...common,
    collect() {
      this.reset();
      for (const { labels, value } of measured(traffic(), (each) => each.rateBitPerSecond)) this.set(labels, value);
    },
  });
  counter("passed_bytes", "Bytes that passed the ceiling since its meter was made", (each) => each.totalBytes);
  counter("dropped_packets", "Packets that the ceiling dropped", (each) => each.droppedPackets);
}

function* measured(traffic: NodeTraffic | undefined, read: Read): Generator<Measured> {
  for (const { kind, key, podIngress, podEgress } of traffic?.ceilingReports().values() ?? []) {
    for (const [direction, found] of Object.entries({ ingress: podIngress, egress: podEgress })) {
      const value = found && read(found);
      if (value !== undefined) yield { labels: { kind, key, direction }, value };
    }
  }
}
