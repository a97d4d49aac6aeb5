import pino from "pino";
import { describe, expect, it } from "vitest";
import type { Flow } from "../../../drivers/ovs/openflow/flow.ts";
import { type FlowDeed, packFlow, unpackFlow } from "../../../drivers/ovs/openflow/packed-flow.ts";
import type { FlowBundle } from "../../../drivers/ovs/types.ts";
import type { Failures } from "../../../state/delta.ts";
import { NetError } from "../../../state/errors.ts";
import { flowsFor, machineFor } from "../../../test/fakes/policy-nodes.ts";
import { policyView } from "../../../test/fakes/policy-view.ts";
import type { FakeRule, PolicyObjects } from "../../../test/fakes/policy-world.ts";
import { newConnectionsMeterId } from "../../desired/pipeline/connection-limit.ts";
import { Priority, Table } from "../../desired/pipeline/pipeline.ts";
import type { Machine } from "../../machine/machine.ts";
import { type Changes, NO_CHANGES } from "../../view/node-view.ts";
import { createFlowReconciler } from "./flow-reconciler.ts";
import { metersOf } from "./meters.ts";

const OBJECTS: PolicyObjects = {
  networks: [{ key: "t1:blue", subnet: "10.1.0.0/16" }],
  groups: [
    { key: "t1:red", network: "t1:blue", policies: ["p"] },
    { key: "t1:green", network: "t1:blue", policies: ["q"] },
    { key: "t1:far", network: "t1:blue" },
  ],
  endpoints: [
    { key: "r", group: "t1:red", ipv4: "10.1.1.1" },
    { key: "g", group: "t1:green", ipv4: "10.1.1.2" },
    { key: "f", group: "t1:far", ipv4: "10.1.2.1" },
  ],
  rules: [],
};
const FINE: readonly FakeRule[] = [{ id: "p:fine" }, { id: "q:fine" }];
const BAD: FakeRule = { id: "p:bad", protocol: "tcp", port: 666 };

type Verdict = (flow: Flow, tables: ReadonlyMap<string, Flow>) => string | undefined;

/** A switch in memory that takes bundles whole or not at all, and says why not as Open vSwitch does. */
function fakeSwitch() {
  const state = {
    flows: new Map<string, Flow>(),
    bundles: 0,
    /** Flows on their way before all were known. */
    sentAhead: 0,
    /** What it cannot read: all are told. */
    illegible: (() => undefined) as Verdict,
    /** What it cannot carry out: the first is told. */
    impossible: (() => undefined) as Verdict,
  };
  const refusal = (reason: string) => new NetError("REJECTED", `the switch answered ${reason}`, { reason });
  const begin = (): FlowBundle => {
    const packed = new Map<string, FlowDeed>();
    const remove = new Set<string>();
    return {
      put: (key, deed) => {
        packed.set(key, deed);
        remove.delete(key);
      },
      remove: (key) => {
        packed.delete(key);
        remove.add(key);
      },
      isFull: true,
      room: async () => {
        state.sentAhead = Math.max(state.sentAhead, packed.size);
      },
      commit: async () => (packed.size + remove.size === 0 ? new Map() : carryOut(packed, remove)),
      [Symbol.dispose]: () => {},
    };
  };
  const carryOut = (packed: ReadonlyMap<string, FlowDeed>, remove: ReadonlySet<string>): Failures => {
    const put = [...packed].map(([key, deed]) => [key, unpackFlow({ key, deed })] as const);
    state.bundles += 1;
    const next = new Map(state.flows);
    const illegible = put.flatMap(([key, flow]) => {
      const reason = state.illegible(flow, next);
      return reason === undefined ? [] : [[key, refusal(reason)] as const];
    });
    if (illegible.length > 0) return new Map(illegible);
    for (const key of remove) next.delete(key);
    for (const [key, flow] of put) {
      const reason = state.impossible(flow, next);
      if (reason !== undefined) return new Map([[key, refusal(reason)]]);
      next.set(key, flow);
    }
    state.flows = next;
    return new Map();
  };
  const read = async () => new Map([...state.flows].map(([key, flow]) => [key, packFlow(flow).deed]));
  return { state, driver: { read, begin } };
}

