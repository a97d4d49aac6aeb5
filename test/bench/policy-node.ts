/**
 * A whole node with policies: 100 pods in 20 groups, 10,000 rules over 1,000 groups, 20,000 remote endpoints. netplugin is started on a
 * switch without flows: time and processor time until the switch has all of them, memory, processor time of a rule change.
 *
 *   test/bench/run policy-node [--rules 10000] [--remotes 20000] [--changes 50]
 *
 * What the switch has is counted by the switch (`ovs-ofctl dump-aggregate`). Groups and rules are written by REST, pods attached by the
 * shim; endpoints of the other node are put into etcd (this program once more, `--fill`, in the namespace where etcd listens).
 */
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { netpluginName, ovsRunDirectory, startNetplugin } from "../../deploy/cluster/components.ts";
import { daemonPid } from "../../deploy/cluster/daemon.ts";
import { inNetns, run } from "../../deploy/cluster/exec.ts";
import { controlNetns } from "../../deploy/cluster/underlay.ts";
import { addressClaimKey, objectKey } from "../../state/keys.ts";
import { EndpointGroupRecord } from "../../state/kinds/endpoint-group.ts";
import { openEtcdStore } from "../../state/store/etcd/store.ts";
import { startTestCluster, type TestCluster } from "../system/test-cluster.ts";
import { load } from "./callers.ts";
import { contivContender, makeNamespaces } from "./lib/plugins.ts";
import { printMachine, printTable, printVerdicts } from "./lib/report.ts";
import { buildSpawnTimer } from "./lib/spawn-timer.ts";
import { median } from "./lib/statistics.ts";

const GROUPS = 1_000;
const LOCAL_GROUPS = 20;
const LOCAL_PODS = 100;
const CALLERS = 16;
const ENDPOINTS_PER_COMMIT = 33;
const ETCD_INSIDE = "http://127.0.0.1:2379";
const NETWORK = "bench";
const START_TIMEOUT_MS = 60_000;
/** No change of the number of flows for so long: the switch has them all. */
const QUIET_MS = 5_000;
const POLL_MS = 50;
/** Seldom: on two cores, asking takes processor time from who is asked. */
const START_POLL_MS = 250;
/** Clock ticks per second of /proc/<pid>/stat (sysconf _SC_CLK_TCK). */
const TICK_MS = 10;

const { values: flags } = parseArgs({
  options: {
    rules: { type: "string", default: "10000" },
    remotes: { type: "string", default: "20000" },
    changes: { type: "string", default: "50" },
    fill: { type: "boolean", default: false },
  },
});
const [ruleTotal, remoteTotal, changeTotal] = [flags.rules, flags.remotes, flags.changes].map(Number) as [
  number,
  number,
  number,
];
if (flags.fill) await fillStore();
else await measure();

async function measure(): Promise<void> {
  await using cluster = await startTestCluster({ nodes: 2 });
  printMachine();
  await writeObjects(cluster);
  await addPods(cluster);
  await cluster.kill(netpluginName(2), "SIGTERM"); // it would release endpoints that it has no ports of
  const self = [process.execPath, fileURLToPath(import.meta.url), "--fill", "--remotes", String(remoteTotal)];
  await run(inNetns(controlNetns(cluster.cluster.layout.underlay), self), { timeoutMs: 120_000 });
  const start = await startOnEmptySwitch(cluster);
  const memory = memoryMb(pidOf(cluster));
  const changeMs = await changeRules(cluster);
  printTable(
    [
      "rules",
      "remote endpoints",
      "flows",
      "start to all flows, s",
      "its CPU, s",
      "RSS, MB",
      "highest RSS, MB",
      "CPU of a rule change, ms",
    ],
    [
      [
        flags.rules,
        flags.remotes,
        String(start.flowTotal),
        start.seconds,
        start.cpuSeconds,
        memory.rss,
        memory.peak,
        changeMs,
      ],
    ],
  );
  printVerdicts([
    { what: "start to all flows, s", measured: start.seconds, limit: 5, direction: "at-most" },
    { what: "CPU of a rule change, ms", measured: changeMs, limit: 20, direction: "at-most" },
    { what: "RSS, MB", measured: memory.rss, limit: 200, direction: "at-most" },
  ]);
}

