import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Flow } from "../../../drivers/ovs/openflow/flow.ts";
import { unpackFlow } from "../../../drivers/ovs/openflow/packed-flow.ts";
import { formatFlow } from "../../../drivers/ovs/openflow/text.ts";
import { flowsOfSet } from "../../../test/fakes/flows-of-set.ts";
import { machineOf, worldMessages, worldView } from "../../../test/fakes/world.ts";
import { NO_MEANS } from "../../machine/limit-means.ts";
import type { Machine } from "../../machine/machine.ts";
import { applyBatch } from "../../view/apply.ts";
import { type Changes, mergeChanges, NO_CHANGES, type NodeView } from "../../view/node-view.ts";
import { parseCookie } from "../pipeline/pipeline.ts";
import { type FlowSet, flowCount, newFlowSet, ownerOf, updateFlowSet } from "./flow-set.ts";

const NETWORKS = ["t1:a", "t1:b", "t1:c", "t2:a", "t2:b"];
const NODES = ["n1", "n2", "n3"];

/** Every network and endpoint the histories play with, so that numbers do not depend on what exists at the moment. */
const NUMBERING = NETWORKS.map((key) => `network ${key} vlan 1 10.1.0.0/24`).join("\n");

/** Objects by id, as lines of a world; a line replaces what its object was. */
const lineArb = fc.oneof(
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.constantFrom("bridge", "routing"), fc.constantFrom("proxy", "flood"))
      .map((mode) => `mode ${mode.join(" ")}`),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.constantFrom(...NODES), fc.constantFrom("192.0.2.1", "192.0.2.2", "fd00::3"))
      .map((node) => `node ${node.join(" ")}`),
  },
  { weight: 3, arbitrary: networkArb() },
  { weight: 8, arbitrary: endpointArb() },
  { weight: 3, arbitrary: ceilingArb() },
  { weight: 3, arbitrary: profileArb() },
);

function ceilingArb(): fc.Arbitrary<string> {
  return fc
    .record({
      object: fc.constantFrom("tenant t1", "tenant t2", "group t1:g9 t1:a", "group t2:g9 t2:a"),
      ceilings: fc.constantFrom("", "ingressCeiling 1g", "egressCeiling 1g", "ingressCeiling 2g egressCeiling 1g"),
    })
    .map(({ object, ceilings }) => `${object} ${ceilings}`);
}

/** Profiles that groups use or not. */
function profileArb(): fc.Arbitrary<string> {
  return fc.constantFrom(
    ...["group t1:g9 t1:a netProfile gold", "group t2:g9 t2:a ingressCeiling 1g netProfile gold", "group t1:g9 t1:a"],
    ...["t1:gold egressBandwidth 8m", "t1:gold egressBandwidth 9m", "t1:gold egressBandwidth 8m egressMode shape"].map(
      (line) => `netprofile ${line}`,
    ),
    ...["netprofile t1:gold DSCP 6", "netprofile t2:gold DSCP 6 egressBandwidth 8m", "netprofile t2:gold"],
  );
}

function networkArb(): fc.Arbitrary<string> {
  return fc
    .record({
      index: fc.nat(NETWORKS.length - 1),
      encap: fc.constantFrom("vlan", "vxlan"),
      gateways: fc.constantFrom("", "gateway 10.0.0.254", "gateway 10.0.0.254 gateway6 2001:db8::ff"),
      physical: fc.constantFrom("", "physical lab"),
    })
    .map(
      ({ index, encap, gateways, physical }) =>
        `network ${NETWORKS[index]} ${encap} ${100 + index} 10.0.0.0/24 ${gateways} ${physical}`,
    );
}

function endpointArb(): fc.Arbitrary<string> {
  return fc
    .record({
      index: fc.nat(7),
      network: fc.constantFrom(...NETWORKS),
      node: fc.constantFrom(...NODES),
      v6: fc.boolean(),
      group: fc.nat(1),
    })
    .map(({ index, network, node, v6, group }) => {
      const ipv6 = v6 ? `2001:db8::${index + 1}` : "";
      return `endpoint e${index} ${network} ${node} 10.0.0.${index + 1} ${ipv6} ${group === 0 ? "" : "group 9"}`;
    });
}

