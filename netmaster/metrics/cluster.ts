import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { NODE_STATES, shownState } from "../../state/kinds/node.ts";
import { addProcessMetrics } from "../../state/process-metrics.ts";
import { READY_STATES, type ReadyState } from "../../state/readiness.ts";
import type { Kind } from "../../state/records.ts";
import { KINDS } from "../../state/records.ts";
import type { Reporter, StoreReport } from "../../state/store/store.ts";
import type { GroupReport } from "../commit/committer.ts";
import type { ClusterView } from "../view/types.ts";

/** What the gauges read when they are asked. */
export interface MetricSources {
  view(): ClusterView;
  isLeading(): boolean;
  isSynced(): boolean;
  quarantinedCount(): number;
  waitingRequests(): number;
  nodeStreams(): number;
  isStoreFull(): boolean;
  divergedMembers(): number;
  readyState(): ReadyState;
}

/** The metrics of the process besides those of the REST API. */
export interface NetmasterMetrics {
  readonly registry: Registry;
  group(report: GroupReport): void;
  nodeCall(call: { readonly name: string; readonly status: number; readonly durationMs: number }): void;
  anomaly(): void;
  readonly storeReport: Reporter;
}

/** They begin at 0, so that an alert sees the first one. */
const STORE_TROUBLES: readonly StoreReport["kind"][] = [
  ...(["watch-down", "watch-drift", "store-replaced", "consumer-failed", "call-failed"] as const),
  ...(["lease-lost", "lease-thread-failed", "member-diverged", "members-undecided", "members-not-compared"] as const),
  ...(["watch-live", "watch-listed", "member-agrees"] as const),
];

const SECONDS_BUCKETS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5];

export function createMetrics(sources: MetricSources): NetmasterMetrics {
  const registry = new Registry();
  addProcessMetrics(registry, "contiv_netmaster_");
  addGauges(registry, sources);
  const commits = histogram(
    registry,
    "contiv_netmaster_commit_duration_seconds",
    "Time to write one group of changes into the store and see it in the view",
    ["outcome"],
  );
  const sizes = new Histogram({
    name: "contiv_netmaster_commit_requests",
    help: "Requests that were written in one group",
    buckets: [1, 2, 5, 10, 20, 33, 50, 100],
    registers: [registry],
  });
  const calls = histogram(registry, "contiv_netmaster_node_api_duration_seconds", "Time to answer a node's call", [
    "call",
    "status",
  ]);
  const anomalies = counter(
    registry,
    "contiv_netmaster_commit_anomalies_total",
    "Writes that found something else in the store than the view shows, and were looked at anew or repaired",
    [],
  );
  const troubles = counter(
    registry,
    "contiv_netmaster_store_reports_total",
    "What the store reported of its troubles",
    ["kind"],
  );
  for (const kind of STORE_TROUBLES) troubles.inc({ kind }, 0);
  for (const outcome of ["committed", "conflict", "failed"]) commits.zero({ outcome });
  return {
    registry,
    group({ requestCount, durationMs, outcome }) {
      commits.observe({ outcome }, durationMs / 1_000);
      sizes.observe(requestCount);
    },
    nodeCall: ({ name, status, durationMs }) => calls.observe({ call: name, status }, durationMs / 1_000),
    anomaly: () => anomalies.inc(),
    storeReport: ({ kind }) => troubles.inc({ kind }),
  };
}

function addGauges(registry: Registry, sources: MetricSources): void {
  gauge(registry, "contiv_netmaster_leader", "1 while this netmaster leads", () => Number(sources.isLeading()));
  gauge(registry, "contiv_netmaster_view_synced", "1 once the view of the cluster is complete", () =>
    Number(sources.isSynced()),
  );
  gauge(registry, "contiv_netmaster_view_revision", "Store revision of the view; replicas differ by their lag", () =>
    Number(sources.view().revision),
  );
  gauge(registry, "contiv_netmaster_view_unreadable_objects", "Objects whose stored value cannot be read", () =>
    sources.quarantinedCount(),
  );
  gauge(registry, "contiv_netmaster_commit_waiting_requests", "Requests that wait to be written", () =>
    sources.waitingRequests(),
  );
  gauge(registry, "contiv_netmaster_store_full", "1 while the store has no room for writes", () =>
    Number(sources.isStoreFull()),
  );
  gauge(
    registry,
    "contiv_netmaster_store_diverged_members",
    "Members of the store that are not used: their data differ",
    () => sources.divergedMembers(),
  );
  labelled(registry, "contiv_netmaster_ready_state", "1 for the state that this netmaster is in", "state", () =>
    READY_STATES.map((state) => [state, Number(state === sources.readyState())]),
  );
  gauge(registry, "contiv_netmaster_node_streams", "Watch streams of nodes", () => sources.nodeStreams());
  labelled(registry, "contiv_netmaster_objects", "Objects by kind", "kind", () =>
    KINDS.map((kind: Kind) => [kind, sources.view().records(kind).size]),
  );
  labelled(registry, "contiv_netmaster_nodes", "Nodes by state", "state", () => countNodes(sources.view()));
}

function countNodes(view: ClusterView): readonly (readonly [string, number])[] {
  const counts = new Map<string, number>(NODE_STATES.map((state) => [state, 0]));
  for (const [, node] of view.records("node").entries()) {
    const { state } = shownState(node);
    counts.set(state, (counts.get(state) ?? 0) + 1);
  }
  return [...counts];
}

function gauge(registry: Registry, name: string, help: string, read: () => number): void {
  new Gauge({
    name,
    help,
    registers: [registry],
    collect() {
      this.set(read());
    },
  });
}

function labelled(
  registry: Registry,
  name: string,
  help: string,
  label: string,
  read: () => readonly (readonly [string, number])[],
): void {
  new Gauge({
    name,
    help,
    labelNames: [label],
    registers: [registry],
    collect() {
      for (const [value, count] of read()) this.set({ [label]: value }, count);
    },
  });
}

function histogram(registry: Registry, name: string, help: string, labelNames: string[]): Histogram {
  return new Histogram({ name, help, labelNames, buckets: SECONDS_BUCKETS, registers: [registry] });
}

function counter(registry: Registry, name: string, help: string, labelNames: string[]): Counter {
  return new Counter({ name, help, labelNames, registers: [registry] });
}
