import { describe, expect, it } from "vitest";
import { atMost, soundHeartbeat } from "./heartbeat-parts.ts";
import type { NodeCondition } from "./kinds/node.ts";

const UPLINK: NodeCondition = { type: "uplink/default", status: "failed", message: "eth9 does not exist" };
const RECEIPT = {
  enforcedRevision: "7",
  enforcedAt: "2026-01-01T00:00:00Z",
  endpointCount: 1,
  flowCount: 2,
  failures: {},
};
const HITS = { session: "s", sequence: 1, rules: {}, endpoints: {} };
const WHOLE = { bootId: "b", conditions: [UPLINK], receipt: RECEIPT, bandwidth: [], ceilings: [], hits: HITS };

describe("a heartbeat", () => {
  it("without faults is told as it is", () => expect(soundHeartbeat(WHOLE)).toEqual(WHOLE));

  it.each([
    ["receipt", { ...RECEIPT, flowCount: Number.NaN }],
    ["receipt", "none"],
    ["bandwidth", [{ key: "e", overMs: -1 }]],
    ["ceilings", {}],
    ["hits", { ...HITS, session: "" }],
    ["hits", null],
  ])("whose %s is faulty is told without it, with the reason", (part, value) => {
    const sound = soundHeartbeat({ ...WHOLE, [part]: value });
    const { [part as "hits"]: _lost, ...rest } = WHOLE;
    expect(sound).toMatchObject({ ...rest, conditions: [{ type: `report/${part}`, status: "degraded" }, UPLINK] });
    expect(sound).not.toHaveProperty(part);
  });

  it("loses only the condition that is faulty", () => {
    const conditions = [{ type: "x", status: "ok" }, UPLINK, { type: "y", status: "odd", message: "" }];
    const types = soundHeartbeat({ ...WHOLE, conditions })?.conditions.map(({ type }) => type);
    expect(types).toEqual(["report/conditions", "uplink/default"]);
    expect(soundHeartbeat({ ...WHOLE, conditions: undefined })?.conditions[0]?.message).toContain("not a list");
  });

  it.each([undefined, null, 7, "x", {}, { ...WHOLE, bootId: 7 }])("%j without boot id is none", (value) => {
    expect(soundHeartbeat(value)).toBeUndefined();
  });

  it("with too many conditions tells those that are wrong first, and how many are left out", () => {
    const fine = Array.from({ length: 150 }, (_, index): NodeCondition => {
      return { type: `infra/${index}`, status: "ok", message: "" };
    });
    const told = soundHeartbeat({ ...WHOLE, conditions: [...fine, UPLINK] })?.conditions ?? [];
    expect(told).toHaveLength(100);
    expect(told[0]).toEqual(UPLINK);
    expect(told.at(-1)?.message).toContain("52 more conditions");
    expect(atMost([UPLINK])).toEqual([UPLINK]);
  });
});
