import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatMatch } from "../../../drivers/ovs/openflow/text.ts";
import { resolveRule } from "../../../state/policy/rule-match.ts";
import { type FakeRule, policyWorld, ruleRecord } from "../../../test/fakes/policy-world.ts";
import { fragmentMatches, portBlocks, ruleMatches } from "./matches.ts";

const WORLD = policyWorld({
  networks: [
    { key: "t1:blue", subnet: "10.1.1.0/24", ipv6Subnet: "2001:db8:1::/64" },
    { key: "t1:red", subnet: "10.1.2.0/24" },
  ],
  groups: [{ key: "t1:web", network: "t1:blue" }],
  endpoints: [],
  rules: [],
});

function matches(fields: Partial<FakeRule>): string[] {
  return ruleMatches(resolveRule(WORLD, ruleRecord({ id: "p:r", ...fields }))).map(formatMatch);
}

describe("what a rule is for", () => {
  it.each<[Partial<FakeRule>, string[]]>([
    [{}, ["ip", "ipv6"]],
    [{ fromEndpointGroup: "web" }, ["ip,reg1=0x65", "ipv6,reg1=0x65"]],
    [{ direction: "out", toEndpointGroup: "web" }, ["ip,reg2=0x65", "ipv6,reg2=0x65"]],
    [{ fromNetwork: "blue" }, ["ip,nw_src=10.1.1.0/24", "ipv6,ipv6_src=2001:db8:1::/64"]],
    [{ fromNetwork: "red" }, ["ip,nw_src=10.1.2.0/24"]],
    [{ direction: "out", toIpAddress: "2001:db8::1" }, ["ipv6,ipv6_dst=2001:db8::1"]],
    [{ fromIpAddress: "10.1.1.2-4" }, ["ip,nw_src=10.1.1.2/31", "ip,nw_src=10.1.1.4"]],
    [{ toIpAddress: "10.1.1.9", protocol: "udp" }, ["udp,nw_dst=10.1.1.9"]],
    [{ protocol: "icmp" }, ["icmp", "icmp6"]],
    [{ protocol: "1" }, ["icmp", "ipv6,nw_proto=1"]],
    [{ protocol: "tcp", port: 80 }, ["tcp,tcp_dst=80", "tcp6,tcp_dst=80"]],
    [{ protocol: "udp", port: 8, portEnd: 11, fromIpAddress: "10.1.1.1" }, ["udp,nw_src=10.1.1.1,udp_dst=8/0xfffc"]],
  ])("%j", (fields, wanted) => expect(matches(fields)).toEqual(wanted));

  it.each<[Partial<FakeRule>, string[]]>([
    [{ action: "allow", protocol: "tcp", port: 80 }, []],
    [{ action: "deny" }, []],
    [{ action: "deny", protocol: "udp" }, ["ipv6,ip_frag=later"]],
    [{ action: "deny", protocol: "tcp", ports: [80, 443] }, ["tcp,ip_frag=later", "ipv6,ip_frag=later"]],
    [{ action: "deny", protocol: "udp", port: 53, fromIpAddress: "10.1.1.1" }, ["udp,ip_frag=later,nw_src=10.1.1.1"]],
    [{ action: "deny", protocol: "icmp", fromEndpointGroup: "web" }, ["ipv6,ip_frag=later,reg1=0x65"]],
  ])("denies later fragments that may be of it: %j", (fields, wanted) => {
    const rule = resolveRule(WORLD, ruleRecord({ id: "p:r", ...fields }));
    expect(fragmentMatches(rule).map(formatMatch)).toEqual(wanted);
  });
});

describe("blocks of ports", () => {
  it("hold exactly the range, in at most 30 blocks", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 65_535 }), fc.integer({ min: 1, max: 65_535 }), (one, other) => {
        const [first, last] = [Math.min(one, other), Math.max(one, other)];
        const blocks = portBlocks({ first, last });
        expect(blocks.length).toBeLessThanOrEqual(30);
        let next = first;
        for (const block of blocks) {
          const { value, mask } = typeof block === "number" ? { value: block, mask: 0xffff } : block;
          expect(value).toBe(next);
          expect(value & mask).toBe(value);
          next = value + (0xffff & ~mask) + 1;
        }
        expect(next).toBe(last + 1);
      }),
    );
  });
});
