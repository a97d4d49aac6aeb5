import { describe, expect, it } from "vitest";
import type { TrackedConnection } from "../../../drivers/ovs/conntrack.ts";
import { atOnce } from "../../../state/policy/steps.ts";
import { machineFor } from "../../../test/fakes/policy-nodes.ts";
import { policyView } from "../../../test/fakes/policy-view.ts";
import type { FakeRule, PolicyObjects } from "../../../test/fakes/policy-world.ts";
import type { Changes } from "../../view/node-view.ts";
import { connectionJudge, zonesToLookAt } from "./judge.ts";
import { type ConnectionSelector, mergeSelectors, type Snapshot, selectorOf } from "./selector.ts";

const OBJECTS: PolicyObjects = {
  networks: [
    { key: "t1:blue", subnet: "10.1.1.0/24", ipv6Subnet: "2001:db8:1::/64" },
    { key: "t2:blue", subnet: "10.1.1.0/24" },
  ],
  groups: [
    { key: "t1:here", network: "t1:blue", policies: ["p"] },
    { key: "t1:there", network: "t1:blue", policies: ["q"] },
  ],
  endpoints: [
    { key: "a", group: "t1:here", ipv4: "10.1.1.1", ipv6: "2001:db8:1::1" },
    { key: "b", group: "t1:there", ipv4: "10.1.1.2" },
  ],
  rules: [],
};
const NOTHING: ConnectionSelector = {
  ...{ all: false, rules: [], isUrgent: false },
  ...{ moved: new Set(), departed: new Set(), causes: new Set() },
};
const EVERYTHING: ConnectionSelector = { ...NOTHING, all: true };

function snapshotOf(objects: PolicyObjects): Snapshot {
  const view = policyView(objects, { b: "n2" });
  return { view, machine: machineFor(view, "n1") };
}

const context = (rules: readonly FakeRule[]) => snapshotOf({ ...OBJECTS, rules });
const without = (key: string, rules: readonly FakeRule[] = []) =>
  snapshotOf({ ...OBJECTS, rules, endpoints: OBJECTS.endpoints.filter((endpoint) => endpoint.key !== key) });

function connection(ipProto: number, src: string, dst: string, zone = 11): TrackedConnection {
  return { zone, ipProto, orig: { src, dst, srcPort: 45_000, dstPort: 53 }, mark: 0 };
}

const TO_A = connection(17, "10.1.1.9", "10.1.1.1");
const FROM_A = connection(17, "10.1.1.1", "10.1.1.2");
const TO_A6 = connection(17, "2001:db8:1:0::9", "2001:db8:1::1");

function found(snapshot: Snapshot, connections: readonly TrackedConnection[], selector = EVERYTHING) {
  return atOnce(connectionJudge(snapshot, selector).judge(connections)).map(({ reason, filter }) => ({
    reason,
    ...filter,
  }));
}

