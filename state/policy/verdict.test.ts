import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { packet as anyPacket, loggedObjects, policyObjects } from "../../test/fakes/policy-arbitrary.ts";
import { type FakeRule, type PolicyObjects, policyWorld } from "../../test/fakes/policy-world.ts";
import type { RuleRecord } from "../kinds/rule.ts";
import { mismatchOf } from "./matching.ts";
import { compareRules } from "./rule-match.ts";
import { isNeighbourDiscovery, type Side, sidesOf, verdict } from "./verdict.ts";
import type { PolicyPacket, PolicyWorld } from "./world.ts";

const OBJECTS: PolicyObjects = {
  networks: [
    { key: "t1:blue", subnet: "10.1.1.0/24", ipv6Subnet: "2001:db8:1::/64" },
    { key: "t1:red", subnet: "10.1.2.0/24" },
    { key: "t2:blue", subnet: "10.1.1.0/24" },
  ],
  groups: [
    { key: "t1:web", network: "t1:blue", policies: ["web"] },
    { key: "t1:client", network: "t1:blue", policies: ["client"] },
    { key: "t1:free", network: "t1:blue" },
    { key: "t1:far", network: "t1:red" },
    { key: "t2:web", network: "t2:blue", policies: ["web"] },
  ],
  endpoints: [
    { key: "web", group: "t1:web", ipv4: "10.1.1.1", ipv6: "2001:db8:1::1" },
    { key: "client", group: "t1:client", ipv4: "10.1.1.2", ipv6: "2001:db8:1::2" },
    { key: "free", group: "t1:free", ipv4: "10.1.1.3", ipv6: "2001:db8:1::3" },
    { key: "groupless", network: "t1:blue", ipv4: "10.1.1.4", ipv6: "2001:db8:1::4" },
    { key: "far", group: "t1:far", ipv4: "10.1.2.1" },
    { key: "stranger", group: "t2:web", ipv4: "10.1.1.2" },
  ],
  rules: [],
};

const ADDRESS: Readonly<Record<string, string>> = Object.fromEntries(
  OBJECTS.endpoints.map(({ key, ipv4 }) => [key, ipv4]),
);

/** Rules as text: `in deny tcp/8000 from group client priority 10`, one a line, each in the policy of its first word. */
function world(rules: readonly FakeRule[], more: Partial<PolicyObjects> = {}): PolicyWorld {
  return policyWorld({ ...OBJECTS, ...more, rules });
}

function tcp(source: string, destination: string, port: number): PolicyPacket {
  return {
    ...{ networkKey: "t1:blue", family: 4, protocol: 6, port },
    ...{ source: ADDRESS[source] ?? source, destination: ADDRESS[destination] ?? destination },
  };
}

function decides(given: PolicyWorld, packet: PolicyPacket): string {
  const { source, destination } = verdict(given, packet);
  return [source, destination]
    .map(({ allowed, ground }) => {
      const by = ground.kind === "rule" ? ground.rule.key.slice("t1:".length) : ground.kind;
      return `${allowed ? "+" : "-"}${by}`;
    })
    .join(" ");
}