function node(means: Partial<Machine> = {}) {
  const { state, driver } = fakeSwitch();
  let view = policyView(OBJECTS, { f: "n2" });
  const told = { drift: 0, refusals: [] as string[], refusedMeters: new Set<number>() };
  const reconciler = createFlowReconciler({
    driver,
    meters: {
      prepare: async (flows) => {
        const ids = metersOf(flows).filter((id) => told.refusedMeters.has(id));
        const error = new NetError("REJECTED", "no room", { reason: "OFPMMFC_OUT_OF_METERS" });
        return new Map(ids.map((id) => [id, error]));
      },
      refresh: async () => {},
      settle: async () => {},
      settleAll: async () => {},
    },
    generation: 1,
    log: pino({ level: "silent" }),
    view: () => view,
    machine: () => ({ ...machineFor(view, "n1"), ...means }),
    onDrift: () => {
      told.drift += 1;
    },
    onRefusal: (message) => told.refusals.push(message),
  });
  const { signal } = new AbortController();
  return {
    ...{ state, reconciler, told },
    view: () => view,
    round: (full = false) => reconciler.reconcile(full, signal),
    /** Writes rules as the watch would bring them. */
    write: (rules: readonly FakeRule[], changed: readonly string[]) => {
      view = policyView({ ...OBJECTS, rules }, { f: "n2" });
      reconciler.touch(new Map(changed.map((key) => [`rule/${key}`, { kind: "rule", key }])) as Changes);
    },
  };
}

type Node = ReturnType<typeof node>;

const isPort = (flow: Flow, port: number) => flow.match.tcpDst === port;

/** Endpoints of this node that get nothing, by address. */
function closedAddresses({ state, view }: Node): string[] {
  const drops = [...state.flows.values()].filter(
    ({ table, priority }) => table === Table.conntrack && priority === Priority.conntrack.closed,
  );
  const macs = new Set(drops.map(({ match }) => match.ethDst));
  const held = [...(view().tables.get("endpoint")?.values() ?? [])].map(
    ({ record }) => record as { mac: string; key: string },
  );
  return held.filter(({ mac }) => macs.has(mac)).map(({ key }) => key);
}

function expectEverything(given: Node): void {
  const wanted = flowsFor(given.view(), machineFor(given.view(), "n1"));
  expect([...given.state.flows.keys()].sort()).toEqual([...wanted.keys()].sort());
  expect(given.reconciler.failures().size).toBe(0);
  expect(closedAddresses(given)).toEqual([]);
}

async function ready(rules: readonly FakeRule[] = FINE, means: Partial<Machine> = {}): Promise<Node> {
  const given = node(means);
  given.write(rules, []);
  await given.round(true);
  expectEverything(given);
  return given;
}

