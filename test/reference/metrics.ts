import { Registry } from "prom-client";
import { createMetrics as netmasterRegistry } from "../../netmaster/metrics/cluster.ts";
import { addReportMetrics as addClusterReports } from "../../netmaster/metrics/node-reports.ts";
import { restMetrics } from "../../netmaster/rest/metrics.ts";
import { emptyView } from "../../netmaster/view/cluster-view.ts";
import { registerCeilingMetrics } from "../../netplugin/report/metrics/ceiling-metrics.ts";
import { registerLimitMetrics } from "../../netplugin/report/metrics/limit-metrics.ts";
import { createMetrics as netpluginRegistry } from "../../netplugin/report/metrics/metrics.ts";
import { addReportMetrics as addNodeReports } from "../../netplugin/report/metrics/rules.ts";
import { Certificates } from "../../state/certificates.ts";
import { addProcessMetrics } from "../../state/process-metrics.ts";
import { code, plain, sentence, table } from "./table.ts";

/** A metric of ours that is not always there, and when it is not. */
const ABSENT: Readonly<Record<string, string>> = {
  contiv_netmaster_certificate_expiration_timestamp_seconds: "without TLS",
  contiv_netmaster_enforced_revision_min: "on netmasters that do not lead, and while no ready node has reported",
  contiv_netmaster_node_api_duration_seconds: "until the first call with these labels",
  contiv_netmaster_rest_request_duration_seconds: "until the first request with these labels",
  contiv_netmaster_rule_bytes_total: "while no rule has met packets, and while more than 200 have",
  contiv_netmaster_rule_packets_total: "while no rule has met packets, and while more than 200 have",
  contiv_netplugin_certificate_expiration_timestamp_seconds: "without TLS",
  contiv_netplugin_ceiling_bits_per_second: "without a ceiling over pods of this node",
  contiv_netplugin_ceiling_dropped_packets_total: "without a ceiling over pods of this node",
  contiv_netplugin_ceiling_passed_bytes_total: "without a ceiling over pods of this node",
  contiv_netplugin_limit_backlog_bytes: "without a limited pod; with limits that do not queue",
  contiv_netplugin_limit_bits_per_second: "without a limited pod",
  contiv_netplugin_limit_burst_bits: "without a limited pod",
  contiv_netplugin_limit_dropped_packets_total: "without a limited pod; with limits whose drops nothing counts",
  contiv_netplugin_limit_passed_bytes_total: "without a limited pod",
  contiv_netplugin_neighbour_messages_dropped_total: "without pods",
  contiv_netplugin_new_connections_dropped_total: "without pods",
  contiv_netplugin_rule_bytes_total: "while no rule has met packets, and while more than 100 have",
  contiv_netplugin_rule_packets_total: "while no rule has met packets, and while more than 100 have",
};

const certificates = new Certificates([], { daemon: "" });

interface Metric {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly labels: readonly string[];
  /** The values that are there from the start, by label. */
  readonly values: ReadonlyMap<string, ReadonlySet<string>>;
  readonly isThere: boolean;
}

/** As of a process that has just started: without objects, pods or calls. */
async function metricsOf(registry: Registry): Promise<readonly Metric[]> {
  const labelsOf = new Map(registry.getMetricsAsArray().map((metric) => [metric.name, labelNamesOf(metric)]));
  const read = await registry.getMetricsAsJSON();
  return read
    .map(({ name, help, type, values }) => ({
      ...{ name, help, type: String(type), labels: labelsOf.get(name) ?? [], isThere: values.length > 0 },
      values: valuesByLabel(values),
    }))
    .sort((left, right) => left.name.localeCompare(right.name, "en"));
}

function labelNamesOf(metric: object): readonly string[] {
  return (Reflect.get(metric, "labelNames") ?? []) as readonly string[];
}

