/**
 * From a REST write to its flows being installed on both nodes.
 *
 *   test/bench/run rest-to-flows [--writes 100] [--pods 20] [--rules 1000]
 *
 * Two nodes with `--pods` pods each, all in one group whose policy has `--rules` rules. One kind of write flips the settings' `arpMode`,
 * which changes flows of every endpoint on every node; the other adds a rule to the policy, or takes it away again. The moment of installation is told by the switches themselves: `ovs-ofctl monitor … watch:` streams each change of the flow tables as it
 * happens, and the last change of a write counts. Nothing that netplugin or netmaster says about itself is believed.
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { ovsRunDirectory } from "../../deploy/cluster/components.ts";
import { startTestCluster, type TestCluster } from "../system/test-cluster.ts";
import { load } from "./callers.ts";
import { contivContender, makeNamespaces } from "./lib/plugins.ts";
import { printMachine, printTable, printVerdicts } from "./lib/report.ts";
import { buildSpawnTimer } from "./lib/spawn-timer.ts";
import { median, quantile } from "./lib/statistics.ts";
import { spawnTied } from "./lib/tied.ts";

const P99_MAX_MS = 50;
const RULE_P50_MAX_MS = 15;
const CALLERS = 8;
const WARM_UP_WRITES = 4;
/** No change for so long: the write has been installed. */
const QUIET_MS = 150;
const INSTALL_TIMEOUT_MS = 10_000;

interface FlowMonitor extends Disposable {
  readonly ended: boolean;
  /** When the last change was seen, of `performance.now()`; 0 before the first. */
  readonly lastChangeMs: number;
  readonly changes: number;
}

const { values: flags } = parseArgs({
  options: {
    writes: { type: "string", default: "100" },
    pods: { type: "string", default: "20" },
    rules: { type: "string", default: "1000" },
  },
});

await using cluster = await startTestCluster({ nodes: 2 });
await cluster.rest.post("/api/v1/networks/default:bench/", {
  tenantName: "default",
  networkName: "bench",
  encap: "vxlan",
  subnet: "10.66.0.0/16",
  gateway: "10.66.255.254",
  ipv6Subnet: "fd00:66::/64",
});
printMachine();
await writePolicy(cluster, Number(flags.rules));
for (const node of cluster.cluster.nodes) await addPods(cluster, node, Number(flags.pods));
using first = watchFlows(cluster, 1);
using second = watchFlows(cluster, 2);
const monitors = [first, second];
await quiet(monitors);
const settings = await measureWrites("settings: arpMode", (index) => {
  const arpMode = index % 2 === 0 ? "flood" : "proxy";
  return cluster.rest.post("/api/v1/globals/global/", { name: "global", arpMode });
});
const rules = await measureWrites(`a rule beside ${flags.rules}`, (index) => {
  return index % 2 === 0 ? postRule(cluster, "extra", 0) : cluster.rest.delete("/api/v1/rules/default:bench:extra/");
});
printTable(
  ["REST write to flows on both nodes, ms", "p50", "p90", "p99", "max"],
  [settings, rules].map(({ what, latenciesMs }) => [
    what,
    ...[0.5, 0.9, 0.99, 1].map((share) => quantile(latenciesMs, share)),
  ]),
);
process.stdout.write(`changes of flows: ${monitors.map((each) => each.changes).join(" and ")} in all\n\n`);
printVerdicts([
  {
    what: "settings, p99, ms",
    measured: quantile(settings.latenciesMs, 0.99),
    limit: P99_MAX_MS,
    direction: "at-most",
  },
  { what: "rule, p50, ms", measured: median(rules.latenciesMs), limit: RULE_P50_MAX_MS, direction: "at-most" },
  { what: "rule, p99, ms", measured: quantile(rules.latenciesMs, 0.99), limit: P99_MAX_MS, direction: "at-most" },
]);

async function measureWrites(what: string, write: (index: number) => Promise<unknown>) {
  const latenciesMs: number[] = [];
  for (let index = -WARM_UP_WRITES; index < Number(flags.writes); index++) {
    const latencyMs = await measureWrite(() => write(index));
    if (index >= 0) latenciesMs.push(latencyMs);
  }
  return { what, latenciesMs };
}

/** One policy with many rules, of the group that all pods are in. */
async function writePolicy(cluster: TestCluster, ruleTotal: number): Promise<void> {
  const tenantName = "default";
  await cluster.rest.post("/api/v1/policys/default:bench/", { tenantName, policyName: "bench" });
  await cluster.rest.post("/api/v1/endpointGroups/default:pods/", {
    ...{ tenantName, networkName: "bench", groupName: "pods", policies: ["bench"] },
  });
  await load(ruleTotal, CALLERS, (index) => postRule(cluster, `r${index}`, index + 1));
}

async function postRule({ rest }: TestCluster, ruleId: string, index: number): Promise<void> {
  const rule = { tenantName: "default", policyName: "bench", ruleId, direction: "in", action: "deny" };
  await rest.post(`/api/v1/rules/default:bench:${ruleId}/`, { ...rule, protocol: "tcp", port: 1_000 + index });
}

async function addPods(cluster: TestCluster, node: number, count: number): Promise<void> {
  const { home, underlay } = cluster.cluster.layout;
  const timer = await buildSpawnTimer(join(home.directory, "bench"));
  const contender = contivContender(cluster, node, "bench", { group: "pods" });
  const pods = Array.from({ length: count }, (_, i) => ({
    id: `n${node}p${i}`,
    netns: `${underlay.prefix}-n${node}p${i}`,
  }));
  await makeNamespaces(pods.map((pod) => pod.netns));
  await timer.time(contender.netns, pods.map(contender.add), 4);
}

/** Follows the flow tables of a node's integration bridge. */
function watchFlows(cluster: TestCluster, node: number): FlowMonitor {
  const directory = ovsRunDirectory(cluster.cluster.layout, node);
  const control = join(directory, "monitor.ctl");
  const socket = join(directory, "contiv-int.mgmt");
  const argv = ["ovs-ofctl", `--unixctl=${control}`, "monitor", `unix:${socket}`, "watch:!initial,!actions"];
  const seen = { lastChangeMs: 0, changes: 0 };
  const program = spawnTied(argv, (text) => {
    const changes = text.split("event=").length - 1;
    if (changes === 0) return;
    seen.lastChangeMs = performance.now();
    seen.changes += changes;
  });
  return {
    get lastChangeMs() {
      return seen.lastChangeMs;
    },
    get changes() {
      return seen.changes;
    },
    get ended() {
      return program.ended;
    },
    [Symbol.dispose]: () => program[Symbol.dispose](),
  };
}

async function measureWrite(write: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now();
  await write();
  const deadlineMs = startMs + INSTALL_TIMEOUT_MS;
  while (monitors.some((monitor) => monitor.lastChangeMs < startMs)) {
    if (monitors.some((monitor) => monitor.ended)) throw new Error("ovs-ofctl monitor has ended");
    if (performance.now() > deadlineMs) throw new Error(`A write reached no flows in ${INSTALL_TIMEOUT_MS} ms`);
    await sleep(5);
  }
  await quiet(monitors);
  return Math.max(...monitors.map((monitor) => monitor.lastChangeMs)) - startMs;
}

async function quiet(monitors: readonly FlowMonitor[]): Promise<void> {
  const last = () => Math.max(0, ...monitors.map((monitor) => monitor.lastChangeMs));
  do await sleep(QUIET_MS);
  while (performance.now() - last() < QUIET_MS);
}