async function writeObjects({ rest }: TestCluster): Promise<void> {
  const tenantName = "default";
  await rest.post(`/api/v1/networks/default:${NETWORK}/`, {
    ...{ tenantName, networkName: NETWORK, encap: "vxlan", subnet: "10.64.0.0/14", gateway: "10.67.255.254" },
  });
  await load(LOCAL_GROUPS, CALLERS, async (index) => {
    await rest.post(`/api/v1/policys/default:p${index}/`, { tenantName, policyName: `p${index}` });
  });
  await load(GROUPS, CALLERS, async (index) => {
    const policies = index < LOCAL_GROUPS ? [`p${index}`] : [];
    const group = { tenantName, networkName: NETWORK, groupName: `g${index}`, policies };
    await rest.post(`/api/v1/endpointGroups/default:g${index}/`, group);
  });
  await load(ruleTotal, CALLERS, (index) => postRule({ rest }, `r${index}`, index));
}

async function postRule({ rest }: Pick<TestCluster, "rest">, ruleId: string, index: number): Promise<void> {
  const direction = index % 3 === 0 ? "out" : "in";
  const policyName = `p${index % LOCAL_GROUPS}`;
  await rest.post(`/api/v1/rules/default:${policyName}:${ruleId}/`, {
    ...{ tenantName: "default", policyName, ruleId, direction, protocol: "tcp", port: 1 + (index % 60_000) },
    ...{ priority: 1 + (index % 100), action: index % 2 === 0 ? "allow" : "deny" },
    [direction === "in" ? "fromEndpointGroup" : "toEndpointGroup"]: `g${(index * 7) % GROUPS}`,
  });
}

async function addPods(cluster: TestCluster): Promise<void> {
  const { home, underlay } = cluster.cluster.layout;
  const timer = await buildSpawnTimer(join(home.directory, "bench"));
  const pods = Array.from({ length: LOCAL_PODS }, (_, i) => ({ id: `pod${i}`, netns: `${underlay.prefix}-pod${i}` }));
  await makeNamespaces(pods.map((pod) => pod.netns));
  const jobs = pods.map((pod, index) =>
    contivContender(cluster, 1, NETWORK, { group: `g${index % LOCAL_GROUPS}` }).add(pod),
  );
  await timer.time(contivContender(cluster, 1, NETWORK).netns, jobs, 4);
}

/** Endpoints of the other node, as netmaster stores them. */
async function fillStore(): Promise<void> {
  await using store = await openEtcdStore({ endpoints: [ETCD_INSIDE] });
  const stored = await store.list(objectKey("endpointGroup", ""));
  const groups = stored.values.map(({ value }) => EndpointGroupRecord.parse(JSON.parse(value)));
  const network = await store.get(objectKey("network", `default:${NETWORK}`));
  const { networkId } = JSON.parse(network?.value ?? "{}") as { readonly networkId: never };
  const idOf = new Map(groups.map(({ config, groupId }) => [config.groupName, groupId]));
  await load(Math.ceil(remoteTotal / ENDPOINTS_PER_COMMIT), 8, async (commit) => {
    const from = commit * ENDPOINTS_PER_COMMIT;
    const size = Math.min(ENDPOINTS_PER_COMMIT, remoteTotal - from);
    const puts = Array.from({ length: size }, (_, offset) => {
      const groupName = `g${LOCAL_GROUPS + ((from + offset) % (GROUPS - LOCAL_GROUPS))}`;
      const record = endpointRecord(from + offset, { networkId, groupName, groupId: idOf.get(groupName) });
      return [
        { key: objectKey("endpoint", record.key), value: JSON.stringify(record) },
        { key: addressClaimKey(networkId, record.ipv4), value: `endpoint/${record.key}` },
      ];
    }).flat();
    const result = await store.commit({ requestId: randomUUID(), guards: [], puts, deletes: [] });
    if (!result.committed) throw new Error("the store refused the endpoints");
  });
}