describe("a rule that the switch refuses", () => {
  it("closes the endpoints that have it; all others, and what else has changed, go on", async () => {
    const given = await ready();
    given.state.illegible = (flow) => (isPort(flow, 666) ? "OFPBMC_BAD_VALUE" : undefined);
    given.write([...FINE, BAD, { id: "q:new", protocol: "tcp", port: 80 }], ["t1:p:bad", "t1:q:new"]);
    const machine = (await given.round())?.machine ?? machineFor(given.view(), "n1");
    expect([...given.state.flows.keys()].sort()).toEqual([...flowsFor(given.view(), machine).keys()].sort());
    expect(closedAddresses(given)).toEqual(["r"]);
    expect([...given.state.flows.values()].filter((flow) => isPort(flow, 80)).length).toBeGreaterThan(0);
    const failures = Object.fromEntries(given.reconciler.failures());
    expect(Object.keys(failures).sort()).toEqual(["endpoint/r", "rule/t1:p:bad"]);
    expect(failures["rule/t1:p:bad"]).toMatch(/OFPBMC_BAD_VALUE/);
    expect(failures["endpoint/r"]).toMatch(/closed.*rule\/t1:p:bad.*OFPBMC_BAD_VALUE/);
    expect(given.reconciler.enforcedRevision).toBe(given.view().revision);
    expect([given.reconciler.refusedCount, given.state.bundles]).toEqual([1, 3]);
    expect(given.told.refusals.length).toBe(1);
  });

  it("closes nobody when it only logs", async () => {
    const given = await ready();
    given.state.illegible = (flow) => (isPort(flow, 666) ? "OFPBMC_BAD_VALUE" : undefined);
    given.write([...FINE, { ...BAD, action: "log" }], ["t1:p:bad"]);
    await given.round();
    expect(closedAddresses(given)).toEqual([]);
    expect([...given.reconciler.failures().keys()]).toEqual(["rule/t1:p:bad"]);
  });

  it("is offered again when asked for, and then everything opens", async () => {
    const given = await ready();
    given.state.illegible = (flow) => (isPort(flow, 666) ? "OFPBMC_BAD_VALUE" : undefined);
    given.write([...FINE, BAD], ["t1:p:bad"]);
    await given.round();
    const closed = new Map(given.state.flows);
    given.reconciler.tryRefused();
    await given.round();
    expect(given.state.flows).toEqual(closed);
    expect(closedAddresses(given)).toEqual(["r"]);
    given.state.illegible = () => undefined;
    await given.round();
    expect(closedAddresses(given)).toEqual(["r"]);
    given.reconciler.tryRefused();
    await given.round();
    expectEverything(given);
    expect(given.reconciler.refusedCount).toBe(0);
    expect(given.told.drift).toBe(0);
  });

  it("is taken at once when it has been changed, and forgotten when it has gone", async () => {
    const given = await ready();
    given.state.illegible = (flow) => (isPort(flow, 666) ? "OFPBMC_BAD_VALUE" : undefined);
    for (const rules of [[...FINE, { ...BAD, port: 667 }], FINE]) {
      given.write([...FINE, BAD], ["t1:p:bad"]);
      await given.round();
      expect(closedAddresses(given)).toEqual(["r"]);
      given.write(rules, ["t1:p:bad"]);
      await given.round();
      expectEverything(given);
    }
  });

  it("does not disturb full comparisons, nor is it drift", async () => {
    const given = await ready();
    given.state.illegible = (flow) => (isPort(flow, 666) ? "OFPBMC_BAD_VALUE" : undefined);
    given.write([...FINE, BAD], ["t1:p:bad"]);
    await given.round(true);
    await given.round(true);
    expect(closedAddresses(given)).toEqual(["r"]);
    expect(given.told.drift).toBe(1); // the first full round after a change finds it missing
    given.reconciler.expectLoss();
    given.state.flows.clear();
    given.state.illegible = () => undefined;
    await given.round(true);
    expectEverything(given);
  });
});

describe("a table that is full", () => {
  const many = (policy: string, count: number): FakeRule[] =>
    Array.from({ length: count }, (_, index) => ({ id: `${policy}:m${index}`, protocol: "tcp", port: 2_000 + index }));
  const room =
    (count: number): Verdict =>
    (flow, tables) => {
      const used = [...tables.values()].filter(({ table }) => table === Table.inRules).length;
      return flow.table === Table.inRules && used >= count ? "OFPFMFC_TABLE_FULL" : undefined;
    };

  it("closes who needs the rules that have no place, with few bundles, and opens them when there is room", async () => {
    const given = await ready();
    const used = [...given.state.flows.values()].filter(({ table }) => table === Table.inRules).length;
    given.state.impossible = room(used + 10);
    const rules = [...FINE, ...many("q", 300)];
    const before = given.state.bundles;
    given.write(
      rules,
      many("q", 300).map(({ id }) => `t1:${id}`),
    );
    await given.round();
    expect(given.state.bundles - before).toBeLessThanOrEqual(3);
    expect(closedAddresses(given)).toEqual(["g"]);
    expect(given.reconciler.isInstalled("rule/t1:p:fine")).toBe(true);
    given.state.impossible = () => undefined;
    given.reconciler.tryRefused();
    await given.round();
    expectEverything(given);
  });

  it("fails the round when even the base flows have no place", async () => {
    const given = node();
    given.write(FINE, []);
    given.state.impossible = room(0);
    await expect(given.round(true)).rejects.toMatchObject({ reason: "OFPFMFC_TABLE_FULL" });
    given.state.impossible = () => undefined;
    await given.round(true);
    expectEverything(given);
  });
});

