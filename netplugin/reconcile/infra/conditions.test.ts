import { describe, expect, it } from "vitest";
import { infraConditions } from "./conditions.ts";

function many(count: number): Map<string, string> {
  return new Map(Array.from({ length: count }, (_, index) => [`t:n${index}`, "why"]));
}

describe("conditions of infra networks", () => {
  it("are none without such networks", () => {
    expect(infraConditions({ working: new Map(), refused: new Map(), failures: new Map() })).toEqual([]);
  });

  it("say in one line that all is well", () => {
    expect(infraConditions({ working: many(2), refused: new Map(), failures: new Map() })).toEqual([
      { type: "infra", status: "ok", message: "Ports in 2 of 2 infra networks" },
    ]);
  });

  it("name what is wrong", () => {
    const refused = new Map([["t:a", "its subnet overlaps 10.0.0.1/24 of eth0"]]);
    const failures = new Map([["t:b", "No netmaster answers"]]);
    expect(infraConditions({ working: many(1), refused, failures })).toEqual([
      { type: "infra", status: "degraded", message: "Ports in 1 of 3 infra networks" },
      {
        type: "infra/t:a",
        status: "failed",
        message: "This node has no port in it: its subnet overlaps 10.0.0.1/24 of eth0",
      },
      { type: "infra/t:b", status: "degraded", message: "No netmaster answers; tried again" },
    ]);
  });

  it("leave room for others in a heartbeat", () => {
    const conditions = infraConditions({ working: new Map(), refused: many(300), failures: many(300) });
    expect(conditions).toHaveLength(21);
    expect(conditions[0]?.message).toContain("20 of 600 troubles are shown");
  });
});