function endpointRecord(
  index: number,
  place: { readonly networkId: number; readonly groupName: string; readonly groupId: number | undefined },
) {
  const octets = [10, 66, index >> 8, index & 255];
  const containerId = index.toString(16).padStart(64, "0");
  return {
    ...{ key: `${containerId}:eth0`, epoch: `epoch-${index}`, endpointId: containerId, containerId, ifName: "eth0" },
    ...{ nodeName: "n2", tenantName: "default", networkName: NETWORK, ...place },
    ...{ ipv4: octets.join("."), mac: `02:02:${octets.map((byte) => byte.toString(16).padStart(2, "0")).join(":")}` },
    ...{ podName: `web-${index}`, podNamespace: "default", labels: {}, createdAt: "2026-01-01T00:00:00.000Z" },
  };
}

async function flowCountNow(cluster: TestCluster): Promise<number> {
  const socket = join(ovsRunDirectory(cluster.cluster.layout, 1), "contiv-int.mgmt");
  const { stdout } = await run(["ovs-ofctl", "-O", "OpenFlow15", "dump-aggregate", `unix:${socket}`], {
    allowFailure: true,
  });
  return Number(/flow_count=(\d+)/.exec(stdout)?.[1] ?? Number.NaN);
}

/** Starts netplugin on a switch without flows: when the last change of their number was seen, and the processor time until then. */
async function startOnEmptySwitch(cluster: TestCluster) {
  const { layout } = cluster.cluster;
  await cluster.kill(netpluginName(1), "SIGTERM");
  const socket = join(ovsRunDirectory(layout, 1), "contiv-int.mgmt");
  await run(["ovs-ofctl", "-O", "OpenFlow15", "del-flows", `unix:${socket}`], { timeoutMs: 60_000 });
  const startedMs = performance.now();
  await startNetplugin(layout, 1);
  const last = { flowTotal: 0, seconds: 0, cpuSeconds: 0 };
  while (last.flowTotal < remoteTotal || performance.now() - startedMs < last.seconds * 1_000 + QUIET_MS) {
    const flowTotal = await flowCountNow(cluster);
    const elapsedMs = performance.now() - startedMs;
    if (elapsedMs > START_TIMEOUT_MS) throw new Error(`only ${flowTotal} flows in ${START_TIMEOUT_MS} ms`);
    if (flowTotal !== last.flowTotal) {
      Object.assign(last, { flowTotal, seconds: elapsedMs / 1_000, cpuSeconds: cpuMs(pidOf(cluster)) / 1_000 });
    }
    await sleep(START_POLL_MS);
  }
  return last;
}

/** Processor time of netplugin per rule that comes, the median of batches: the kernel counts in ticks. */
async function changeRules(cluster: TestCluster): Promise<number> {
  const pid = pidOf(cluster);
  const perChangeMs: number[] = [];
  const batch = Math.max(1, Math.round(changeTotal / 5));
  for (let first = 0; first < changeTotal; first += batch) {
    const before = cpuMs(pid);
    for (let index = first; index < first + batch; index += 1) {
      await postRule(cluster, `new${index}`, index);
      await sleep(POLL_MS); // so that each is a change of its own
    }
    perChangeMs.push((cpuMs(pid) - before) / batch);
  }
  return median(perChangeMs);
}

function pidOf(cluster: TestCluster): number {
  const pid = daemonPid(cluster.cluster.layout.home, netpluginName(1));
  if (pid === undefined) throw new Error("netplugin does not run");
  return pid;
}

/** User and system time of a process (proc(5), fields 14 and 15 of stat). */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

function memoryMb(pid: number): { readonly rss: number; readonly peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const field = (name: string) => (Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1]) * 1_024) / 1e6;
  return { rss: field("VmRSS"), peak: field("VmHWM") };
}