describe("an endpoint elsewhere whose flows the switch refuses", () => {
  it("closes those whose rules name its group", async () => {
    const given = await ready();
    given.state.illegible = (flow) =>
      flow.table === Table.sourceGroup && flow.priority > 0 ? "OFPBMC_BAD_VALUE" : undefined;
    given.write([...FINE, { id: "q:far", fromEndpointGroup: "far" }], ["t1:q:far"]);
    await given.round();
    expect(closedAddresses(given)).toEqual(["g"]);
    expect([...given.reconciler.failures().keys()].sort()).toEqual(["endpoint/f", "endpoint/g"]);
  });
});

describe("a meter that the switch refuses", () => {
  it.each([false, true])("closes the pod that needs it, and nobody else (full round: %s)", async (isFull) => {
    const means: { newConnectionsPerSecond?: number } = {};
    const given = await ready(FINE, means);
    const machine = machineFor(given.view(), "n1");
    given.told.refusedMeters.add(newConnectionsMeterId(machine.ports.get("r") ?? 0));
    means.newConnectionsPerSecond = 5;
    given.write([...FINE, { id: "q:new", protocol: "tcp", port: 80 }], ["t1:q:new"]);
    await given.round(isFull);
    expect([...given.reconciler.failures().keys()]).toEqual(["endpoint/r"]);
    expect(given.reconciler.failures().get("endpoint/r")).toMatch(/OFPMMFC_OUT_OF_METERS/);
    expect([...given.state.flows.values()].some((flow) => isPort(flow, 80))).toBe(true);
    given.told.refusedMeters.clear();
    given.reconciler.tryRefused();
    await given.round();
    expect(given.reconciler.failures().size).toBe(0);
  });
});

describe("a full round", () => {
  it("sends flows while others are still computed, and repairs what differs and what is foreign", async () => {
    const given = await ready();
    expect(given.state.sentAhead).toBeGreaterThan(10);
    const wanted = new Map(given.state.flows);
    const [missing, changed] = [...wanted.keys()].filter((key) => key.charCodeAt(0) === Table.switch);
    const foreign: Flow = { table: 3, priority: 1, cookie: 0n, match: { inPort: 9 }, actions: [] };
    given.state.flows.delete(missing ?? "");
    given.state.flows.set(changed ?? "", { ...(wanted.get(changed ?? "") as Flow), goto: 99 });
    given.state.flows.set(packFlow(foreign).key, foreign);
    await given.round(true);
    expect(given.state.flows).toEqual(wanted);
    expect(given.told.drift).toBe(1);
  });
});

describe("a round that fails for another reason", () => {
  it("is made up for by the next one", async () => {
    const given = await ready();
    given.state.impossible = (flow) => {
      if (isPort(flow, 80)) throw new NetError("UNAVAILABLE", "the switch is away");
      return undefined;
    };
    given.write([...FINE, { id: "q:new", protocol: "tcp", port: 80 }], ["t1:q:new"]);
    await expect(given.round()).rejects.toMatchObject({ code: "UNAVAILABLE" });
    given.state.impossible = () => undefined;
    expect((await given.round())?.changes.has("rule/t1:q:new")).toBe(true);
    expectEverything(given);
    expect((await given.round())?.changes).toEqual(NO_CHANGES);
  });
});