type Step =
  | { readonly put: string }
  | { readonly drop: string }
  | { readonly ports: readonly number[] }
  | { readonly tunnel: boolean; readonly uplinks: readonly string[] };

const DROPPABLE = [...NODES.map((key) => `node/${key}`), ...NETWORKS.map((key) => `network/${key}`)];

const stepArb: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ put: lineArb }) },
  {
    weight: 3,
    arbitrary: fc.record({
      drop: fc.oneof(
        fc.nat(7).map((index) => `endpoint/e${index}`),
        fc.constantFrom(...DROPPABLE),
      ),
    }),
  },
  { weight: 4, arbitrary: fc.record({ ports: fc.subarray([0, 1, 2, 3, 4, 5, 6, 7]) }) },
  {
    weight: 1,
    arbitrary: fc.record({ tunnel: fc.boolean(), uplinks: fc.subarray(["default", "lab"], { minLength: 1 }) }),
  },
);

/** Where the histories begin: something of everything, most of it at work. */
const BEGINNING = `
  mode routing proxy
  node n1 192.0.2.1
  node n2 192.0.2.2
  network t1:a vxlan 100 10.0.0.0/24 gateway 10.0.0.254
  network t1:b vlan 101 10.0.0.0/24 gateway 10.0.0.254 gateway6 2001:db8::ff
  network t1:c vxlan 102 10.0.0.0/24 gateway 10.0.0.254 gateway6 2001:db8::ff
  network t2:a vlan 103 10.0.0.0/24
  network t2:b vxlan 104 10.0.0.0/24
  endpoint e0 t1:a n1 10.0.0.1
  endpoint e1 t1:b n2 10.0.0.2 2001:db8::2
  endpoint e2 t1:c n2 10.0.0.3 2001:db8::3
  endpoint e3 t2:a n2 10.0.0.4
  endpoint e4 t2:a n1 10.0.0.5
  group t1:g9 t1:a
  group t2:g9 t2:a
`;

const limitMeans = { ...NO_MEANS, meters: true };

interface State {
  view: NodeView;
  machine: Machine;
  set: FlowSet;
  /** Since the set was last updated. */
  changes: Changes;
}

function play(state: State, step: Step): void {
  if ("ports" in step) {
    const ports = new Map(step.ports.map((index) => [`e${index}`, 20 + index]));
    state.machine = { ...state.machine, ports };
    return;
  }
  if ("uplinks" in step) {
    const uplinks = new Map(step.uplinks.map((alias, index) => [alias, 2 + index]));
    state.machine = { ...state.machine, uplinks, tunnelOfport: step.tunnel ? 1 : undefined };
    return;
  }
  const modRevision = state.view.position + 1n;
  const { view, changes } = applyBatch(state.view, [
    "put" in step ? { ...putOf(step.put), modRevision } : { type: "delete", ...refOf(step.drop), modRevision },
  ]);
  state.view = view;
  state.changes = mergeChanges(state.changes, changes);
}

function putOf(line: string) {
  const message = worldMessages(`${NUMBERING}\n${line}`).at(-1);
  if (message?.type !== "put") throw new Error(`no put: ${line}`);
  return message;
}

function refOf(id: string) {
  const slash = id.indexOf("/");
  return { kind: id.slice(0, slash), key: id.slice(slash + 1) };
}

function texts(flows: ReadonlyMap<string, Flow>): string[] {
  return [...flows.values()].map(formatFlow).sort();
}

function countByTable(set: FlowSet): ReadonlyMap<number, number> {
  const counts = new Map<number, number>();
  for (const { table } of flowsOfSet(set).values()) counts.set(table, (counts.get(table) ?? 0) + 1);
  return counts;
}

