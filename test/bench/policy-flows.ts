/**
 * What policies cost a node whose 100 pods belong to 20 groups, with 10,000 rules over 1,000 groups and 20,000 remote endpoints: time
 * to compute all flows, their number, a rule change, memory. Run: test/bench/run policy-flows [rules] [remote endpoints]
 */
import { flowCount, newFlowSet, updateFlowSet } from "../../netplugin/desired/flow-set/flow-set.ts";
import { applyBatch } from "../../netplugin/view/apply.ts";
import { NO_CHANGES, type NodeView } from "../../netplugin/view/node-view.ts";
import { formatIpv4 } from "../../state/address.ts";
import { machineFor } from "../fakes/policy-nodes.ts";
import { policyView } from "../fakes/policy-view.ts";
import { type FakeRule, type PolicyObjects, ruleRecord } from "../fakes/policy-world.ts";
import { milliseconds, printTable, quantile } from "./table.ts";

const GROUPS = 1_000;
const LOCAL_GROUPS = 20;
const LOCAL_PODS = 100;
const FIRST_ADDRESS = 0x0a00_0001;
const CHANGES = 200;

const ruleTotal = Number(process.argv[2] ?? 10_000);
const remoteTotal = Number(process.argv[3] ?? 20_000);

printTable(
  ["rules", "remote endpoints", "all flows", "CPU to compute all", "rule change p50", "rule change p99", "RSS"],
  [0.1, 0.5, 1].map((share) => measure(Math.round(ruleTotal * share), Math.round(remoteTotal * share))),
);

function measure(ruleCount: number, remoteCount: number): (string | number)[] {
  const view = viewOf(ruleCount, remoteCount);
  const machine = machineFor(view, "n1");
  const started = process.cpuUsage();
  const first = updateFlowSet(newFlowSet(), { view, changes: NO_CHANGES, machine });
  const all = flowCount(first.set);
  const computeMs = cpuMs(started);
  const changesMs = changeRules(view, first.set, machine);
  globalThis.gc?.();
  return [
    ruleCount,
    remoteCount,
    all,
    milliseconds(computeMs),
    milliseconds(quantile(changesMs, 0.5)),
    milliseconds(quantile(changesMs, 0.99)),
    `${Math.round(process.memoryUsage().rss / 1e6)} MB`,
  ];
}

function cpuMs(since: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since);
  return (user + system) / 1_000;
}

/** Rules that come, one after the other; each names another group, so that members come with them. */
function changeRules(first: NodeView, firstSet: ReturnType<typeof newFlowSet>, machine: ReturnType<typeof machineFor>) {
  const timesMs: number[] = [];
  let view = first;
  let set = firstSet;
  for (let index = 0; index < CHANGES; index += 1) {
    const record = ruleRecord({ ...ruleOf(index), id: `p${index % LOCAL_GROUPS}:new${index}` });
    const step = applyBatch(view, [
      { type: "put", kind: "rule", key: record.key, modRevision: view.position + 1n, record },
    ]);
    const started = process.cpuUsage();
    const next = updateFlowSet(set, { view: step.view, changes: step.changes, machine });
    timesMs.push(cpuMs(started));
    view = step.view;
    set = next.set;
  }
  return timesMs;
}

function viewOf(ruleCount: number, remoteCount: number): NodeView {
  const homes: Record<string, string> = {};
  for (let index = 0; index < remoteCount; index += 1) homes[`remote${index}`] = "n2";
  return policyView(objects(ruleCount, remoteCount), homes);
}

function objects(ruleCount: number, remoteCount: number): PolicyObjects {
  const endpoint = (key: string, group: number, index: number) => {
    return { key, group: `t1:g${group}`, ipv4: formatIpv4(BigInt(FIRST_ADDRESS + index)) };
  };
  return {
    networks: [{ key: "t1:net", subnet: "10.0.0.0/8" }],
    groups: Array.from({ length: GROUPS }, (_, index) => {
      return { key: `t1:g${index}`, network: "t1:net", policies: index < LOCAL_GROUPS ? [`p${index}`] : [] };
    }),
    endpoints: [
      ...Array.from({ length: LOCAL_PODS }, (_, index) => endpoint(`local${index}`, index % LOCAL_GROUPS, index)),
      ...Array.from({ length: remoteCount }, (_, index) => {
        return endpoint(`remote${index}`, LOCAL_GROUPS + (index % (GROUPS - LOCAL_GROUPS)), LOCAL_PODS + index);
      }),
    ],
    rules: Array.from({ length: ruleCount }, (_, index) => ruleOf(index)),
  };
}

function ruleOf(index: number): FakeRule {
  const direction = index % 3 === 0 ? "out" : "in";
  const peer = { [direction === "in" ? "fromEndpointGroup" : "toEndpointGroup"]: `g${(index * 7) % GROUPS}` };
  return {
    ...{ id: `p${index % LOCAL_GROUPS}:r${index}`, direction, protocol: "tcp", port: 1 + (index % 60_000) },
    ...{ priority: 1 + (index % 100), action: index % 2 === 0 ? "allow" : "deny", ...peer },
  };
}