describe("verdict", () => {
  it("allows what no rule speaks of", () => {
    const given = world([]);
    expect(decides(given, tcp("client", "web", 80))).toBe("+no-rule-matches +no-rule-matches");
    expect(decides(given, tcp("free", "groupless", 80))).toBe("+no-policy +no-group");
    expect(decides(given, tcp("192.0.2.1", "10.1.1.99", 80))).toBe("+no-endpoint +no-endpoint");
  });

  it("needs both ends to allow", () => {
    const given = world([
      { id: "client:r", direction: "out", protocol: "tcp", port: 81 },
      { id: "web:r", direction: "in", protocol: "tcp", port: 82 },
    ]);
    expect(decides(given, tcp("client", "web", 80))).toBe("+no-rule-matches +no-rule-matches");
    expect(decides(given, tcp("client", "web", 81))).toBe("-client:r +no-rule-matches");
    expect(decides(given, tcp("client", "web", 82))).toBe("+no-rule-matches -web:r");
    expect(decides(given, tcp("web", "client", 81))).toBe("+no-rule-matches +no-rule-matches");
  });

  it("lets the higher priority win, and deny among equals (scenario 13)", () => {
    const given = world([
      { id: "web:all", protocol: "tcp", priority: 1 },
      { id: "web:8000", protocol: "tcp", port: 8_000, action: "allow", priority: 100 },
      { id: "web:8001a", protocol: "tcp", port: 8_001, action: "allow", priority: 50 },
      { id: "web:8001d", protocol: "tcp", port: 8_001, action: "deny", priority: 50 },
    ]);
    expect(decides(given, tcp("client", "web", 8_000))).toBe("+no-rule-matches +web:8000");
    expect(decides(given, tcp("client", "web", 8_001))).toBe("+no-rule-matches -web:8001d");
    expect(decides(given, tcp("client", "web", 8_002))).toBe("+no-rule-matches -web:all");
  });

  it("takes priority 0 for 1", () => {
    const given = world([
      { id: "web:a", action: "allow", priority: 1 },
      { id: "web:d", action: "deny", priority: 0 },
    ]);
    expect(decides(given, tcp("client", "web", 1))).toBe("+no-rule-matches -web:d");
  });

  it("matches a group by its members, of this tenant only", () => {
    const given = world([{ id: "web:r", fromEndpointGroup: "client" }]);
    expect(verdict(given, tcp("client", "web", 1)).allowed).toBe(false);
    expect(verdict(given, tcp("free", "web", 1)).allowed).toBe(true);
    expect(decides(given, { ...tcp("10.1.1.2", "10.1.1.1", 1), networkKey: "t2:blue" })).toBe(
      "+no-rule-matches +no-endpoint",
    );
  });

  it("makes a rule that names what does not exist match nothing", () => {
    for (const named of [{ fromEndpointGroup: "ghost" }, { fromNetwork: "ghost" }]) {
      const given = world([{ id: "web:r", ...named }]);
      for (const source of ["client", "free", "groupless", "192.0.2.1"]) {
        expect(decides(given, tcp(source, "web", 1))).toContain("+no-rule-matches");
        expect(verdict(given, tcp(source, "web", 1)).allowed).toBe(true);
      }
    }
  });

  it("makes a rule that contradicts itself match nothing", () => {
    const wrong: Partial<FakeRule>[] = [
      { protocol: "icmp", port: 80 },
      { toNetwork: "blue" },
      { fromNetwork: "blue", fromEndpointGroup: "client" },
      { fromNetwork: "blue", fromIpAddress: "10.1.1.2" },
    ];
    for (const fields of wrong)
      expect(verdict(world([{ id: "web:r", ...fields }]), tcp("client", "web", 80)).allowed).toBe(true);
  });

  it("matches addresses, prefixes and last-octet ranges of either family", () => {
    const cases: readonly (readonly [string, string, boolean])[] = [
      ["10.1.1.2", "10.1.1.2", true],
      ["10.1.1.2", "10.1.1.3", false],
      ["10.1.1.2-5/24", "10.1.1.5", true],
      ["10.1.1.2-5", "10.1.1.6", false],
      ["10.1.1.0/30", "10.1.1.3", true],
      ["10.1.1.0/30", "10.1.1.4", false],
      ["2001:db8:1::/64", "2001:db8:1::77", true],
      ["2001:db8:1::/64", "10.1.1.2", false],
      ["10.0.0.0/8", "2001:db8:1::77", false],
    ];
    for (const [fromIpAddress, source, denied] of cases) {
      const family = source.includes(":") ? 6 : 4;
      const destination = family === 6 ? "2001:db8:1::1" : "10.1.1.1";
      const packet = { ...tcp(source, destination, 80), family } as PolicyPacket;
      expect([fromIpAddress, source, !verdict(world([{ id: "web:r", fromIpAddress }]), packet).allowed]).toEqual([
        fromIpAddress,
        source,
        denied,
      ]);
    }
  });

  it("matches both subnets of a network", () => {
    const given = world([{ id: "web:r", fromNetwork: "blue" }]);
    expect(verdict(given, tcp("free", "web", 1)).allowed).toBe(false);
    expect(verdict(given, { ...tcp("2001:db8:1::3", "2001:db8:1::1", 1), family: 6 }).allowed).toBe(false);
    expect(verdict(given, tcp("10.1.2.1", "web", 1)).allowed).toBe(true);
  });

  it("wants both, when a group comes with an address", () => {
    const given = world([{ id: "web:r", fromEndpointGroup: "client", fromIpAddress: "10.1.1.3" }]);
    expect(verdict(given, tcp("client", "web", 1)).allowed).toBe(true);
    expect(verdict(given, tcp("free", "web", 1)).allowed).toBe(true);
  });

  it("matches a port, a range and a list", () => {
    const given = world([
      { id: "web:one", protocol: "tcp", port: 80 },
      { id: "web:range", protocol: "tcp", port: 8_000, portEnd: 8_010 },
      { id: "web:list", protocol: "tcp", ports: [1, 3, 443] },
    ]);
    const denied = [1, 2, 3, 79, 80, 81, 443, 7_999, 8_000, 8_005, 8_010, 8_011].filter(
      (port) => !verdict(given, tcp("free", "web", port)).allowed,
    );
    expect(denied).toEqual([1, 3, 80, 443, 8_000, 8_005, 8_010]);
    expect(verdict(given, { ...tcp("free", "web", 80), protocol: 17 }).allowed).toBe(true);
  });

  it("takes icmp for the ICMP of the packet's family, and lets neighbour discovery pass", () => {
    const given = world([
      { id: "web:r", protocol: "icmp" },
      { id: "web:all", protocol: "58", priority: 9 },
    ]);
    const v6 = { networkKey: "t1:blue", family: 6, source: "2001:db8:1::2", destination: "2001:db8:1::1" } as const;
    expect(verdict(given, { ...tcp("client", "web", 0), protocol: 1, icmpType: 8 }).allowed).toBe(false);
    expect(verdict(given, { ...v6, protocol: 58, icmpType: 128 }).allowed).toBe(false);
    for (const icmpType of [133, 134, 135, 136, 137])
      expect(verdict(given, { ...v6, protocol: 58, icmpType }).allowed).toBe(true);
  });

  it("knows an endpoint by its link-local address too", () => {
    const given = world([{ id: "web:r", fromEndpointGroup: "client" }]);
    const packet = {
      networkKey: "t1:blue",
      family: 6,
      protocol: 6,
      port: 1,
      destination: "fe80::2:aff:fe01:101",
    } as const;
    expect(verdict(given, { ...packet, source: "fe80::2:aff:fe01:102" }).allowed).toBe(false);
    expect(verdict(given, { ...packet, source: "fe80::2:aff:fe01:103" }).allowed).toBe(true);
    expect(decides(given, { ...packet, source: "fe80::1" })).toBe("+no-endpoint +no-rule-matches");
  });

  it("looks in the tenant's other networks only in routing mode", () => {
    const rules = [{ id: "web:r", fromEndpointGroup: "far" }];
    expect(verdict(world(rules), tcp("far", "web", 1)).allowed).toBe(true);
    expect(verdict(world(rules, { isRouting: true }), tcp("far", "web", 1)).allowed).toBe(false);
  });

  it("judges what goes to many by the rules of who hears it", () => {
    const given = world([{ id: "web:r", direction: "in", protocol: "udp" }]);
    const packet = { ...tcp("free", "224.0.0.251", 5_353), protocol: 17 };
    expect(verdict(given, { ...packet, receiver: ADDRESS.web ?? "" }).allowed).toBe(false);
    expect(verdict(given, { ...packet, receiver: ADDRESS.client ?? "" }).allowed).toBe(true);
  });

  it("closes what it cannot know", () => {
    const known = world([]);
    const unknownGroup: PolicyWorld = { ...known, group: (key) => (key === "t1:web" ? undefined : known.group(key)) };
    const faulty: PolicyWorld = {
      ...known,
      policyFault: (key) => (key === "t1:web" ? "policy t1:web is not known" : undefined),
    };
    const renumbered: PolicyWorld = {
      ...known,
      group: (key) => {
        const group = known.group(key);
        return group === undefined ? undefined : { ...group, groupId: (group.groupId + 1_000) as typeof group.groupId };
      },
    };
    for (const given of [unknownGroup, faulty, renumbered]) {
      expect(verdict(given, tcp("groupless", "web", 1)).allowed).toBe(false);
      expect(verdict(given, tcp("web", "groupless", 1)).allowed).toBe(false);
      expect(verdict(given, tcp("groupless", "10.1.1.99", 1)).allowed).toBe(true);
    }
  });
});

