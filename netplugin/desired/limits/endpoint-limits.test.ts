import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { EndpointRecord } from "../../../state/kinds/endpoint.ts";
import { worldView } from "../../../test/fakes/world.ts";
import { type LimitMeans, NO_MEANS } from "../../machine/limit-means.ts";
import type { NodeView } from "../../view/node-view.ts";
import { endpointsOfNode } from "../../view/query.ts";
import { isCeilinged, NO_CEILINGS } from "./ceilings.ts";
import { limitChanges, limitsOf, UNLIMITED } from "./endpoint-limits.ts";
import { groupLimits, type LimitPlan, planFor } from "./limit-plan.ts";
import { portStateOf } from "./port-state-of.ts";

const means: LimitMeans = { ...NO_MEANS, tbf: true, meters: true };
const PODS = `
  network t1:net vxlan 100 10.1.1.0/24
  network t2:net vxlan 101 10.1.1.0/24
  endpoint a t1:net n1 10.1.1.1 group 7
  endpoint b t1:net n1 10.1.1.2 group 8
  endpoint c t2:net n1 10.1.1.3
  network t1:host vxlan 102 10.1.2.0/24 type infra
  endpoint h t1:host n1 10.1.2.1
`;
const LIMITED = `${PODS}
  group t1:g7 t1:net ingressCeiling 200mbps netProfile gold
  netprofile t1:gold bandwidth 8m DSCP 6
`;

/** Planned by itself, whatever was planned before. */
function planOf(view: NodeView, endpoint: EndpointRecord): LimitPlan {
  const { profile, ceilings } = groupLimits(view, endpoint, means);
  return planFor(endpoint.limits, { profile, ceilings: isCeilinged(view, endpoint) ? ceilings : NO_CEILINGS }, means);
}

const endpointsIn = (view: NodeView) => [...endpointsOfNode(view, "n1")];

function limitsIn(view: NodeView, key: string, of: LimitMeans = means) {
  const endpoint = endpointsIn(view).find((each) => each.key === key);
  if (endpoint === undefined) throw new Error(`no endpoint ${key}`);
  return limitsOf(view, endpoint, of);
}

function changedBetween(before: NodeView, after: NodeView, afterMeans = means): readonly string[] {
  const changes = limitChanges({ view: before, means }, { view: after, means: afterMeans }, endpointsIn(after));
  return [...changes].map(({ endpoint }) => endpoint.key);
}

describe("the limits of an endpoint", () => {
  it("are one value, planned once in a view", () => {
    const view = worldView(LIMITED);
    const limits = limitsIn(view, "a");
    expect(limitsIn(view, "a")).toBe(limits);
    for (const part of [limits, limits.plan]) expect(Object.isFrozen(part)).toBe(true);
    expect(limits.port).toEqual(portStateOf(limits.plan));
    expect(limits.plan.podEgress?.mechanism).toBe("meter");
  });

  it("are UNLIMITED itself where there are none", () => {
    const view = worldView(LIMITED);
    expect(["b", "c"].map((key) => limitsIn(view, key))).toEqual([UNLIMITED, UNLIMITED]);
    expect(limitsIn(view, "b")).toBe(UNLIMITED);
  });

  it("are the same whether others of the group have been planned before or not", () => {
    const stated = { rest: { podIngress: { rateBitPerSecond: 8e3 } } };
    const text = `${LIMITED}\ntenant t1 egressCeiling 1g\ntenant t2 ingressCeiling 1g`;
    for (const isReversed of [false, true]) {
      const view = worldView(text);
      const pods = endpointsIn(view);
      const all = [...pods, ...pods.map((endpoint) => ({ ...endpoint, limits: stated }))];
      for (const endpoint of isReversed ? all.reverse() : all)
        expect(limitsOf(view, endpoint, means).plan).toEqual(planOf(view, endpoint));
    }
  });

  it("are planned anew for other means", () => {
    const view = worldView(LIMITED);
    limitsIn(view, "a");
    expect(limitsIn(view, "a", { ...means, meters: false }).plan.podEgress).toBeUndefined();
    expect(limitsIn(view, "a").plan.podEgress?.mechanism).toBe("meter");
  });
});

describe("a change of limits", () => {
  const view = worldView(LIMITED);

  it.each<[string, string, readonly string[]]>([
    ["nothing, though all objects are written anew", LIMITED, []],
    ["a profile's rate", LIMITED.replace("8m", "9m"), ["a"]],
    ["a profile's DSCP", LIMITED.replace("DSCP 6", "DSCP 7"), ["a"]],
    ["a ceiling's rate", LIMITED.replace("200mbps", "300mbps"), ["a"]],
    ["a tenant that gets a ceiling", `${LIMITED}\ntenant t1 egressCeiling 1g`, ["a", "b"]],
    ["another tenant's ceiling", `${LIMITED}\ntenant t2 egressCeiling 1g`, ["c"]],
    ["a profile that nobody uses", `${LIMITED}\nnetprofile t1:silver bandwidth 1m`, []],
    ["everything taken away", PODS, ["a"]],
  ])("is found: %s", (_what, text, keys) => expect(changedBetween(view, worldView(text))).toEqual(keys));

  it("is found when the node has other means", () => {
    expect(changedBetween(view, view, { ...means, tbf: false })).toEqual(["a"]);
  });

  it("is every difference between two plans, and no other", () => {
    const lines = [
      ...["", "egressCeiling 1g", "ingressCeiling 1g egressCeiling 2g"].map((words) => `tenant t1 ${words}`),
      ...["", "netProfile gold", "egressCeiling 1g netProfile gold"].map((words) => `group t1:g8 t1:net ${words}`),
      ...["bandwidth 8m", "bandwidth 8m egressMode shape", "DSCP 6"].map((words) => `netprofile t1:gold ${words}`),
    ];
    const worldArb = fc.subarray(lines).map((some) => worldView([PODS, ...some].join("\n")));
    fc.assert(
      fc.property(worldArb, worldArb, (before, after) => {
        const different = endpointsIn(after).filter((endpoint) => {
          const [was, is] = [before, after].map((each) => JSON.stringify(planOf(each, endpoint)));
          return was !== is;
        });
        expect(changedBetween(before, after)).toEqual(different.map(({ key }) => key));
      }),
    );
  });
});
