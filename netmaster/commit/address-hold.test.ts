import { describe, expect, it } from "vitest";
import { type DriverReports, NodeRecord } from "../../state/kinds/node.ts";
import type { Receipt } from "../../state/node-api.ts";
import { manualClock } from "../../state/waiting/clock.ts";
import { Heartbeats } from "../node-reports/heartbeats.ts";
import { put, worldView } from "../view/testing.ts";
import { AddressHold } from "./address-hold.ts";

const VIEW = worldView("tenant t1\nnetwork t1:blue\nnode n1\nnode n2");

function begun({ isOpen = true, view = VIEW } = {}) {
  const clock = manualClock();
  const heartbeats = new Heartbeats({ nodeTimeoutMs: 15_000, clock, storeEpoch: () => view.epoch });
  const hold = new AddressHold({ heartbeats, nowMs: () => clock.nowMs() });
  const pen = {
    isOpen,
    settle: () => {
      pen.isOpen = false;
    },
  };
  hold.begin(pen, view);
  const settle = (name: string, settledEpoch: string) => {
    const node = NodeRecord.parse(view.records("node").get(name));
    heartbeats.note(node, { bootId: "b", conditions: [], settledEpoch });
  };
  const say = (name: string, receipt: Receipt) => {
    const node = NodeRecord.parse(view.records("node").get(name));
    heartbeats.note(node, { bootId: "b", conditions: [], settledEpoch: "another epoch", receipt });
  };
  return { clock, pen, settle, say, reason: () => hold.reason(view) };
}

describe("new addresses in a new epoch of the store", () => {
  it("wait until every node has offered what it has, and then for nodes that the store may not know", () => {
    const { clock, pen, settle, reason } = begun();
    settle("n1", VIEW.epoch);
    settle("n2", "another epoch");
    clock.advance(5_000);
    expect(reason()).toContain("waiting for 1 nodes, first n2");
    settle("n2", VIEW.epoch);
    expect([reason(), pen.isOpen]).toEqual([undefined, false]);
    const early = begun();
    for (const name of ["n1", "n2"]) early.settle(name, VIEW.epoch);
    expect(early.reason()).toContain("nodes that it may not know");
  });

  it("do not wait for nodes that are silent for as long as makes them unreachable", () => {
    const { clock, settle, reason } = begun();
    settle("n1", VIEW.epoch);
    clock.advance(14_000);
    settle("n1", VIEW.epoch);
    expect(reason()).toContain("n2");
    clock.advance(1_000);
    expect(reason()).toBeUndefined();
  });

  it("wait no longer for a node whose switch is away: it cannot say what it has, and would hold all others up", () => {
    const node = NodeRecord.parse(VIEW.records("node").get("n2"));
    const withDrivers = (drivers: DriverReports) => {
      const record = { ...node, registration: { ...node.registration, drivers } };
      const { clock, settle, reason } = begun({ view: put(VIEW, { kind: "node", record }) });
      const reasons = [5_000, 5_000, 5_000].map((ms) => {
        clock.advance(ms);
        settle("n1", VIEW.epoch);
        settle("n2", "another epoch");
        return reason();
      });
      expect(reasons.slice(0, 2)).toEqual([expect.stringContaining("first n2"), expect.stringContaining("first n2")]);
      return reasons[2];
    };
    const ovs = { encaps: ["vxlan", "vlan"], enforcesPolicies: true, setsMac: true };
    expect(withDrivers({ ovs: { ...ovs, fault: "Open vSwitch does not answer" } })).toBeUndefined();
    expect(withDrivers({})).toBeUndefined();
    expect(withDrivers({ ovs })).toContain("first n2");
  });

  it("wait for a node whose switch has gone while its agent runs: it knows its pods, and says so with its receipts", () => {
    const node = NodeRecord.parse(VIEW.records("node").get("n2"));
    const drivers = { ovs: { encaps: ["vxlan"], enforcesPolicies: true, setsMac: true, fault: "away" } };
    const record = { ...node, registration: { ...node.registration, drivers } };
    const { clock, settle, say, reason } = begun({ view: put(VIEW, { kind: "node", record }) });
    for (let beat = 0; beat < 4; beat += 1) {
      clock.advance(5_000);
      settle("n1", VIEW.epoch);
      say("n2", { enforcedRevision: "1", enforcedAt: "", endpointCount: 1, flowCount: 1, failures: {} });
    }
    expect(reason()).toContain("first n2");
  });

  it("do not wait where the epoch is proven, nor where there is nothing to lease from", () => {
    expect(begun({ isOpen: false }).reason()).toBeUndefined();
    const empty = begun({ view: worldView("node n1") });
    expect([empty.reason(), empty.pen.isOpen]).toEqual([undefined, false]);
  });
});