describe("connections that the rules deny by now", () => {
  it("are found by zone, addresses and ports, in both families", () => {
    const given = context([{ id: "p:r", protocol: "udp", port: 53 }]);
    const { zone, ipProto, orig } = TO_A;
    expect(found(given, [TO_A, FROM_A])).toEqual([{ reason: "denied", zone, ipProto, orig }]);
    expect(found(given, [TO_A6]).length).toBe(1);
    expect(found(context([{ id: "p:r", protocol: "udp", port: 54 }]), [TO_A, TO_A6])).toEqual([]);
  });

  it("are only those that this node judges", () => {
    expect(found(context([{ id: "q:r" }]), [FROM_A])).toEqual([]);
    expect(found(context([{ id: "p:r", direction: "out" }]), [FROM_A]).length).toBe(1);
  });

  it("are not looked for in other tenants' zones, nor in unknown ones", () => {
    const given = context([{ id: "p:r" }]);
    const elsewhere = [
      { ...TO_A, zone: 12 },
      { ...TO_A, zone: 99 },
    ];
    expect(found(given, elsewhere, { ...NOTHING, rules: selectorFor([], [{ id: "p:r" }])?.rules ?? [] })).toEqual([]);
    expect(zonesToLookAt(given, NOTHING)).toEqual(new Set([11]));
  });

  it("are never pings, whose removal ends the switch", () => {
    const ping = (ipProto: number, src: string, dst: string): TrackedConnection => {
      return { ...connection(ipProto, src, dst), orig: { src, dst, icmpId: 7, icmpType: 8, icmpCode: 0 } };
    };
    const pings = [ping(1, "10.1.1.9", "10.1.1.1"), ping(58, "2001:db8:1::9", "2001:db8:1::1")];
    expect(found(context([{ id: "p:r" }]), [...pings, TO_A]).map(({ ipProto }) => ipProto)).toEqual([17]);
    const gone: ConnectionSelector = { ...NOTHING, departed: new Set(["11 10.1.1.1"]) };
    expect(found(without("a"), pings, gone)).toEqual([]);
  });

  it("leave TCP to the marks", () => {
    expect(found(context([{ id: "p:r" }]), [connection(6, "10.1.1.9", "10.1.1.1")])).toEqual([]);
  });

  it("are looked for among those only that the selector asks for", () => {
    const given = context([{ id: "p:r" }]);
    expect(found(given, [TO_A], NOTHING)).toEqual([]);
    expect(found(given, [TO_A], { ...NOTHING, moved: new Set(["11 10.1.1.9"]) }).length).toBe(1);
    expect(found(given, [TO_A], { ...NOTHING, moved: new Set(["12 10.1.1.9"]) })).toEqual([]);
    const ofPort = (port: number) => selectorFor([], [{ id: "p:r", protocol: "udp", port }]) ?? NOTHING;
    expect(found(given, [TO_A, TO_A6], ofPort(53)).length).toBe(2);
    expect(found(given, [TO_A, TO_A6], ofPort(54))).toEqual([]);
  });
});

describe("connections of who has left", () => {
  const departed = new Set(["11 10.1.1.1", "11 2001:db8:1::1"]);

  it("are found in both directions, in both families, TCP too", () => {
    const all = [TO_A, FROM_A, TO_A6, connection(6, "10.1.1.1", "10.1.1.2")];
    const reasons = found(without("a"), all, { ...NOTHING, departed }).map(({ reason }) => reason);
    expect(reasons).toEqual(all.map(() => "departed"));
    expect(zonesToLookAt(without("a"), { departed })).toEqual(new Set([11]));
  });

  it("are not those of others, nor of another zone, nor of an address that is held again", () => {
    const other = connection(17, "10.1.1.9", "10.1.1.2");
    expect(found(without("a"), [other, { ...TO_A, zone: 12 }], { ...NOTHING, departed })).toEqual([]);
    expect(found(context([]), [TO_A, TO_A6], { ...NOTHING, departed })).toEqual([]);
  });

  it("are at the start all that no endpoint of this node has", () => {
    const strangers = connection(6, "10.1.1.8", "10.1.1.2");
    expect(found(context([]), [strangers, TO_A, FROM_A]).map(({ orig }) => orig)).toEqual([strangers.orig]);
  });
});

function changes(...refs: readonly (readonly ["rule" | "endpoint" | "endpointGroup" | "policy", string])[]): Changes {
  return new Map(refs.map(([kind, key]) => [`${kind}/${key}`, { kind, key }]));
}

function selectorFor(before: readonly FakeRule[], after: readonly FakeRule[]): ConnectionSelector | undefined {
  return selectorOf(context(before), context(after), changes(["rule", "t1:p:r"], ["rule", "t1:q:r"]));
}

