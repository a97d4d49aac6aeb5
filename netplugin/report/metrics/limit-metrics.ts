import { Counter, Gauge, type Registry } from "prom-client";
import type { BandwidthReport, DirectionTraffic } from "../../../state/bandwidth/report.ts";
import type { PlannedLimit } from "../../desired/limits/limit-plan.ts";
import type { NodeView } from "../../view/node-view.ts";
import { recordOf } from "../../view/query.ts";
import type { MeasuredLimits } from "../traffic/start.ts";

const POD_LABELS = ["endpoint", "namespace", "pod"] as const;
const LABELS = [...POD_LABELS, "direction", "source", "mechanism"] as const;
type Labels = Record<(typeof LABELS)[number], string>;

/** What limits are told of. */
export interface LimitedNode extends MeasuredLimits {
  view(): NodeView;
}

interface Row {
  readonly labels: Labels;
  readonly limit: PlannedLimit<string>;
  readonly traffic: DirectionTraffic | undefined;
}

/** Metrics of every limited direction of every pod; `direction` is the pod's. */
export function registerLimitMetrics(registry: Registry, node: () => LimitedNode | undefined): void {
  const registers = [registry];
  const name = (what: string) => `contiv_netplugin_limit_${what}`;
  const gauge = (what: string, help: string, read: (row: Row) => number | undefined) =>
    new Gauge({
      ...{ name: name(what), help, labelNames: LABELS, registers },
      collect() {
        this.reset();
        for (const { labels, value } of valuesOf(node(), read)) this.set(labels, value);
      },
    });
  const counter = (what: string, help: string, read: (row: Row) => number | undefined) =>
    new Counter({
      ...{ name: `${name(what)}_total`, help, labelNames: LABELS, registers },
      collect() {
        this.reset();
        for (const { labels, value } of valuesOf(node(), read)) this.inc(labels, value);
      },
    });
  gauge("bits_per_second", "Bandwidth limit of a pod, in bit/s", ({ limit }) => limit.rateBitPerSecond);
  gauge("burst_bits", "Burst of the limit, in bits", ({ limit }) => limit.burstBits);
  gauge("backlog_bytes", "Bytes that wait in the limit's queue", ({ traffic }) => traffic?.backlogBytes);
  counter("passed_bytes", "Bytes that passed since the port was made", ({ traffic }) => traffic?.totalBytes ?? 0);
  counter("dropped_packets", "Packets dropped by the limit, where something counts them", ({ traffic }) =>
    traffic === undefined ? 0 : traffic.droppedPackets,
  );
  registerDropped(registers, node);
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

/** What each pod may do per second, whether it is limited otherwise or not. */
function registerDropped(registers: Registry[], node: () => LimitedNode | undefined): void {
  const dropped = (what: string, help: string, read: (report: BandwidthReport) => number | undefined) =>
    new Counter({
      ...{ name: `contiv_netplugin_${what}_dropped_total`, help, labelNames: POD_LABELS, registers },
      collect() {
        this.reset();
        const told = node();
        for (const [endpoint, report] of told?.traffic.reports() ?? [])
          this.inc(podLabels(told, endpoint), read(report) ?? 0);
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
}

/** Nobody knows a container's id by heart. Both are empty for what is no pod of Kubernetes. */
function podLabels(node: LimitedNode | undefined, endpoint: string): Record<(typeof POD_LABELS)[number], string> {
  const { podNamespace = "", podName = "" } = (node && recordOf(node.view(), "endpoint", endpoint)) ?? {};
  return { endpoint, namespace: podNamespace, pod: podName };
}

function* valuesOf(
  node: LimitedNode | undefined,
  read: (row: Row) => number | undefined,
): Generator<{ readonly labels: Labels; readonly value: number }> {
  for (const row of rowsOf(node)) {
    const value = read(row);
    if (value !== undefined) yield { labels: row.labels, value };
  }
}

function* rowsOf(node: LimitedNode | undefined): Generator<Row> {
  if (node === undefined) return;
  const reports = node.traffic.reports();
  for (const [endpoint, { plan }] of node.limits.keeper.statuses()) {
    const pod = podLabels(node, endpoint);
    for (const direction of ["podIngress", "podEgress"] as const) {
      const limit = plan[direction];
      if (limit === undefined) continue;
      const { source, mechanism } = limit;
      const labels = { ...pod, direction: direction === "podIngress" ? "ingress" : "egress", source, mechanism };
      yield { labels, limit, traffic: reports.get(endpoint)?.[direction] };
    }
  }
}
