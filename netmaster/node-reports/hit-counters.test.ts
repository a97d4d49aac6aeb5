import { describe, expect, it } from "vitest";
import type { HitReport } from "../../state/node-api.ts";
import { remove, worldView } from "../view/testing.ts";
import { HitCounters } from "./hit-counters.ts";

const VIEW = worldView("tenant t\nnetwork t:a\npolicy t:p\nrule t:p:1\nrule t:p:2\nnode n1\nendpoint e1 t:a n1");

function report(sequence: number, parts: Partial<HitReport> = {}): HitReport {
  return { session: "s", sequence, rules: { "t:p:1": [2, 200, 5_000] }, endpoints: {}, ...parts };
}

describe("hit counters", () => {
  it("sum over nodes and keep the last moment", () => {
    const hits = new HitCounters();
    hits.note(VIEW, "n1", report(1));
    hits.note(VIEW, "n2", report(1, { rules: { "t:p:1": [1, 50, 4_000], "t:p:2": [1, 1, 1] } }));
    hits.note(VIEW, "n1", report(2, { endpoints: { e1: [1, 10, 2, 20, 7] } }));
    hits.note(VIEW, "n1", report(3, { endpoints: { e1: [1, 10, 2, 20, 9] } }));
    expect(hits.ofRule("t:p:1")).toEqual({ packets: 7, bytes: 650, lastAtMs: 5_000 });
    expect(hits.ofRule("t:p:2")).toEqual({ packets: 1, bytes: 1, lastAtMs: 1 });
    expect(hits.ofEndpoint("e1")).toEqual({
      sent: { packets: 2, bytes: 20 },
      received: { packets: 4, bytes: 40 },
      lastAtMs: 9,
    });
  });

  it("count a repeated report once, and an agent that has started anew from the beginning", () => {
    const hits = new HitCounters();
    for (const sequence of [1, 1, 2, 1]) hits.note(VIEW, "n1", report(sequence));
    expect(hits.ofRule("t:p:1")?.packets).toBe(4);
    hits.note(VIEW, "n1", report(1, { session: "another" }));
    expect(hits.ofRule("t:p:1")?.packets).toBe(6);
  });

  it("know only what exists, and nothing of what an object of that name met before", () => {
    const hits = new HitCounters();
    hits.note(VIEW, "n1", report(1, { rules: { "t:p:none": [1, 1, 1] }, endpoints: { none: [1, 1, 1, 1, 1] } }));
    expect(hits.rules().size).toBe(0);
    hits.note(VIEW, "n1", report(2, { endpoints: { e1: [1, 1, 1, 1, 1] } }));
    const after = remove(remove(VIEW, "rule", "t:p:1"), "endpoint", "e1");
    const gone = { record: undefined, modRevision: 9n } as const;
    const rule = VIEW.records("rule").get("t:p:1");
    const endpoint = VIEW.records("endpoint").get("e1");
    hits.follow({
      view: after,
      changes: [
        { kind: "rule", key: "t:p:1", previous: rule, ...gone },
        { kind: "endpoint", key: "e1", previous: endpoint, ...gone },
      ],
    });
    expect([hits.ofRule("t:p:1"), hits.ofEndpoint("e1")]).toEqual([undefined, undefined]);
  });

  it("forget everything when they are cleared", () => {
    const hits = new HitCounters();
    hits.note(VIEW, "n1", report(4));
    hits.clear();
    expect(hits.rules().size).toBe(0);
    hits.note(VIEW, "n1", report(1));
    expect(hits.ofRule("t:p:1")?.packets).toBe(2);
  });
});