describe("a step asks for connections", () => {
  const ALLOW: FakeRule = { id: "p:r", action: "allow" };
  const DENY: FakeRule = { id: "p:r", action: "deny" };

  it.each([
    ["an allowing rule goes", [ALLOW], [], ["allow"]],
    ["a denying rule comes", [], [DENY], ["deny"]],
    ["a rule turns", [ALLOW], [DENY], ["allow", "deny"]],
    ["an allowing rule changes", [ALLOW], [{ ...ALLOW, protocol: "tcp" }], ["allow"]],
    ["a denying rule changes", [DENY], [{ ...DENY, protocol: "tcp" }], ["deny"]],
  ] as const)("when %s", (_what, before, after, actions) => {
    const selector = selectorFor(before, after);
    expect(selector).toMatchObject({ all: false, isUrgent: true, causes: new Set(["rule/t1:p:r"]) });
    expect(selector?.rules.map(({ action }) => action)).toEqual(actions);
  });

  it.each([
    ["an allowing rule comes", [], [ALLOW]],
    ["a denying rule goes", [DENY], []],
    ["a rule turns to allow", [DENY], [ALLOW]],
    ["a rule of other nodes goes", [{ ...ALLOW, id: "q:r" }], []],
  ] as const)("but not when %s", (_what, before, after) => {
    expect(selectorFor(before, after)).toBeUndefined();
  });

  it("but not when a rule is told again", () => {
    const snapshot = context([ALLOW]);
    expect(selectorOf(snapshot, snapshot, changes(["rule", "t1:p:r"]))).toBeUndefined();
  });

  it("when an endpoint leaves, at once when it was here", () => {
    const [all, here, there] = [context([]), changes(["endpoint", "a"]), changes(["endpoint", "b"])];
    const departed = new Set(["11 10.1.1.1", "11 2001:db8:1::1"]);
    expect(selectorOf(all, without("a"), here)).toMatchObject({ departed, isUrgent: true, causes: new Set() });
    expect(selectorOf(all, without("b"), there)).toMatchObject({ departed: new Set(["11 10.1.1.2"]), isUrgent: false });
    expect(selectorOf(without("b"), all, there)).toBeUndefined();
  });

  it("when an endpoint is in another group, and when a group has other policies", () => {
    const regrouped = snapshotOf({
      ...OBJECTS,
      endpoints: [...OBJECTS.endpoints.slice(0, 1), { key: "b", group: "t1:here", ipv4: "10.1.1.2" }],
    });
    const moved = selectorOf(context([]), regrouped, changes(["endpoint", "b"]));
    expect(moved).toMatchObject({ all: false, moved: new Set(["11 10.1.1.2"]), isUrgent: true });
    expect(moved?.causes).toEqual(new Set(["endpoint/b"]));
    const groups = OBJECTS.groups.map((group) => ({ ...group, policies: ["p", "q"] }));
    const more = snapshotOf({ ...OBJECTS, groups });
    const causes = new Set(["endpointGroup/t1:here"]);
    expect(selectorOf(context([]), more, changes(["endpointGroup", "t1:here"]))).toMatchObject({ all: true, causes });
    expect(selectorOf(more, more, changes(["endpointGroup", "t1:here"]))).toBeUndefined();
  });

  it("at the start, if there are policies at all", () => {
    const causes = new Set(["endpointGroup/t1:here"]);
    expect(selectorOf(undefined, context([]), new Map())).toMatchObject({ all: true, isUrgent: true, causes });
    const bare = snapshotOf({ ...OBJECTS, groups: OBJECTS.groups.map((group) => ({ ...group, policies: [] })) });
    expect(selectorOf(undefined, bare, new Map())).toBeUndefined();
    expect(selectorOf(context([]), bare, changes(["endpointGroup", "t1:here"]))).toMatchObject({ all: true });
  });

  it("and several steps ask for what each asked for", () => {
    const one = selectorFor([ALLOW], []);
    const other = selectorOf(context([]), without("a"), changes(["endpoint", "a"]));
    const both = mergeSelectors(one, other);
    expect(both).toMatchObject({ all: false, departed: other?.departed, isUrgent: true });
    expect(both?.rules).toEqual(one?.rules);
    expect(both?.causes).toEqual(one?.causes);
    expect(mergeSelectors(undefined, one)).toBe(one);
    const many = {
      ...NOTHING,
      rules: Array.from({ length: 20 }, () => one?.rules[0] as ConnectionSelector["rules"][number]),
    };
    expect(mergeSelectors(many, many)?.all).toBe(true);
  });
});
