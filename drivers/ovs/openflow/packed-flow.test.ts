import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createWriter, written } from "./bytes.ts";
import type { Flow } from "./flow.ts";
import { putFlowMod } from "./flow-codec.ts";
import type { FlowMod } from "./flow-mod.ts";
import { mayNameMeter, packFlow, unpackFlow } from "./packed-flow.ts";
import { anyFlow } from "./testing/flow-arbitrary.ts";
import { formatMod } from "./text.ts";

function bytesOf(mod: FlowMod): string {
  const writer = createWriter();
  putFlowMod(writer, mod);
  return written(writer).toString("hex");
}

describe("a packed flow", () => {
  it("is the flow, for any flow", () => {
    fc.assert(
      fc.property(anyFlow, (flow) => {
        expect(unpackFlow(packFlow(flow))).toEqual(flow);
      }),
      { numRuns: 500 },
    );
  });

  it("is added and deleted by the same bytes as the flow, and told in the same words", () => {
    fc.assert(
      fc.property(anyFlow, (flow) => {
        const packed = packFlow(flow);
        const [add, put] = [{ kind: "flow-add", flow } as const, { kind: "flow-put", ...packed } as const];
        const [remove, drop] = [
          { kind: "flow-delete-strict", flow } as const,
          { kind: "flow-drop", key: packed.key } as const,
        ];
        expect(bytesOf(put)).toBe(bytesOf(add));
        expect(bytesOf(drop)).toBe(bytesOf(remove));
        expect(formatMod(put).replace("flow-put", "flow-add")).toBe(formatMod(add));
        expect(formatMod(drop).replace("flow-drop", "flow-delete-strict")).toBe(formatMod(remove));
      }),
      { numRuns: 500 },
    );
  });
});

describe("a flow that may name a meter", () => {
  const drop: Flow = { table: 0, priority: 1, cookie: 0xc0170001_3fffffffn, match: { inPort: 1 }, actions: [] };

  it.each<[string, boolean, Flow]>([
    ["drops", false, drop],
    ["goes on", false, { ...drop, goto: 10 }],
    ["puts out", false, { ...drop, actions: [{ kind: "output", port: 29 }] }],
    ["begins with one", true, { ...drop, meter: 3 }],
    ["has one among its actions", true, { ...drop, actions: [{ kind: "decTtl" }, { kind: "meter", meter: 0xffffff }] }],
    ["asks a controller", true, { ...drop, actions: [{ kind: "controller", meter: 5 }] }],
  ])("%s: %s", (_, may, flow) => {
    expect(mayNameMeter(packFlow(flow).deed)).toBe(may);
  });
});
