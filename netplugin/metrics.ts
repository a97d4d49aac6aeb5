import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

const CALL_BUCKETS_S = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5, 30];

/** What netplugin counts; times in seconds, as Prometheus wants them. */
export interface Metrics {
  readonly registry: Registry;
  readonly cniCalls: Histogram<"command" | "code">;
  readonly flowRounds: Histogram<"kind">;
  readonly flowDrift: Counter<"difference">;
  readonly reconcileFailures: Counter;
  readonly flowRefusals: Counter;
  readonly leaseRepairs: Counter<"kind">;
  readonly heartbeatFailures: Counter;
  readonly limitRepairs: Counter;
  readonly announcements: Counter<"outcome">;
  readonly connectionSamples: Counter<"outcome">;
  readonly connectionsFlushed: Counter<"reason">;
  readonly connectionFailures: Counter;
}

export interface MetricSources {
  readonly flows: () => number;
  readonly refusedObjects: () => number;
  readonly endpoints: () => number;
  readonly readyPorts: () => number;
  readonly isConnected: () => boolean;
  readonly enforcedRevision: () => bigint;
}

export function createMetrics(sources: MetricSources): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry, prefix: "contiv_netplugin_" });
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name: `contiv_netplugin_${name}`,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  gauge("flows", "Flows in the integration bridge", sources.flows);
  gauge(
    "refused_objects",
    "Objects whose flows the switch refuses; endpoints that need them are closed",
    sources.refusedObjects,
  );
  gauge("endpoints", "Endpoints attached on this node", sources.endpoints);
  gauge("ready_ports", "Ports that wait for a pod", sources.readyPorts);
  gauge("switch_connected", "1 while Open vSwitch answers", () => Number(sources.isConnected()));
  gauge("enforced_revision", "Store revision that the switch enforces", () => Number(sources.enforcedRevision()));
  const counter = (name: string, help: string) => new Counter({ name: `contiv_netplugin_${name}`, help, registers });
  return {
    registry,
    cniCalls: new Histogram({
      name: "contiv_netplugin_cni_call_seconds",
      help: "Duration of CNI calls by command and CNI error code (0 = success)",
      labelNames: ["command", "code"],
      buckets: CALL_BUCKETS_S,
      registers,
    }),
    flowRounds: new Histogram({
      name: "contiv_netplugin_flow_round_seconds",
      help: "Duration of rounds that bring the flows up to date, by kind",
      labelNames: ["kind"],
      buckets: CALL_BUCKETS_S,
      registers,
    }),
    flowDrift: new Counter({
      name: "contiv_netplugin_flow_drift_total",
      help: "Flows that were not as they should be and were repaired, by difference",
      labelNames: ["difference"],
      registers,
    }),
    flowRefusals: counter("flow_refusals_total", "Bundles that the switch refused because of single flows"),
    reconcileFailures: counter("reconcile_failures_total", "Rounds that could not bring the switch up to date"),
    leaseRepairs: new Counter({
      name: "contiv_netplugin_lease_repairs_total",
      help: "Leases without port that were released, and ports without lease that were closed",
      labelNames: ["kind"],
      registers,
    }),
    announcements: new Counter({
      name: "contiv_netplugin_announcements_total",
      help: "Packets that announced endpoints of this node (sent, failed), and bursts left out as too many (dropped)",
      labelNames: ["outcome"],
      registers,
    }),
    connectionsFlushed: new Counter({
      name: "contiv_netplugin_connections_flushed_total",
      help: "Tracked connections forgotten because rules deny them by now (denied) or their endpoint has left (departed)",
      labelNames: ["reason"],
      registers,
    }),
    connectionFailures: counter(
      "connection_failures_total",
      "Looks at tracked connections that failed and were tried again",
    ),
    connectionSamples: new Counter({
      name: "contiv_netplugin_connection_samples_total",
      help: "Packets that log rules match, as sampled by the switch, by what became of them: logged, folded (the same connection again), suppressed (too many lines), dropped (too many waited), unreadable",
      labelNames: ["outcome"],
      registers,
    }),
    limitRepairs: counter("limit_repairs_total", "Ports whose bandwidth limits were not as set and were repaired"),
    heartbeatFailures: counter("heartbeat_failures_total", "Heartbeats that reached no netmaster"),
  };
}
