import { Gauge, type Registry } from "prom-client";
import type { BandwidthReport, DirectionTraffic } from "../../../state/bandwidth/report.ts";
import type { PlannedLimit } from "../../desired/limits/limit-plan.ts";
import type { MeasuredLimits } from "../traffic/start.ts";

const LABELS = ["endpoint", "direction", "source", "mechanism"] as const;
type Labels = Record<(typeof LABELS)[number], string>;

interface Row {
  readonly labels: Labels;
  readonly limit: PlannedLimit<string>;
  readonly traffic: DirectionTraffic | undefined;
}

/** Metrics of every limited direction of every pod; `direction` is the pod's. */
export function registerLimitMetrics(registry: Registry, node: () => MeasuredLimits | undefined): void {
  const registers = [registry];
  const gauge = (name: string, help: string, read: (row: Row) => number | undefined) =>
    new Gauge({
      name: `contiv_netplugin_limit_${name}`,
      help,
      labelNames: LABELS,
      registers,
      collect() {
        this.reset();
        for (const row of rowsOf(node())) {
          const value = read(row);
          if (value !== undefined) this.set(row.labels, value);
        }
      },
    });
  gauge("bits_per_second", "Bandwidth limit of a pod, in bit/s", ({ limit }) => limit.rateBitPerSecond);
  gauge("burst_bits", "Burst of the limit, in bits", ({ limit }) => limit.burstBits);
  gauge("passed_bytes", "Bytes that passed since the port was made", ({ traffic }) => traffic?.totalBytes);
  gauge("dropped_packets", "Packets dropped by the limit", ({ traffic }) => traffic?.droppedPackets);
  gauge("backlog_bytes", "Bytes that wait in the limit's queue", ({ traffic }) => traffic?.backlogBytes);
  const dropped = (what: string, help: string, read: (report: BandwidthReport) => number | undefined) =>
    new Gauge({
      name: `contiv_netplugin_${what}_dropped`,
      help: `${help}; only pods that did`,
      labelNames: ["endpoint"],
      registers,
      collect() {
        this.reset();
        for (const [endpoint, report] of node()?.traffic.reports() ?? []) {
          const count = read(report);
          if (count !== undefined) this.set({ endpoint }, count);
        }
      },
    });
  dropped(
    "new_connections",
    "Beginnings of connections dropped because a pod began too many per second (--new-connections-per-second)",
    ({ droppedNewConnections }) => droppedNewConnections,
  );
  dropped(
    "neighbour_messages",
    "ARP and neighbour discovery dropped because a pod sent too many per second (--neighbour-messages-per-second)",
    ({ droppedNeighbourMessages }) => droppedNeighbourMessages,
  );
  new Gauge({
    name: "contiv_netplugin_limits_amiss",
    help: "Endpoints whose bandwidth limits are not in force",
    registers,
    collect() {
      this.set(
        [...(node()?.limits.keeper.statuses().values() ?? [])].filter(({ failure }) => failure !== undefined).length,
      );
    },
  });
}

function* rowsOf(node: MeasuredLimits | undefined): Generator<Row> {
  if (node === undefined) return;
  const reports = node.traffic.reports();
  for (const [endpoint, { plan }] of node.limits.keeper.statuses()) {
    for (const direction of ["podIngress", "podEgress"] as const) {
      const limit = plan[direction];
      if (limit === undefined) continue;
      const { source, mechanism } = limit;
      const labels = { endpoint, direction: direction === "podIngress" ? "ingress" : "egress", source, mechanism };
      yield { labels, limit, traffic: reports.get(endpoint)?.[direction] };
    }
  }
}
