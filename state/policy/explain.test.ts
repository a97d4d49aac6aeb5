import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { packet as anyPacket, policyObjects } from "../../test/fakes/policy-arbitrary.ts";
import { type FakeRule, policyWorld } from "../../test/fakes/policy-world.ts";
import { explain } from "./explain.ts";
import { verdict } from "./verdict.ts";
import type { PolicyPacket } from "./world.ts";

const PACKET: PolicyPacket = {
  ...{ networkKey: "t1:blue", family: 4, protocol: 6, port: 80 },
  ...{ source: "10.1.1.2", destination: "10.1.1.1" },
};

function explained(rules: readonly FakeRule[], packet: PolicyPacket = PACKET) {
  return explain(
    policyWorld({
      networks: [{ key: "t1:blue", subnet: "10.1.1.0/24" }],
      groups: [
        { key: "t1:web", network: "t1:blue", policies: ["web"] },
        { key: "t1:client", network: "t1:blue" },
      ],
      endpoints: [
        { key: "w", group: "t1:web", ipv4: "10.1.1.1" },
        { key: "c", group: "t1:client", ipv4: "10.1.1.2" },
      ],
      rules,
    }),
    packet,
  );
}

describe("explain", () => {
  it("names the deciding rule and says why the others do not match", () => {
    const { allowed, summary, source, destination } = explained([
      { id: "web:decides", protocol: "tcp", port: 80, portEnd: 90, priority: 10 },
      { id: "web:lower", protocol: "tcp", action: "allow", priority: 1 },
      { id: "web:udp", protocol: "udp", priority: 100 },
      { id: "web:port", protocol: "tcp", ports: [1, 2, 443], priority: 100 },
      { id: "web:group", fromEndpointGroup: "web", priority: 100 },
      { id: "web:ghost", fromEndpointGroup: "ghost", priority: 100 },
      { id: "web:network", fromNetwork: "ghost", priority: 100 },
      { id: "web:address", fromIpAddress: "192.0.2.0/24", priority: 100 },
      { id: "web:own", toIpAddress: "10.1.1.9", priority: 100 },
      { id: "web:out", direction: "out", priority: 100 },
    ]);
    expect(allowed).toBe(false);
    expect(summary).toBe(
      "tcp to port 80 from 10.1.1.2 to 10.1.1.1 is denied: rule t1:web:decides denies it for group t1:web of the destination",
    );
    expect(source.summary).toBe("group t1:client of the source has no policy, so it is allowed");
    expect(destination).toMatchObject({ endpoint: "w", group: "t1:web", decidedBy: "t1:web:decides" });
    const why = Object.fromEntries(
      destination.rules.map((note) => [note.rule.slice("t1:web:".length), `${note.outcome}: ${note.why}`]),
    );
    expect(why).toEqual({
      decides: "decides: it is the first that matches",
      lower: "outranked: it matches, but rule t1:web:decides goes before it",
      udp: "no-match: it is for udp, and the packet is tcp",
      port: "no-match: it is for packets to port 1-2, 443, and the packet goes to port 80",
      group: "no-match: 10.1.1.2 is not in group t1:web",
      ghost: "no-match: it matches nothing, because endpoint group t1:ghost does not exist",
      network: "no-match: it matches nothing, because network t1:ghost does not exist",
      address: "no-match: 10.1.1.2 is not in 192.0.2.0-192.0.2.255",
      own: "no-match: 10.1.1.1 is not in 10.1.1.9",
    });
  });

  it("says what log rules do, apart from what is decided", () => {
    const { allowed, destination } = explained([
      { id: "web:a", action: "log", protocol: "tcp", priority: 50 },
      { id: "web:b", action: "log", priority: 9 },
      { id: "web:c", action: "log", protocol: "udp", priority: 9 },
      { id: "web:d", priority: 9 },
    ]);
    expect(allowed).toBe(false);
    expect(destination).toMatchObject({ decidedBy: "t1:web:d", loggedBy: "t1:web:a" });
    expect(destination.rules.map(({ rule, outcome, why }) => `${rule} ${outcome}: ${why}`)).toEqual([
      "t1:web:a logs: it is the first log rule that matches",
      "t1:web:d decides: it is the first that matches",
      "t1:web:b outranked: it matches, but rule t1:web:a goes before it",
      "t1:web:c no-match: it is for udp, and the packet is tcp",
    ]);
    expect(destination.rules[0]?.says).toBe("log tcp from anyone, priority 50");
  });

  it("says each rule in words", () => {
    const { destination } = explained([
      { id: "web:a", protocol: "tcp", port: 80, fromEndpointGroup: "client", fromIpAddress: "10.1.1.2-9", priority: 3 },
      { id: "web:b", action: "allow", fromNetwork: "blue", toIpAddress: "10.1.1.1" },
    ]);
    expect(destination.rules.map(({ says }) => says)).toEqual([
      "deny tcp to port 80 from group t1:client with 10.1.1.2-10.1.1.9, priority 3",
      "allow every protocol from network t1:blue to 10.1.1.1, priority 1",
    ]);
  });

  it("agrees with the verdict: exactly the deciding rule decides", () => {
    fc.assert(
      fc.property(policyObjects, anyPacket, (objects, packet) => {
        const world = policyWorld(objects);
        const { allowed, source, destination } = explain(world, packet);
        expect(allowed).toBe(verdict(world, packet).allowed);
        for (const { rules, decidedBy } of [source, destination]) {
          expect(rules.filter(({ outcome }) => outcome === "decides").map(({ rule }) => rule)).toEqual(
            decidedBy === undefined ? [] : [decidedBy],
          );
        }
      }),
    );
  });
});
