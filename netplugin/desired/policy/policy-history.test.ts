import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Flow } from "../../../drivers/ovs/openflow/flow.ts";
import { unpackFlow } from "../../../drivers/ovs/openflow/packed-flow.ts";
import { formatFlow } from "../../../drivers/ovs/openflow/text.ts";
import { flowsOfSet } from "../../../test/fakes/flows-of-set.ts";
import { machineOf, worldMessages, worldView } from "../../../test/fakes/world.ts";
import type { Machine } from "../../machine/machine.ts";
import { applyBatch } from "../../view/apply.ts";
import { type Changes, mergeChanges, NO_CHANGES, type NodeView } from "../../view/node-view.ts";
import { type FlowSet, newFlowSet, updateFlowSet } from "../flow-set/flow-set.ts";

/** Policies through any history: what is carried on must equal what is made anew. */
const NETWORKS = ["t1:a", "t1:b", "t2:a"];
const NUMBERING = NETWORKS.map((key) => `network ${key} vlan 1 10.1.0.0/24`).join("\n");
const GROUPS = [1, 2, 3, 4];
const POLICIES = ["p0", "p1"];
const TENANTS = ["t1", "t1", "t2"];

const tenant = fc.constantFrom(...TENANTS);
const groupNumber = fc.constantFrom(...GROUPS);

const line = fc.oneof(
  { weight: 1, arbitrary: fc.constantFrom("mode bridge proxy", "mode routing proxy") },
  {
    weight: 2,
    arbitrary: fc
      .constantFrom(
        "t1:a vxlan 100 10.0.0.0/24",
        "t1:b vxlan 101 10.0.1.0/24 gateway 10.0.1.254",
        "t2:a vlan 102 10.0.0.0/24",
      )
      .map((text) => `network ${text}`),
  },
  {
    weight: 6,
    arbitrary: fc
      .tuple(tenant, groupNumber, fc.constantFrom("a", "b"), fc.subarray(POLICIES))
      .map(([name, number, network, policies]) => `group ${name}:g${number} ${name}:${network} ${policies.join(",")}`),
  },
  { weight: 3, arbitrary: fc.tuple(tenant, fc.constantFrom(...POLICIES)).map((parts) => `policy ${parts.join(":")}`) },
  {
    weight: 10,
    arbitrary: fc
      .record({
        name: tenant,
        policy: fc.constantFrom(...POLICIES),
        rule: fc.nat(3),
        direction: fc.constantFrom("in", "out"),
        action: fc.constantFrom("deny", "deny", "log"),
        peer: fc.oneof(
          groupNumber.map((number) => `EndpointGroup g${number}`),
          fc.constantFrom("a", "b").map((network) => `Network ${network}`),
        ),
      })
      .map(({ name, policy, rule, direction, action, peer }) => {
        const side = direction === "in" ? "from" : "to";
        return `rule ${name}:${policy}:r${rule} ${direction} ${action} protocol tcp port 8${rule} ${side}${peer}`;
      }),
  },
  {
    weight: 8,
    arbitrary: fc
      .record({
        index: fc.nat(7),
        network: fc.constantFrom(...NETWORKS),
        node: fc.constantFrom("n1", "n2"),
        group: fc.nat(4),
      })
      .map(({ index, network, node, group }) => {
        return `endpoint e${index} ${network} ${node} 10.0.0.${index + 1} ${index % 2 === 0 ? "2001:db8::1" : ""} ${group === 0 ? "" : `group ${group}`}`;
      }),
  },
);

const ruleIds = fc
  .tuple(tenant, fc.constantFrom(...POLICIES), fc.nat(3))
  .map(([name, policy, rule]) => `rule/${name}:${policy}:r${rule}`);

type Step =
  | { readonly put: string }
  | { readonly drop: string }
  | { readonly quarantine: string }
  | { readonly ports: readonly number[] };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 12, arbitrary: fc.record({ put: line }) },
  {
    weight: 4,
    arbitrary: fc.record({
      drop: fc.oneof(
        fc.nat(7).map((index) => `endpoint/e${index}`),
        fc.tuple(tenant, groupNumber).map(([name, number]) => `endpointGroup/${name}:g${number}`),
        fc.tuple(tenant, fc.constantFrom(...POLICIES)).map((parts) => `policy/${parts.join(":")}`),
        ruleIds,
        fc.constantFrom(...NETWORKS).map((key) => `network/${key}`),
      ),
    }),
  },
  { weight: 1, arbitrary: fc.record({ quarantine: ruleIds }) },
  { weight: 2, arbitrary: fc.record({ ports: fc.subarray([0, 1, 2, 3, 4, 5, 6, 7]) }) },
);