describe("log rules", () => {
  const rules: readonly FakeRule[] = [
    { id: "web:all", action: "log", priority: 100 },
    { id: "web:ssh", action: "log", protocol: "tcp", port: 22, priority: 100 },
    { id: "web:deny", protocol: "tcp", port: 22, priority: 1 },
    { id: "client:out", direction: "out", action: "log", toEndpointGroup: "web" },
  ];

  it("decide nothing, whatever their priority", () => {
    const [logged, unlogged] = [world(rules), world(rules.filter(({ action }) => action !== "log"))];
    for (const port of [22, 80]) {
      expect(verdict(logged, tcp("client", "web", port)).allowed).toBe(port === 80);
      expect(decides(logged, tcp("client", "web", port))).toBe(decides(unlogged, tcp("client", "web", port)));
    }
  });

  it("are named for each side, also beside a rule that decides; of equal ones the first by name", () => {
    const { source, destination } = verdict(world(rules), tcp("client", "web", 22));
    expect([source.loggedBy?.key, destination.loggedBy?.key]).toEqual(["t1:client:out", "t1:web:all"]);
    expect(verdict(world(rules), tcp("free", "web", 80)).source.loggedBy).toBeUndefined();
    expect(verdict(world(rules), tcp("client", "free", 80)).source.loggedBy).toBeUndefined();
  });

  it("match nothing when what they name does not exist, and log no neighbour discovery", () => {
    const ghost = world([{ id: "web:r", action: "log", fromEndpointGroup: "ghost" }]);
    expect(verdict(ghost, tcp("client", "web", 1)).destination.loggedBy).toBeUndefined();
    const solicitation = { networkKey: "t1:blue", family: 6, protocol: 58, icmpType: 135 } as const;
    const packet = { ...solicitation, source: "2001:db8:1::2", destination: "2001:db8:1::1" };
    expect(verdict(world(rules), packet).destination.loggedBy).toBeUndefined();
  });
});

