import fc from "fast-check";
import type { PolicyPacket } from "../../state/policy/world.ts";
import type { FakeEndpoint, FakeRule, PolicyObjects } from "./policy-world.ts";

/** Networks, groups and endpoints that random policies are tried on: few names, so that everything meets everything. */
const NETWORKS = [
  { key: "t1:blue", subnet: "10.1.1.0/24", ipv6Subnet: "2001:db8:1::/64" },
  { key: "t1:red", subnet: "10.1.2.0/24" },
  { key: "t1:green", subnet: "10.1.3.0/24", ipv6Subnet: "2001:db8:3::/64" },
];
const GROUPS = [
  { key: "t1:a", network: "t1:blue" },
  { key: "t1:b", network: "t1:blue" },
  { key: "t1:c", network: "t1:red" },
  { key: "t1:d", network: "t1:green" },
];
const GROUP_NAMES = [...GROUPS.map(({ key }) => key.slice("t1:".length)), "ghost"];
const POLICIES = ["p0", "p1", "p2"];

export const ENDPOINTS: readonly FakeEndpoint[] = [
  { key: "a1", group: "t1:a", ipv4: "10.1.1.1", ipv6: "2001:db8:1::1" },
  { key: "a2", group: "t1:a", ipv4: "10.1.1.2", ipv6: "2001:db8:1::2" },
  { key: "b1", group: "t1:b", ipv4: "10.1.1.17", ipv6: "2001:db8:1::17" },
  { key: "n1", network: "t1:blue", ipv4: "10.1.1.30", ipv6: "2001:db8:1::30" },
  { key: "c1", group: "t1:c", ipv4: "10.1.2.1" },
  { key: "c2", group: "t1:c", ipv4: "10.1.2.2" },
  { key: "d1", group: "t1:d", ipv4: "10.1.3.1", ipv6: "2001:db8:3::1" },
];

const PORTS = [80, 81, 85, 443, 8_080, 33_000];
const ADDRESSES = [
  ...["10.1.1.1", "10.1.1.0/28", "10.1.1.1-17", "10.1.1.0/24", "10.1.2.2", "10.0.0.0/8", "192.0.2.0/24"],
  ...["2001:db8:1::1", "2001:db8:1::/64", "2001:db8::/32", "fe80::/10", "2001:db8:3::1"],
];

const peer = fc.oneof(
  fc.record({}),
  fc.record({ EndpointGroup: fc.constantFrom(...GROUP_NAMES) }),
  fc.record({ Network: fc.constantFrom("blue", "red", "green", "ghost") }),
  fc.record({ IpAddress: fc.constantFrom(...ADDRESSES) }),
  fc.record({ EndpointGroup: fc.constantFrom(...GROUP_NAMES), IpAddress: fc.constantFrom(...ADDRESSES) }),
);

const protocolAndPorts = fc.oneof(
  fc.record({ protocol: fc.constantFrom("", "icmp", "tcp", "udp", "1", "6", "47", "58") }),
  fc.record({ protocol: fc.constantFrom("tcp", "udp", "6"), port: fc.constantFrom(...PORTS) }),
  fc.record({
    protocol: fc.constantFrom("tcp", "udp"),
    port: fc.constantFrom(79, 80, 81),
    portEnd: fc.constantFrom(81, 90, 443, 60_000),
  }),
  fc.record({ protocol: fc.constantFrom("tcp", "udp"), ports: fc.subarray(PORTS, { minLength: 1 }) }),
);

const ruleBody = fc.record({
  policy: fc.constantFrom(...POLICIES),
  direction: fc.constantFrom("in" as const, "out" as const),
  action: fc.constantFrom("allow" as const, "deny" as const),
  priority: fc.constantFrom(0, 1, 2, 50, 100),
  peer,
  what: protocolAndPorts,
  own: fc.oneof({ weight: 5, arbitrary: fc.constant("") }, { weight: 1, arbitrary: fc.constantFrom(...ADDRESSES) }),
});

export const rules: fc.Arbitrary<FakeRule[]> = fc.array(ruleBody, { maxLength: 14 }).map((bodies) =>
  bodies.map(({ policy, direction, action, priority, peer: named, what, own }, index) => ({
    ...{ id: `${policy}:r${index}`, direction, action, priority, ...what },
    ...sided(direction === "in" ? "from" : "to", named),
    ...(direction === "in" && own !== "" ? { toIpAddress: own } : {}),
  })),
);

function sided(side: "from" | "to", named: object): Partial<FakeRule> {
  return Object.fromEntries(Object.entries(named).map(([what, value]) => [`${side}${what}`, value]));
}

/** A world with random policies. */
export const policyObjects: fc.Arbitrary<PolicyObjects> = fc.record({
  isRouting: fc.boolean(),
  networks: fc.constant(NETWORKS),
  groups: fc
    .tuple(...GROUPS.map(() => fc.subarray(POLICIES)))
    .map((attached) => GROUPS.map((group, index) => ({ ...group, policies: attached[index] ?? [] }))),
  endpoints: fc.constant(ENDPOINTS),
  rules,
});

const OUTSIDE_IPV4 = ["192.0.2.7", "10.1.1.200", "10.1.2.99"];
const OUTSIDE_IPV6 = ["2001:db8:ffff::1", "2001:db8:1::99"];
const IPV4 = [...ENDPOINTS.map(({ ipv4 }) => ipv4), ...OUTSIDE_IPV4];
const IPV6 = [...ENDPOINTS.flatMap(({ ipv6 }) => ipv6 ?? []), ...OUTSIDE_IPV6];

const transport = fc.oneof(
  fc.record({
    protocol: fc.constantFrom(6, 17),
    port: fc.oneof(fc.constantFrom(...PORTS), fc.integer({ min: 1, max: 65_535 })),
  }),
  fc.record({ protocol: fc.constantFrom(1, 58), icmpType: fc.constantFrom(0, 3, 8, 128, 129, 135, 136) }),
  fc.record({ protocol: fc.constantFrom(47, 132) }),
);

/** Any packet of the networks, also such as no pod sends. */
export const packet: fc.Arbitrary<PolicyPacket> = fc
  .oneof(ends(4, IPV4), ends(6, IPV6))
  .chain((end) => transport.map((what) => ({ ...end, ...what })));

function ends(family: 4 | 6, addresses: readonly string[]) {
  return fc.record({
    networkKey: fc.constantFrom(...NETWORKS.map(({ key }) => key)),
    family: fc.constant(family),
    source: fc.constantFrom(...addresses),
    destination: fc.constantFrom(...addresses),
  });
}
