import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import type { TrackedConnection } from "../../../drivers/ovs/conntrack.ts";
import type { CtFilter } from "../../../drivers/ovs/openflow/ct-flush.ts";
import { machineFor } from "../../../test/fakes/policy-nodes.ts";
import { policyView } from "../../../test/fakes/policy-view.ts";
import type { FakeRule, PolicyObjects } from "../../../test/fakes/policy-world.ts";
import type { Snapshot } from "../../desired/connections/selector.ts";
import type { Changes } from "../../view/node-view.ts";
import { startConnectionKeeper } from "./connection-keeper.ts";

const OBJECTS: PolicyObjects = {
  networks: [{ key: "t1:blue", subnet: "10.1.0.0/16" }],
  groups: [{ key: "t1:here", network: "t1:blue", policies: ["p"] }],
  endpoints: [
    { key: "a", group: "t1:here", ipv4: "10.1.1.1" },
    { key: "far", network: "t1:blue", ipv4: "10.1.2.1" },
  ],
  rules: [],
};
const ALLOW: FakeRule = { id: "p:r", action: "allow", protocol: "udp", port: 53, priority: 10 };
const CLOSED: FakeRule = { id: "p:closed" };

function momentOf(rules: readonly FakeRule[], endpoints = OBJECTS.endpoints) {
  const view = policyView({ ...OBJECTS, rules, endpoints }, { far: "n2" });
  return { view, machine: machineFor(view, "n1") };
}

const RULE: Changes = new Map([["rule/t1:p:r", { kind: "rule", key: "t1:p:r" }]]);
const LEAVES = (key: string): Changes => new Map([[`endpoint/${key}`, { kind: "endpoint", key }]]);

function connection(index: number, dstPort = 53): TrackedConnection {
  const src = `10.1.9.${1 + (index % 250)}`;
  return { zone: 11, ipProto: 17, orig: { src, dst: "10.1.1.1", srcPort: 1_024 + index, dstPort }, mark: 0 };
}

const endings: AbortController[] = [];
afterEach(() => {
  for (const ending of endings.splice(0)) ending.abort();
});

/** A keeper on a datapath that the test fills; it begins with rules that allow DNS. */
async function keeper() {
  const state = {
    tracked: [] as TrackedConnection[],
    lists: 0,
    zones: [] as (number | undefined)[],
    /** What the next listing waits for, or fails with. */
    gate: Promise.resolve() as Promise<void>,
    forgotten: [] as CtFilter[],
    counts: { denied: 0, departed: 0 },
    reports: [] as string[],
    /** Of the last look. */
    revision: 0n,
  };
  const ending = new AbortController();
  endings.push(ending);
  const connections = startConnectionKeeper({
    list: async function* (zone) {
      state.lists += 1;
      state.zones.push(zone);
      const { gate } = state;
      const seen = [...state.tracked];
      await gate;
      for (let start = 0; start < seen.length; start += 100) yield seen.slice(start, start + 100);
    },
    forget: async (filters) => {
      state.forgotten.push(...filters);
    },
    onForgotten: (reason, count) => {
      state.counts[reason] += count;
    },
    report: (error) => state.reports.push(error.message),
    signal: ending.signal,
    gatherMs: 20,
  });
  const look = (snapshot: Snapshot, changes: Changes) => {
    state.revision += 1n;
    connections.look(snapshot, changes, { revision: state.revision, epoch: "1-a" });
  };
  look(momentOf([CLOSED, ALLOW]), new Map());
  await connections.settled(ending.signal);
  expect(state.lists).toBe(1);
  return { state, connections, look, signal: ending.signal };
}

async function until(holds: () => boolean): Promise<void> {
  const endMs = performance.now() + 10_000;
  while (!holds()) {
    if (performance.now() > endMs) throw new Error("It does not happen");
    await sleep(5);
  }
}