/** Something of everything, most of it at work. */
const BEGINNING = `
  mode bridge proxy
  node n1 192.0.2.1
  node n2 192.0.2.2
  network t1:a vxlan 100 10.0.0.0/24
  network t1:b vxlan 101 10.0.1.0/24 gateway 10.0.1.254
  network t2:a vlan 102 10.0.0.0/24
  policy t1:p0
  policy t1:p1
  group t1:g1 t1:a p0
  group t1:g2 t1:a
  group t1:g3 t1:a p0,p1
  rule t1:p0:r0 in deny fromEndpointGroup g2
  rule t1:p1:r1 out deny toEndpointGroup g1 protocol udp
  endpoint e0 t1:a n1 10.0.0.1 2001:db8::1 group 1
  endpoint e1 t1:a n2 10.0.0.2 group 2
  endpoint e2 t1:a n1 10.0.0.3 2001:db8::1 group 3
  endpoint e3 t2:a n1 10.0.0.4
`;

interface State {
  view: NodeView;
  machine: Machine;
  set: FlowSet;
  changes: Changes;
}

function play(state: State, next: Step): void {
  if ("ports" in next) {
    state.machine = { ...state.machine, ports: new Map(next.ports.map((index) => [`e${index}`, 20 + index])) };
    return;
  }
  const modRevision = state.view.position + 1n;
  const { view, changes } = applyBatch(state.view, [messageOf(next, modRevision)]);
  state.view = view;
  state.changes = mergeChanges(state.changes, changes);
}

function messageOf(next: Exclude<Step, { ports: unknown }>, modRevision: bigint) {
  if ("put" in next) {
    const message = worldMessages(`${NUMBERING}\n${next.put}`).at(-1);
    if (message?.type !== "put") throw new Error(`no put: ${next.put}`);
    return { ...message, modRevision };
  }
  const id = "drop" in next ? next.drop : next.quarantine;
  const [kind, key] = [id.slice(0, id.indexOf("/")), id.slice(id.indexOf("/") + 1)];
  if ("drop" in next) return { type: "delete", kind, key, modRevision } as const;
  return { type: "quarantine", kind, key, reason: "of a later release" } as const;
}

function texts(flows: ReadonlyMap<string, Flow>): string[] {
  return [...flows.values()].map(formatFlow).sort();
}

function updateAndCompare(state: State, onSwitch: Map<string, Flow>): void {
  const { set, delta } = updateFlowSet(state.set, state);
  for (const key of delta.remove) expect(onSwitch.delete(key)).toBe(true);
  for (const [key, deed] of delta.put) onSwitch.set(key, unpackFlow({ key, deed }));
  const fresh = updateFlowSet(newFlowSet(), { ...state, changes: NO_CHANGES }).set;
  expect(texts(onSwitch)).toEqual(texts(flowsOfSet(fresh)));
  expect(set.failures.toArray()).toEqual(fresh.failures.toArray());
  state.set = set;
  state.changes = NO_CHANGES;
}

describe("policies in a flow set", () => {
  it("carried on through any history equal those made anew", () => {
    const history = fc.array(fc.tuple(step, fc.boolean()), { minLength: 1, maxLength: 30, size: "max" });
    fc.assert(
      fc.property(history, (steps) => {
        const machine = machineOf("n1", { e0: 20, e2: 22 }, { newConnectionsPerSecond: 100 });
        const state: State = { view: worldView(BEGINNING), machine, set: newFlowSet(), changes: NO_CHANGES };
        const onSwitch = new Map<string, Flow>();
        updateAndCompare(state, onSwitch);
        for (const [next, skips] of steps) {
          play(state, next);
          if (!skips) updateAndCompare(state, onSwitch);
        }
        updateAndCompare(state, onSwitch);
      }),
      { numRuns: 80 },
    );
  });

  it("leave no trace where no group has any", () => {
    const view = worldView(BEGINNING.replace(/^ {2}(policy|rule).*\n/gm, "").replaceAll(/ p0(,p1)?$/gm, ""));
    const machine = machineOf("n1", { e0: 20, e2: 22, e3: 23 }, { newConnectionsPerSecond: 100 });
    const { set } = updateFlowSet(newFlowSet(), { view, changes: NO_CHANGES, machine });
    const tables = new Set([...flowsOfSet(set).values()].map(({ table }) => table));
    expect([...tables].filter((table) => table >= 30 && table < 80)).toEqual([30]);
    expect(set.failures.size).toBe(0);
  });
});
