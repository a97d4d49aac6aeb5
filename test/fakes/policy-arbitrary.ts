import fc from "fast-check";
import type { PolicyPacket } from "../../state/policy/world.ts";
import type { FakeEndpoint, FakeNetwork, FakeRule, PolicyObjects } from "./policy-world.ts";

/** Networks, groups and endpoints that random policies are tried on: few names, so that everything meets everything. */
const NETWORKS: readonly FakeNetwork[] = [
  { key: "t1:blue", ...dualStack(1) },
  { key: "t1:red", subnet: "10.1.2.0/24", gateway: "10.1.2.254" },
  { key: "t1:green", ...dualStack(3) },
  { key: "t2:blue", ...dualStack(1) },
];
const GROUPS = [
  { key: "t1:a", network: "t1:blue" },
  { key: "t1:b", network: "t1:blue" },
  { key: "t1:c", network: "t1:red" },
  { key: "t1:d", network: "t1:green" },
  { key: "t2:a", network: "t2:blue" },
];

function dualStack(subnet: number): Omit<FakeNetwork, "key"> {
  return {
    ...{ subnet: `10.1.${subnet}.0/24`, gateway: `10.1.${subnet}.254` },
    ...{ ipv6Subnet: `2001:db8:${subnet}::/64`, ipv6Gateway: `2001:db8:${subnet}::fe` },
  };
}

const GROUP_NAMES = ["a", "b", "c", "d", "ghost"];
const POLICIES = ["p0", "p1", "p2"];

export const ENDPOINTS: readonly FakeEndpoint[] = [
  { key: "a1", group: "t1:a", ipv4: "10.1.1.1", ipv6: "2001:db8:1::1" },
  { key: "a2", group: "t1:a", ipv4: "10.1.1.2", ipv6: "2001:db8:1::2" },
  { key: "b1", group: "t1:b", ipv4: "10.1.1.17", ipv6: "2001:db8:1::17" },
  { key: "n1", network: "t1:blue", ipv4: "10.1.1.30", ipv6: "2001:db8:1::30" },
  { key: "c1", group: "t1:c", ipv4: "10.1.2.1" },
  { key: "c2", group: "t1:c", ipv4: "10.1.2.2" },
  { key: "d1", group: "t1:d", ipv4: "10.1.3.1", ipv6: "2001:db8:3::1" },
  { key: "z1", group: "t2:a", ipv4: "10.1.1.1", ipv6: "2001:db8:1::1" },
  { key: "z2", network: "t2:blue", ipv4: "10.1.1.17", ipv6: "2001:db8:1::17" },
];

const PORTS = [80, 81, 85, 443, 8_080, 33_000];
const ADDRESSES = [
  ...["10.1.1.1", "10.1.1.0/28", "10.1.1.1-17", "10.1.1.0/24", "10.1.2.2", "10.0.0.0/8", "192.0.2.0/24"],
  ...["2001:db8:1::1", "2001:db8:1::/64", "2001:db8::/32", "fe80::/10", "2001:db8:3::1"],
];

const group = fc.constantFrom(...GROUP_NAMES);
const address = fc.constantFrom(...ADDRESSES);

const peer = fc.oneof(
  { weight: 2, arbitrary: fc.record({}) },
  { weight: 6, arbitrary: fc.record({ EndpointGroup: group }) },
  { weight: 2, arbitrary: fc.record({ Network: fc.constantFrom("blue", "red", "green", "ghost") }) },
  { weight: 2, arbitrary: fc.record({ IpAddress: address }) },
  { weight: 1, arbitrary: fc.record({ EndpointGroup: group, IpAddress: address }) },
);

const portProtocol = fc.constantFrom("tcp", "udp");

const protocolAndPorts = fc.oneof(
  { weight: 3, arbitrary: fc.constant({ protocol: "" }) },
  { weight: 3, arbitrary: fc.record({ protocol: fc.constantFrom("icmp", "tcp", "udp", "1", "6", "47", "58") }) },
  {
    weight: 2,
    arbitrary: fc.record({ protocol: fc.constantFrom("tcp", "udp", "6"), port: fc.constantFrom(...PORTS) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      protocol: portProtocol,
      port: fc.constantFrom(79, 80, 81),
      portEnd: fc.constantFrom(81, 90, 443, 60_000),
    }),
  },
  { weight: 1, arbitrary: fc.record({ protocol: portProtocol, ports: fc.subarray(PORTS, { minLength: 1 }) }) },
);

const ruleBody = fc.record({
  tenantName: fc.constantFrom("t1", "t1", "t1", "t2"),
  policy: fc.constantFrom(...POLICIES),
  direction: fc.constantFrom("in" as const, "out" as const),
  action: fc.oneof(
    { weight: 1, arbitrary: fc.constant("allow" as const) },
    { weight: 4, arbitrary: fc.constant("deny" as const) },
    { weight: 1, arbitrary: fc.constant("log" as const) },
  ),
  priority: fc.constantFrom(0, 1, 50, 100),
  peer,
  what: protocolAndPorts,
  own: fc.oneof({ weight: 9, arbitrary: fc.constant("") }, { weight: 1, arbitrary: address }),
});

