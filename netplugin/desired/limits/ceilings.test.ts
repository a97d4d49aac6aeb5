import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { worldView } from "../../../test/fakes/world.ts";
import { type LimitMeans, NO_MEANS } from "../../machine/limit-means.ts";
import { recordOf } from "../../view/query.ts";
import { limitsOf } from "./endpoint-limits.ts";

const METERS: LimitMeans = { ...NO_MEANS, tbf: true, meters: true };

const WORLD = `
  network t1:net vxlan 100 10.1.1.0/24
  network t1:host vxlan 101 10.1.2.0/24 type infra
  endpoint a t1:net n1 10.1.1.1 group 7
  endpoint b t1:net n1 10.1.1.2
  endpoint h t1:host n1 10.1.2.1
  group t1:g7 t1:net ingressCeiling 200mbps egressCeiling 100mbps
  tenant t1 egressCeiling 1gbps
`;

function planOf(key: string, { world = WORLD, means = METERS } = {}) {
  const view = worldView(world);
  const endpoint = recordOf(view, "endpoint", key);
  if (endpoint === undefined) throw new Error(`no endpoint ${key}`);
  return limitsOf(view, endpoint, means).plan;
}

const shown = (key: string, options = {}) =>
  planOf(key, options).ceilings.map(
    ({ kind, direction, rateBitPerSecond, meterId }) =>
      `${kind} ${direction} ${rateBitPerSecond / 1e6} ${meterId?.toString(16)}`,
  );

describe("ceilings over an endpoint", () => {
  it("are its group's, then its tenant's", () => {
    expect(shown("a")).toEqual([
      "endpointGroup podIngress 200 2000e",
      "endpointGroup podEgress 100 2000f",
      "tenant podEgress 1000 28003",
    ]);
    expect(shown("b")).toEqual(["tenant podEgress 1000 28003"]);
  });

  it("are none of a node's own endpoints, and none where nobody says one", () => {
    expect(shown("h")).toEqual([]);
    expect(planOf("b", { world: WORLD.replace(/ceiling/gi, "other") }).ceilings).toEqual([]);
  });

  it("have a second's burst where nothing is said, and a segmented frame on the kernel's datapath", () => {
    const bursts = (text: string, datapathType: "netdev" | "system") =>
      planOf("b", { world: WORLD.replace("1gbps", text), means: { ...METERS, datapathType } }).ceilings.map(
        ({ burstBits }) => burstBits,
      );
    expect(bursts("1gbps", "netdev")).toEqual([1e9]);
    expect(bursts("1gbps egressCeilingBurst 20", "netdev")).toEqual([160_000]);
    expect(bursts("1gbps egressCeilingBurst 20", "system")).toEqual([65_536 * 8]);
  });

  it("that the node cannot keep are said with the reason", () => {
    const { shortfalls, ceilings } = planOf("a", { means: { ...METERS, meters: false } });
    expect(ceilings.map(({ meterId }) => meterId)).toEqual([undefined, undefined, undefined]);
    expect(shortfalls).toEqual([
      "this node has no meters, so the ingress ceiling of endpoint group t1:g7 is not kept",
      "this node has no meters, so the egress ceiling of endpoint group t1:g7 is not kept",
      "this node has no meters, so the egress ceiling of tenant t1 is not kept",
    ]);
  });

  it("have meters of their own, whatever their numbers are, in the range of ceilings", () => {
    const number = fc.oneof(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 0x3ff0, max: 0xffffffff }));
    fc.assert(
      fc.property(fc.uniqueArray(number, { minLength: 1, maxLength: 12 }), (numbers) => {
        const groups = numbers.map((id) => `group t1:g${id} t1:net ingressCeiling 1g egressCeiling 2g`);
        const pods = numbers.map((id, index) => `endpoint e${index} t1:net n1 10.1.1.${index + 1} group ${id}`);
        const view = worldView(["network t1:net vxlan 100 10.1.1.0/24", ...pods, ...groups].join("\n"));
        const ids = numbers.flatMap((_, index) => {
          const endpoint = recordOf(view, "endpoint", `e${index}`);
          return endpoint === undefined
            ? []
            : limitsOf(view, endpoint, METERS).plan.ceilings.map(({ meterId }) => meterId);
        });
        expect(new Set(ids).size).toBe(numbers.length * 2);
        for (const id of ids) expect((id ?? 0) >>> 16).toBe(2);
      }),
    );
  });
});