/** Tables that have flows. */
function countsOf(counts: ReadonlyMap<number, number>) {
  return [...counts].filter(([, count]) => count > 0).sort(([left], [right]) => left - right);
}

/** The set carried on, and what a switch would hold that is told each delta. */
function updateAndCompare(state: State, onSwitch: Map<string, Flow>): void {
  const { set, delta } = updateFlowSet(state.set, state);
  for (const key of delta.remove) expect(onSwitch.delete(key)).toBe(true);
  for (const [key, deed] of delta.put) onSwitch.set(key, unpackFlow({ key, deed }));
  const fresh = updateFlowSet(newFlowSet(), { ...state, changes: NO_CHANGES }).set;
  expect(texts(flowsOfSet(set))).toEqual(texts(flowsOfSet(fresh)));
  expect(texts(onSwitch)).toEqual(texts(flowsOfSet(fresh)));
  expect(countsOf(set.tableCounts)).toEqual(countsOf(countByTable(set)));
  expect(set.failures.toArray()).toEqual(fresh.failures.toArray());
  expect(set.ownersById.toArray()).toEqual(fresh.ownersById.toArray());
  state.set = set;
  state.changes = NO_CHANGES;
}

describe("a flow set", () => {
  it("carried on through any history equals one made anew", () => {
    const historyArb = fc.array(fc.tuple(stepArb, fc.boolean()), { minLength: 1, maxLength: 30, size: "max" });
    fc.assert(
      fc.property(historyArb, (history) => {
        const view = worldView(BEGINNING);
        const state: State = {
          view,
          machine: machineOf("n1", { e0: 20 }, { limitMeans }),
          set: newFlowSet(),
          changes: NO_CHANGES,
        };
        const onSwitch = new Map<string, Flow>();
        updateAndCompare(state, onSwitch);
        for (const [step, skips] of history) {
          play(state, step);
          if (!skips) updateAndCompare(state, onSwitch);
        }
        updateAndCompare(state, onSwitch);
      }),
      { numRuns: 100 },
    );
  });

  const view = worldView(`
    node n2 192.0.2.2
    network t1:a vxlan 100 10.1.1.0/24
    endpoint a t1:a n1 10.1.1.1
    endpoint b t1:a n2 10.1.1.2
    endpoint late t1:a n1 10.1.1.3
  `);
  const machine = machineOf("n1", { a: 11 });
  const { set, delta } = updateFlowSet(newFlowSet(), { view, changes: NO_CHANGES, machine });

  it("begins with everything", () => {
    expect([delta.put.size, delta.remove.size]).toEqual([flowCount(set), 0]);
    expect(new Set(flowsOfSet(set).keys())).toEqual(new Set(delta.put.keys()));
  });

  it("asks for nothing when nothing has changed, or what changed has no part in it", () => {
    const again = updateFlowSet(set, {
      view,
      changes: new Map([["endpoint/a", { kind: "endpoint", key: "a" }]]),
      machine,
    });
    expect([again.delta.put.size, again.delta.remove.size]).toEqual([0, 0]);
  });

  it("names the owner of a flow by its cookie", () => {
    const owners = new Set([...flowsOfSet(set).values()].map(({ cookie }) => ownerOf(set, cookie)));
    expect([...owners].sort()).toEqual(["base/", "endpoint/a", "endpoint/b", "network/t1:a", "node/n2"]);
    expect(ownerOf(set, 0x1234n)).toBeUndefined();
  });

  it("tells what has no flows, and why", () => {
    expect(set.failures.toArray()).toEqual([["endpoint/late", "It has no port on this node (yet)"]]);
  });

  it("writes its generation into every cookie", () => {
    const next = updateFlowSet(newFlowSet(7), { view, changes: NO_CHANGES, machine }).set;
    const generations = [...flowsOfSet(next).values()].map(({ cookie }) => parseCookie(cookie)?.generation);
    expect(new Set(generations)).toEqual(new Set([7]));
    expect([...flowsOfSet(next).keys()].sort()).toEqual([...flowsOfSet(set).keys()].sort());
  });
});
