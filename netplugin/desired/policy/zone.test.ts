import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { worldMessages } from "../../../test/fakes/world.ts";
import { applyBatch } from "../../view/apply.ts";
import { emptyView, type NodeView } from "../../view/node-view.ts";
import { recordsOf } from "../../view/query.ts";
import { zoneOf } from "./zone.ts";

const TEXT = `
  mode MODE proxy
  network t1:a vxlan 100 10.1.0.0/24
  network t1:b vxlan 101 10.2.0.0/24
  network t2:a vxlan 102 10.1.0.0/24
`;

/** The networks under numbers of their own. */
function viewWith(mode: string, numbers: readonly number[]): NodeView {
  const messages = worldMessages(TEXT.replace("MODE", mode)).map((message) => {
    if (message.type !== "put" || message.kind !== "network") return message;
    const index = ["t1:a", "t1:b", "t2:a"].indexOf(message.key);
    return { ...message, record: { ...message.record, networkId: numbers[index] } } as typeof message;
  });
  return applyBatch(emptyView(), [...messages, { type: "synced", revision: 9n }]).view;
}

function zones(view: NodeView): number[] {
  return [...recordsOf(view, "network")].map((network) => zoneOf(view, network));
}

describe("conntrack zones", () => {
  it("are the networks' own numbers; in routing mode the tenants'", () => {
    expect(zones(viewWith("bridge", [11, 12, 65_535]))).toEqual([11, 12, 65_535]);
    expect(zones(viewWith("routing", [11, 12, 65_535]))).toEqual([1, 1, 2]);
  });

  it("of high numbers are free ones", () => {
    expect(zones(viewWith("bridge", [1, 65_536, 131_071]))).toEqual([1, 2, 3]);
    expect(zones(viewWith("bridge", [131_071, 65_536, 2]))).toEqual([4, 3, 2]);
  });

  it("are 16 bits, never 0, and never shared", () => {
    const number = fc.oneof(
      fc.integer({ min: 1, max: 0xffffffff }),
      fc.constantFrom(1, 2, 65_535, 65_536, 131_070, 131_071),
    );
    fc.assert(
      fc.property(fc.uniqueArray(number, { minLength: 3, maxLength: 3 }), (numbers) => {
        const found = zones(viewWith("bridge", numbers));
        expect(new Set(found).size).toBe(3);
        for (const zone of found) expect(zone >= 1 && zone <= 0xffff).toBe(true);
      }),
    );
  });
});
