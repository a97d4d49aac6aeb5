import { describe, expect, it } from "vitest";
import type { NodeCondition } from "../../state/kinds/node.ts";
import { judge, type NodeFacts, NodeReadiness, type ReadinessFacts, whyNoAdd } from "./readiness.ts";

const WELL: NodeFacts = {
  cniFault: () => undefined,
  driverFaults: () => [undefined],
  isViewComplete: () => true,
  conditions: () => [{ type: "switch", status: "ok", message: "3.1" }],
};
const UP: ReadinessFacts = {
  ...{ step: "s", startFault: undefined, isRegistered: true, netmasterFault: undefined, node: WELL },
};
const withNode = (facts: Partial<NodeFacts>) => ({ node: { ...WELL, ...facts } });
const wrong = (status: NodeCondition["status"]) =>
  withNode({ conditions: () => [{ type: "uplink/a", status, message: "no eth1" }] });
const AWAY = { netmasterFault: "No netmaster answers" };
const NO_SWITCH = withNode({ driverFaults: () => ["no switch"] });

describe("a node is", () => {
  it.each<[string, Partial<ReadinessFacts>, string, boolean]>([
    ["ready", {}, "", true],
    ["starting", { node: undefined, step: "connecting" }, "connecting", false],
    ["not-ready", { node: undefined, startFault: "no db.sock" }, "no db.sock", false],
    ["not-ready", withNode({ cniFault: () => "no socket" }), "no socket", false],
    ["not-ready", { ...NO_SWITCH, ...AWAY }, "no switch", false],
    ["ready", withNode({ driverFaults: () => ["no switch", undefined] }), "", true],
    ["not-ready", withNode({ driverFaults: () => [] }), "This node has no network driver", false],
    ["starting", { isRegistered: false }, "registering with netmaster (--netmaster-urls)", false],
    ["not-ready", { isRegistered: false, ...AWAY }, "No netmaster answers", false],
    ["starting", withNode({ isViewComplete: () => false }), "reading this node's objects from netmaster", false],
    ["not-ready", AWAY, "No netmaster answers", true],
    ["degraded", wrong("failed"), "uplink/a: no eth1", true],
    ["degraded", wrong("degraded"), "uplink/a: no eth1", true],
    ["not-ready", { ...wrong("failed"), ...AWAY }, "No netmaster answers", true],
  ])("%s (case %#)", (state, facts, reason, isAddTried) => {
    const all = { ...UP, ...facts };
    expect(judge(all)).toEqual({ state, reasons: reason === "" ? [] : [reason] });
    expect(whyNoAdd(all) === undefined).toBe(isAddTried);
  });
});

function started() {
  const lines: [string, string, object][] = [];
  const write = (level: string) => (fields: object, message: string) => void lines.push([level, message, fields]);
  const netmaster = { isRegistered: true, fault: undefined as string | undefined };
  const readiness = new NodeReadiness({
    log: { debug: () => undefined, info: write("info"), warn: write("warn") },
    reachability: { isRegistered: () => netmaster.isRegistered, netmasterFault: () => netmaster.fault },
  });
  return { lines, netmaster, readiness, told: () => lines.map(([, message]) => message) };
}

describe("a node's readiness", () => {
  it("says why before the switch is there: the step, then what is wrong, everywhere the same", () => {
    const { readiness, told } = started();
    readiness.step("connecting to Open vSwitch");
    expect(readiness.whyNoAdd()).toBe("netplugin is starting on this node: connecting to Open vSwitch");
    for (const attempt of [1, 2]) readiness.switchFault(`no Open vSwitch: attempt ${attempt}`);
    expect(readiness.whyNoAdd()).toBe("netplugin is not-ready on this node: no Open vSwitch: attempt 2");
    expect(readiness.whyNotReady()).toBe(readiness.whyNoAdd());
    expect(readiness.told()).toMatchObject({ state: "not-ready", reasons: ["no Open vSwitch: attempt 2"] });
    readiness.up(WELL);
    expect(readiness.whyNotReady()).toBeUndefined();
    expect(told()).toEqual([
      expect.stringMatching(/^Open vSwitch does not answer/),
      "netplugin is not-ready",
      "Open vSwitch answers again",
      "netplugin is ready",
    ]);
  });

  it("has one line when the switch is lost and one when it is back", () => {
    const { readiness, lines } = started();
    const node = { fault: undefined as string | undefined };
    readiness.up({ ...WELL, driverFaults: () => [node.fault] });
    for (const fault of ["gone: 1", "gone: 2", undefined]) {
      node.fault = fault;
      readiness.current();
    }
    const ofSwitch = lines.filter(([, message]) => message.startsWith("Open vSwitch"));
    expect(ofSwitch).toMatchObject([
      ["warn", expect.any(String), { cause: "gone: 1" }],
      ["info", "Open vSwitch answers again", { lostMs: expect.any(Number) }],
    ]);
  });

  it("tells netmaster nothing of its own absence, and asks for a report when something else changes", () => {
    const { readiness, netmaster } = started();
    let changes = 0;
    readiness.up(WELL);
    readiness.onChange(() => {
      changes += 1;
    });
    netmaster.fault = "No netmaster answers";
    expect([readiness.current().state, readiness.told().state, changes]).toEqual(["not-ready", "ready", 0]);
    expect(readiness.whyNotReady()).toBe("netplugin is not-ready on this node: No netmaster answers");
    readiness.up({ ...WELL, ...wrong("failed").node });
    expect([readiness.told().state, changes]).toEqual(["degraded", 1]);
  });
});