/** The definition without any index: all rules in their order, the first that matches. */
function firstOf({ rules, packet }: Side, direction: "in" | "out", actions: readonly string[]): RuleRecord | undefined {
  const ordered = (rules?.rules.all ?? []).filter((rule) => rule.direction === direction).sort(compareRules);
  const candidates = ordered.filter(({ action }) => actions.includes(action));
  return candidates.find((rule) => mismatchOf(rule, packet) === undefined)?.record;
}

function judgeSlowly(side: Side, direction: "in" | "out"): boolean {
  return firstOf(side, direction, ["allow", "deny"])?.config.action !== "deny";
}

describe("index of rules", () => {
  it("decides as going through all rules does", () => {
    fc.assert(
      fc.property(policyObjects, fc.array(anyPacket, { minLength: 1, maxLength: 20 }), (objects, packets) => {
        const given = policyWorld(objects);
        for (const packet of packets) {
          const { source, destination } = sidesOf(given, packet);
          const slowly = isNeighbourDiscovery(packet) || (judgeSlowly(source, "out") && judgeSlowly(destination, "in"));
          expect([packet, verdict(given, packet).allowed]).toEqual([packet, slowly]);
        }
      }),
      { numRuns: 400 },
    );
  });

  it("names the log rules that going through all rules finds", () => {
    let loggedCount = 0;
    fc.assert(
      fc.property(loggedObjects, fc.array(anyPacket, { minLength: 1, maxLength: 20 }), (objects, packets) => {
        const given = policyWorld(objects);
        for (const packet of packets.filter((each) => !isNeighbourDiscovery(each))) {
          const { source, destination } = sidesOf(given, packet);
          const judged = verdict(given, packet);
          const slowly = [firstOf(source, "out", ["log"]), firstOf(destination, "in", ["log"])];
          loggedCount += slowly.filter((rule) => rule !== undefined).length;
          expect([packet, judged.source.loggedBy, judged.destination.loggedBy]).toEqual([packet, ...slowly]);
        }
      }),
      { numRuns: 400 },
    );
    expect(loggedCount).toBeGreaterThan(100);
  });
});