export const rules: fc.Arbitrary<FakeRule[]> = fc.array(ruleBody, { maxLength: 24, size: "max" }).map((bodies) =>
  bodies.map(({ tenantName, policy, direction, action, priority, peer: named, what, own }, index) => ({
    ...{ id: `${policy}:r${index}`, tenantName, direction, action, priority, ...what },
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
    .tuple(...GROUPS.map(() => fc.oneof(fc.constant(POLICIES), fc.subarray(POLICIES))))
    .map((attached) => GROUPS.map((group, index) => ({ ...group, policies: attached[index] ?? [] }))),
  endpoints: fc.constant(ENDPOINTS),
  rules,
});

/** The same with many log rules. */
export const loggedObjects: fc.Arbitrary<PolicyObjects> = policyObjects.map(({ rules: some, ...objects }) => ({
  ...objects,
  rules: some.map((rule, index) => (index % 2 === 0 ? { ...rule, action: "log" as const } : rule)),
}));

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

const rarely = fc.oneof({ weight: 5, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) });

/** Any packet of the networks, also such as no pod sends. */
export const packet: fc.Arbitrary<PolicyPacket> = fc
  .oneof(addresses(4, IPV4), addresses(6, IPV6))
  .chain((end) => fc.tuple(transport, rarely).map(([what, isLaterFragment]) => ({ ...end, ...what, isLaterFragment })));

function addresses(family: 4 | 6, all: readonly string[]) {
  return fc.record({
    networkKey: fc.constantFrom(...NETWORKS.map(({ key }) => key)),
    family: fc.constant(family),
    source: fc.constantFrom(...all),
    destination: fc.constantFrom(...all),
  });
}

/** Who of the endpoints lives on n1 and who on n2. */
export const homes: fc.Arbitrary<Readonly<Record<string, string>>> = fc
  .tuple(...ENDPOINTS.map(() => fc.constantFrom("n1", "n2")))
  .map((nodes) => Object.fromEntries(ENDPOINTS.map(({ key }, index) => [key, nodes[index] ?? "n1"])));

/** A connection's first packet between endpoints, or to and from outside, as it can really travel. */
export interface Journey {
  /** Key of an endpoint; undefined = outside. */
  readonly from: string | undefined;
  /** Key of an endpoint; else what the packet goes to. */
  readonly to: string | { readonly kind: "unknown" | "multicast" };
  readonly family: 4 | 6;
  /** Which of the ends' IPv6 addresses: the link-local ones reach no other network. */
  readonly isLinkLocal: boolean;
  readonly protocol: number;
  readonly port?: number;
  readonly icmpType?: number;
  readonly isLaterFragment?: boolean;
}

const networkOf = ({ group, network }: FakeEndpoint) => network ?? GROUPS.find(({ key }) => key === group)?.network;
const tenantOf = (end: FakeEndpoint) => networkOf(end)?.split(":")[0];

function pairs(isJoined: (from: FakeEndpoint, to: FakeEndpoint) => boolean) {
  return ENDPOINTS.flatMap((from) =>
    ENDPOINTS.filter((to) => to !== from && isJoined(from, to)).map((to) => ({ from: from.key, to: to.key })),
  );
}

const someEndpoint = fc.constantFrom(...ENDPOINTS.map(({ key }) => key));

const ends = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(...pairs((from, to) => networkOf(from) === networkOf(to))) },
  { weight: 4, arbitrary: fc.constantFrom(...pairs((from, to) => tenantOf(from) === tenantOf(to))) },
  { weight: 1, arbitrary: fc.record({ from: fc.constant(undefined), to: someEndpoint }) },
  {
    weight: 2,
    arbitrary: fc.record({
      from: fc.oneof(fc.constant(undefined), someEndpoint),
      to: fc.constantFrom({ kind: "unknown" as const }, { kind: "multicast" as const }),
    }),
  },
);

export const journey: fc.Arbitrary<Journey> = fc
  .record({
    between: ends,
    family: fc.constantFrom(4 as const, 6 as const),
    isLinkLocal: rarely,
    isLaterFragment: rarely,
  })
  .chain(({ between, ...how }) => journeyTransport(how.family).map((what) => ({ ...between, ...how, ...what })));

function journeyTransport(family: 4 | 6) {
  const port = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...PORTS) },
    { weight: 1, arbitrary: fc.integer({ min: 1, max: 65_535 }) },
  );
  const [icmp, types] = family === 4 ? [1, [8, 13]] : [58, [128, 144]];
  return fc.oneof(
    { weight: 4, arbitrary: fc.record({ protocol: fc.constantFrom(6, 17), port }) },
    { weight: 1, arbitrary: fc.record({ protocol: fc.constant(icmp), icmpType: fc.constantFrom(...types) }) },
    { weight: 1, arbitrary: fc.record({ protocol: fc.constantFrom(47, 132) }) },
  );
}