function valuesByLabel(series: readonly { readonly labels: object }[]): ReadonlyMap<string, ReadonlySet<string>> {
  const found = new Map<string, Set<string>>();
  for (const { labels } of series) {
    for (const [label, value] of Object.entries(labels))
      found.set(label, (found.get(label) ?? new Set()).add(String(value)));
  }
  return found;
}

function netmaster(): Registry {
  const view = () => emptyView();
  const zero = () => 0;
  const { registry } = netmasterRegistry({
    ...{ view, isLeading: () => false, isSynced: () => true, isStoreFull: () => false, readyState: () => "ready" },
    ...{ quarantinedCount: zero, waitingRequests: zero, nodeStreams: zero, divergedMembers: zero },
  });
  addClusterReports(registry, { view, receipt: () => undefined, hits: { rules: () => new Map() } });
  restMetrics(registry);
  certificates.register(registry, "contiv_netmaster_");
  return registry;
}

function netplugin(): Registry {
  const zero = () => 0;
  const { registry } = netpluginRegistry({
    ...{ flows: zero, refusedObjects: zero, endpoints: zero, readyPorts: zero, foreignFlows: zero },
    ...{ isConnected: () => true, enforcedRevision: () => 0n, readyState: () => "ready" as const },
  });
  registerLimitMetrics(registry, () => undefined);
  registerCeilingMetrics(registry, () => undefined);
  certificates.register(registry, "contiv_netplugin_");
  addNodeReports(registry, { failures: () => [], ruleTotals: () => new Map(), decides: () => true });
  return registry;
}

export function netmasterMetrics(): Promise<string> {
  return ownMetrics(netmaster(), "contiv_netmaster_");
}

export function netpluginMetrics(): Promise<string> {
  return ownMetrics(netplugin(), "contiv_netplugin_");
}

async function ownMetrics(registry: Registry, prefix: string): Promise<string> {
  const ofProcess = new Set(
    processRegistry(prefix)
      .getMetricsAsArray()
      .map(({ name }) => name),
  );
  const own = (await metricsOf(registry)).filter(({ name }) => !ofProcess.has(name));
  checkAbsent(own, prefix);
  const rows = own.map((metric) => [
    code(metric.name),
    metric.type,
    labelsInWords(metric),
    sentence(plain(metric.help)),
    ABSENT[metric.name] ?? "never",
  ]);
  return table(["metric", "type", "labels", "meaning", "absent"], rows);
}

/** What is said to be absent at times must be absent now, and nothing else. */
function checkAbsent(metrics: readonly Metric[], prefix: string): void {
  const wrong = metrics.filter(({ name, isThere }) => isThere === name in ABSENT).map(({ name }) => name);
  const names = new Set(metrics.map(({ name }) => name));
  const gone = Object.keys(ABSENT).filter((name) => name.startsWith(prefix) && !names.has(name));
  if (wrong.length + gone.length === 0) return;
  throw new Error(`test/reference/metrics.ts is wrong of when these are absent: ${[...wrong, ...gone].join(", ")}`);
}

/** Bounds of buckets are no values to choose from. */
function labelsInWords({ labels, values }: Metric): string {
  if (labels.length === 0) return "–";
  return labels
    .map((label) => {
      const known = [...(values.get(label) ?? [])].map(code).join(", ");
      return known === "" ? code(label) : `${code(label)} (${known})`;
    })
    .join("; ");
}

function processRegistry(prefix: string): Registry {
  const registry = new Registry();
  addProcessMetrics(registry, prefix);
  return registry;
}

/** Figures of Node.js, the same of both daemons. */
export async function processMetrics(): Promise<string> {
  const rows = (await metricsOf(processRegistry(""))).map(({ name, type, labels, help }) => [
    code(name),
    type,
    labels.length === 0 ? "–" : labels.map(code).join("; "),
    sentence(plain(help)),
  ]);
  return table(["metric, after the prefix", "type", "labels", "meaning"], rows);
}
