import { describe, expect, it } from "vitest";
import type { NodeCondition } from "../../state/kinds/node.ts";
import { collectConditions } from "./conditions.ts";

const FAILED: NodeCondition = { type: "uplink/default", status: "failed", message: "eth9 does not exist" };
const FINE: NodeCondition = { type: "switch", status: "ok", message: "3.1" };

describe("conditions", () => {
  it("of a source that fails are replaced by one that names it; the others are told", () => {
    const told = collectConditions(undefined, {
      switch: () => [FINE],
      infra: () => {
        throw new Error("no such port");
      },
      uplinks: () => [FAILED],
    });
    expect(told).toMatchObject([FINE, { type: "report/infra", status: "degraded" }, FAILED]);
    expect(told[1]?.message).toContain("no such port");
  });
});
