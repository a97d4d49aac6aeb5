import { describe, expect, it } from "vitest";
import type { NodeCondition } from "../../state/kinds/node.ts";
import type { ReadyState } from "../../state/readiness.ts";
import { manualClock } from "../../state/waiting/clock.ts";
import { put, worldView } from "../view/testing.ts";
import { Heartbeats } from "./heartbeats.ts";

const VIEW = worldView("node n1\nnode n2");
const DEGRADED: NodeCondition = { type: "uplink", status: "degraded", message: "eth1 is missing" };

function nodeIn(view = VIEW) {
  const node = view.records("node").get("n1");
  if (node === undefined) throw new Error("no node");
  return node;
}

function started() {
  const clock = manualClock();
  return { clock, heartbeats: new Heartbeats({ nodeTimeoutMs: 15_000, clock, storeEpoch: () => "1-a" }) };
}

const names = (changes: readonly { readonly name: string }[]) => changes.map(({ name }) => name);

describe("heartbeats", () => {
  it("make a node unreachable after its timeout, and ready again with the next one", () => {
    const { clock, heartbeats } = started();
    clock.advance(10_000);
    heartbeats.note(nodeIn(), { bootId: "b", conditions: [] });
    clock.advance(5_000);
    expect(names(heartbeats.silent(VIEW))).toEqual(["n2"]);
    clock.advance(10_000);
    expect(names(heartbeats.silent(VIEW))).toEqual(["n1", "n2"]);
    const away = put(VIEW, { kind: "node", record: { ...nodeIn(), state: "unreachable" } });
    expect(names(heartbeats.silent(away))).toEqual(["n2"]);
    expect(heartbeats.note(nodeIn(away), { bootId: "b", conditions: [] })).toMatchObject({
      name: "n1",
      state: "ready",
    });
  });

  it("grant every node a full timeout when this netmaster begins to lead", () => {
    const { clock, heartbeats } = started();
    clock.advance(60_000);
    heartbeats.listen();
    expect(heartbeats.silent(VIEW)).toEqual([]);
    clock.advance(15_000);
    expect(names(heartbeats.silent(VIEW))).toEqual(["n1", "n2"]);
  });

  it("bring changed conditions to the store, but not more often than every few seconds", () => {
    const { clock, heartbeats } = started();
    expect(heartbeats.note(nodeIn(), { bootId: "b", conditions: [] })).toBeUndefined();
    expect(heartbeats.note(nodeIn(), { bootId: "b", conditions: [DEGRADED] })).toMatchObject({
      conditions: [DEGRADED],
    });
    expect(heartbeats.note(nodeIn(), { bootId: "b", conditions: [DEGRADED] })).toBeUndefined();
    clock.advance(5_000);
    expect(heartbeats.note(nodeIn(), { bootId: "b", conditions: [DEGRADED] })).toMatchObject({
      conditions: [DEGRADED],
    });
  });

  it("bring what a node says of itself: better news at once, a start that is soon over not at all", () => {
    const { clock, heartbeats } = started();
    const told = (state: ReadyState) => ({ state, reasons: state === "ready" ? [] : ["why"], since: "" });
    let node = nodeIn();
    const say = (state: ReadyState) => {
      const change = heartbeats.note(node, { bootId: "b", conditions: [], readiness: told(state) });
      if (change !== undefined) node = { ...node, readiness: change.readiness };
      return change?.readiness?.state;
    };
    expect([say("starting"), say("ready"), say("ready")]).toEqual(["starting", "ready", undefined]);
    clock.advance(5_000);
    expect([say("starting"), say("ready")]).toEqual([undefined, undefined]);
    expect([say("not-ready"), say("ready"), say("not-ready")]).toEqual(["not-ready", "ready", undefined]);
    clock.advance(5_000);
    expect(say("not-ready")).toBe("not-ready");
    say("ready");
    say("starting");
    clock.advance(5_000);
    expect(say("starting")).toBe("starting");
  });

  it("keep the last receipt of registered nodes only", () => {
    const { heartbeats } = started();
    const receipt = {
      enforcedRevision: "7",
      enforcedAt: "2026-01-01T00:00:00Z",
      endpointCount: 1,
      flowCount: 2,
      failures: {},
    };
    heartbeats.note(nodeIn(), { bootId: "b", conditions: [], receipt });
    heartbeats.forgetUnknown(VIEW);
    expect(heartbeats.receipt("n1")).toEqual(receipt);
    heartbeats.forgetUnknown(worldView("node n2"));
    expect(heartbeats.receipt("n1")).toBeUndefined();
  });

  it("prove nothing about a store of another epoch", () => {
    const { heartbeats } = started();
    const receipt = { enforcedRevision: "70", enforcedAt: "", endpointCount: 0, flowCount: 0, failures: {} };
    for (const [storeEpoch, shown] of [
      ["1-a", "70"],
      ["0-z", "0"],
    ] as const) {
      heartbeats.note(nodeIn(), { bootId: "b", conditions: [], receipt: { ...receipt, storeEpoch } });
      expect(heartbeats.receipt("n1")?.enforcedRevision).toBe(shown);
    }
  });
});
