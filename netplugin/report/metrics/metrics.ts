import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { addProcessMetrics } from "../../../state/process-metrics.ts";
import { READY_STATES, type ReadyState } from "../../../state/readiness.ts";
import { CNI_COMMANDS } from "../../cni/environment.ts";

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
  readonly stackRepairs: Counter<"what">;
  readonly attachmentRepairs: Counter<"kind">;
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
  readonly foreignFlows: () => number;
  readonly isConnected: () => boolean;
  readonly enforcedRevision: () => bigint;
  readonly readyState: () => ReadyState;
}

export function createMetrics(sources: MetricSources): Metrics {
  const registry = new Registry();
  addProcessMetrics(registry, PREFIX);
  registerGauges(registry, sources);
  registerReadyState(registry, sources);
  return { registry, ...durations(registry), ...repairs(registry), ...connections(registry) };
}

const PREFIX = "contiv_netplugin_";

function registerGauges(registry: Registry, sources: MetricSources): void {
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      ...{ name: `${PREFIX}${name}`, help, registers: [registry] },
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
  gauge("foreign_flows", "Flows in the integration bridge that are not contiv's", sources.foreignFlows);
  gauge("ready_ports", "Ports that wait for a pod", sources.readyPorts);
  gauge("switch_connected", "1 while Open vSwitch answers", () => Number(sources.isConnected()));
  gauge("enforced_revision", "Store revision that the switch enforces", () => Number(sources.enforcedRevision()));
}

/** 1 for the present state, 0 for the others, so that an alert can name the state. */
function registerReadyState(registry: Registry, { readyState }: Pick<MetricSources, "readyState">): void {
  new Gauge({
    name: `${PREFIX}ready_state`,
    help: "1 for the state that this node is in: starting, ready, degraded or not-ready",
    labelNames: ["state"],
    registers: [registry],
    collect() {
      const current = readyState();
      for (const state of READY_STATES) this.set({ state }, Number(state === current));
    },
  });
}

function durations(registry: Registry): Pick<Metrics, "cniCalls" | "flowRounds"> {
  const common = { buckets: CALL_BUCKETS_S, registers: [registry] };
  const histograms = {
    cniCalls: new Histogram({
      name: `${PREFIX}cni_call_seconds`,
      help: "Duration of CNI calls by command and CNI error code (0 = success)",
      labelNames: ["command", "code"],
      ...common,
    }),
    flowRounds: new Histogram({
      name: `${PREFIX}flow_round_seconds`,
      help: "Duration of rounds that bring the flows up to date, by kind",
      labelNames: ["kind"],
      ...common,
    }),
  };
  for (const command of CNI_COMMANDS) histograms.cniCalls.zero({ command, code: "0" });
  for (const kind of ["full", "change"]) histograms.flowRounds.zero({ kind });
  return histograms;
}

/** A counter without labels; one with a label, whose values are known and begin at 0: an alert sees the first event. */
function countersOf(registry: Registry) {
  const registers = [registry];
  return {
    plain: (name: string, help: string) => new Counter({ name: `${PREFIX}${name}_total`, help, registers }),
    by: <L extends string>(label: L, name: string, { help, values }: Labelled) => {
      const counter = new Counter<L>({ name: `${PREFIX}${name}_total`, help, labelNames: [label], registers });
      for (const value of values) counter.inc({ [label]: value } as Record<L, string>, 0);
      return counter;
    },
  };
}

interface Labelled {
  readonly help: string;
  readonly values: readonly string[];
}

type Repairs =
  | "flowDrift"
  | "flowRefusals"
  | "reconcileFailures"
  | "leaseRepairs"
  | "limitRepairs"
  | "stackRepairs"
  | "attachmentRepairs"
  | "heartbeatFailures";

function repairs(registry: Registry): Pick<Metrics, Repairs> {
  const { plain, by } = countersOf(registry);
  return {
    flowDrift: by("difference", "flow_drift", {
      help: "Flows that were not as they should be and were repaired, by difference",
      values: ["missing", "changed", "foreign"],
    }),
    flowRefusals: plain("flow_refusals", "Bundles that the switch refused because of single flows or meters"),
    reconcileFailures: plain("reconcile_failures", "Rounds that could not bring the switch up to date"),
    leaseRepairs: by("kind", "lease_repairs", {
      help: "Leases without port that were released, and ports without lease that were closed",
      values: ["released-lease", "closed-port"],
    }),
    attachmentRepairs: by("kind", "attachment_repairs", {
      help: "Pods' ports that were lost or damaged and were repaired: plugged in again (port), their links put right (link), given a new interface (interface), pods gone without DEL (gone)",
      values: ["port", "link", "interface", "gone"],
    }),
    limitRepairs: plain("limit_repairs", "Ports whose bandwidth limits were not as set and were repaired"),
    stackRepairs: by("what", "stack_guard_repairs", {
      help: "Tables of nftables and links that were open to this node's kernel and were closed again",
      values: ["table", "link"],
    }),
    heartbeatFailures: plain("heartbeat_failures", "Heartbeats that reached no netmaster"),
  };
}

type Connections = "announcements" | "connectionsFlushed" | "connectionFailures" | "connectionSamples";

function connections(registry: Registry): Pick<Metrics, Connections> {
  const { plain, by } = countersOf(registry);
  return {
    announcements: by("outcome", "announcements", {
      help: "Packets that announced endpoints of this node (sent, failed), and bursts left out as too many (dropped)",
      values: ["sent", "failed", "dropped"],
    }),
    connectionsFlushed: by("reason", "connections_flushed", {
      help: "Tracked connections forgotten because rules deny them by now (denied) or their endpoint has left (departed)",
      values: ["denied", "departed"],
    }),
    connectionFailures: plain("connection_failures", "Looks at tracked connections that failed and were tried again"),
    connectionSamples: by("outcome", "connection_samples", {
      help: "Packets that log rules match, as sampled by the switch, by what became of them: logged, folded (the same connection again), suppressed (too many lines), dropped (too many waited), unreadable",
      values: ["logged", "folded", "suppressed", "dropped", "unreadable"],
    }),
  };
}