describe("connection keeper", () => {
  it("forgets what a rule allowed that has gone, and nothing else", async () => {
    const { state, connections, look, signal } = await keeper();
    state.tracked = [connection(0), connection(1, 54), connection(2)];
    look(momentOf([CLOSED]), RULE);
    await connections.settled(signal);
    expect(state.zones.at(-1)).toBe(11);
    expect(state.forgotten.map(({ orig }) => orig?.srcPort)).toEqual([1_024, 1_026]);
    expect(state.counts).toEqual({ denied: 2, departed: 0 });
  });

  it("lists nothing for what takes no permission away", async () => {
    const { state, connections, look, signal } = await keeper();
    look(momentOf([CLOSED]), RULE);
    await connections.settled(signal);
    const { lists } = state;
    look(momentOf([CLOSED, ALLOW]), RULE);
    look(momentOf([ALLOW]), new Map([["rule/t1:p:closed", { kind: "rule", key: "t1:p:closed" }]]));
    await connections.settled(signal);
    await sleep(50);
    expect(state.lists).toBe(lists);
  });

  it("serves a burst with one listing at a time", async () => {
    const { state, connections, look, signal } = await keeper();
    let open = () => {};
    state.gate = new Promise((resolve) => {
      open = resolve;
    });
    look(momentOf([CLOSED]), RULE);
    await until(() => state.lists === 2);
    for (let round = 0; round < 20; round += 1) {
      look(momentOf([CLOSED, ALLOW]), RULE);
      look(momentOf([CLOSED]), RULE);
    }
    state.tracked = [connection(0)];
    expect(state.lists).toBe(2);
    open();
    await connections.settled(signal);
    expect(state.lists).toBe(3);
    expect(state.counts.denied).toBe(1);
  });

  it("tries again what failed, and says so meanwhile", async () => {
    const { state, connections, look, signal } = await keeper();
    state.tracked = [connection(0)];
    state.gate = Promise.reject(new Error("the switch is away"));
    state.gate.catch(() => {});
    look(momentOf([CLOSED]), RULE);
    await connections.settled(signal);
    expect(connections.failure()).toMatch(/the switch is away/);
    expect(state.reports.length).toBeGreaterThan(0);
    state.gate = Promise.resolve();
    await until(() => state.counts.denied === 1);
    await until(() => connections.failure() === undefined);
  });

  it("waits for those who have left here, not for those elsewhere", async () => {
    const { state, connections, look, signal } = await keeper();
    state.tracked = [connection(0)];
    const [here] = OBJECTS.endpoints;
    look(momentOf([CLOSED, ALLOW], here === undefined ? [] : [here]), LEAVES("far"));
    await connections.settled(signal);
    expect(state.lists).toBe(1);
    look(momentOf([CLOSED, ALLOW], []), LEAVES("a"));
    await connections.settled(signal);
    expect(state.lists).toBe(2);
    expect(state.counts).toEqual({ denied: 0, departed: 1 });
  });

  it("looks for those who have left elsewhere a while later, together", async () => {
    const { state, look } = await keeper();
    const [here] = OBJECTS.endpoints;
    look(momentOf([CLOSED, ALLOW], here === undefined ? [] : [here]), LEAVES("far"));
    state.tracked = [{ ...connection(0), orig: { src: "10.1.2.1", dst: "10.1.1.1", srcPort: 1, dstPort: 53 } }];
    await until(() => state.counts.departed === 1);
    expect(state.lists).toBe(2);
  });

  it("says nothing is in force while it leaves connections to be ended", async () => {
    const { state, connections, look, signal } = await keeper();
    const seen: bigint[] = [];
    connections.onInForce(() => seen.push(connections.inForce.revision));
    expect(connections.inForce).toEqual({ revision: 1n, epoch: "1-a" });
    let open = () => {};
    state.gate = new Promise((resolve) => {
      open = resolve;
    });
    state.tracked = [connection(0)];
    look(momentOf([CLOSED]), RULE); // 2: takes permission
    await until(() => state.lists === 2);
    look(momentOf([CLOSED]), new Map()); // 3: does not
    look(momentOf([CLOSED, ALLOW]), RULE); // 4: gives permission
    look(momentOf([CLOSED]), RULE); // 5: takes it again, and wants another listing
    look(momentOf([CLOSED]), new Map()); // 6
    await sleep(50);
    expect(connections.inForce.revision).toBe(1n);
    expect(seen).toEqual([]);
    open();
    await connections.settled(signal);
    expect(state.counts.denied).toBe(2);
    expect(seen).toEqual([2n, 6n]);
    look(momentOf([CLOSED, ALLOW]), RULE);
    expect(connections.inForce.revision).toBe(7n);
  });

  it("keeps nobody waiting for those who have left elsewhere", async () => {
    const { connections, look } = await keeper();
    const [here] = OBJECTS.endpoints;
    look(momentOf([CLOSED, ALLOW], here === undefined ? [] : [here]), LEAVES("far"));
    expect(connections.inForce.revision).toBe(2n);
  });

  it("keeps nobody waiting when it fails: it names what is not in force, until it works", async () => {
    const { state, connections, look, signal } = await keeper();
    state.tracked = [connection(0)];
    state.gate = Promise.reject(new Error("the switch is away"));
    state.gate.catch(() => {});
    look(momentOf([CLOSED]), RULE);
    expect([connections.inForce.revision, connections.failures().size]).toEqual([1n, 0]);
    await connections.settled(signal);
    expect(connections.inForce.revision).toBe(2n);
    expect([...connections.failures().keys()]).toEqual(["rule/t1:p:r"]);
    expect(connections.failures().get("rule/t1:p:r")).toMatch(/may go on.*the switch is away/);
    look(momentOf([CLOSED], []), new Map([...RULE, ...LEAVES("a")]));
    look(momentOf([CLOSED, ALLOW]), RULE);
    expect(connections.inForce.revision).toBe(4n);
    let marked = 0;
    connections.onInForce(() => {
      marked += 1;
    });
    state.gate = Promise.resolve();
    await until(() => connections.failures().size === 0);
    expect(connections.inForce.revision).toBe(4n);
    expect(marked).toBeGreaterThan(0);
  });

  it("does not let a waiting caller hang", async () => {
    const { state, connections, look } = await keeper();
    state.gate = new Promise(() => {});
    look(momentOf([CLOSED]), RULE);
    const caller = new AbortController();
    setTimeout(() => caller.abort(), 50);
    await connections.settled(caller.signal);
    expect(state.counts.denied).toBe(0);
  });

  it("leaves the event loop to others while it judges", async () => {
    const { state, connections, look, signal } = await keeper();
    state.tracked = Array.from({ length: 20_000 }, (_, index) => connection(index % 40_000));
    let turns = 0;
    const timer = setInterval(() => {
      turns += 1;
    }, 1);
    look(momentOf([CLOSED]), RULE);
    await until(() => state.counts.denied === 20_000);
    clearInterval(timer);
    expect(turns).toBeGreaterThan(20);
    await connections.settled(signal);
  });
});
