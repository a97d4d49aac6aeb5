import type { Attachments, RuleSpec } from "./policy-admin.ts";

/** Policies in force at once: what a truth table is taken of. */
export interface PolicySet {
  readonly name: string;
  readonly rules: readonly RuleSpec[];
  readonly attached: Attachments;
}

/** Pods by name, with their addresses. */
export type Addresses = Readonly<Record<string, { readonly ipv4: string; readonly ipv6: string }>>;

type Fields = Partial<Omit<RuleSpec, "direction" | "action" | "policyName">>;

const rule = (policyName: string, direction: "in" | "out", action: "allow" | "deny", fields: Fields): RuleSpec => {
  return { policyName, direction, action, ...fields };
};
const denyIn = (fields: Fields = {}, policy = "p") => rule(policy, "in", "deny", fields);
const allowIn = (fields: Fields = {}, policy = "p") => rule(policy, "in", "allow", fields);
const denyOut = (fields: Fields = {}, policy = "p") => rule(policy, "out", "deny", fields);
const allowOut = (fields: Fields = {}, policy = "p") => rule(policy, "out", "allow", fields);

const PORT_FIELDS: readonly Fields[] = [
  { protocol: "tcp" },
  { protocol: "udp" },
  { protocol: "6" },
  { protocol: "17" },
  { protocol: "icmp" },
  { protocol: "47" },
  { protocol: "tcp", port: 4000 },
  { protocol: "17", port: 4010 },
  { protocol: "tcp", port: 3990, portEnd: 4005 },
  { protocol: "udp", port: 4001, portEnd: 65_535 },
  { protocol: "udp", ports: [53, 4000, 9000] },
  { protocol: "tcp", ports: [4010, 4000] },
];

/** Who the peer is: `from…` of in-rules, `to…` of out-rules. */
function peerFields({ a2, b2, c1 }: Addresses): readonly Fields[] {
  const prefixOf = (address = "") => address.replace(/\.\d+$/, ".0/30");
  const lastOctets = (address = "") => `${address}-${Number(address.split(".")[3]) + 2}`;
  return [
    { fromEndpointGroup: "a" },
    { fromEndpointGroup: "b" },
    { fromEndpointGroup: "c", protocol: "udp" },
    { fromNetwork: "x" },
    { fromNetwork: "y", protocol: "tcp", port: 4000 },
    { fromIpAddress: b2?.ipv4 ?? "" },
    { fromIpAddress: `${c1?.ipv4}/32` },
    { fromIpAddress: c1?.ipv6 ?? "" },
    { fromIpAddress: prefixOf(a2?.ipv4) },
    { fromIpAddress: lastOctets(a2?.ipv4) },
    { fromIpAddress: "fd01::/64" },
    { fromIpAddress: `${a2?.ipv6}/127` },
    { fromEndpointGroup: "b", fromIpAddress: lastOctets(b2?.ipv4) },
  ];
}

function outward(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name.replace(/^from/, "to"), value]));
}

const nameOf = (fields: object) => JSON.stringify(fields);

/** Each field by itself: denied in one direction for group a, and alone allowed in the other for group c. */
function fieldSets(addresses: Addresses): readonly PolicySet[] {
  return [...PORT_FIELDS, ...peerFields(addresses)].map((fields) => ({
    name: `in: deny ${nameOf(fields)}; out: allow only ${nameOf(outward(fields))}`,
    rules: [denyIn(fields), denyOut({ priority: 1 }, "q"), allowOut({ ...outward(fields), priority: 2 }, "q")],
    attached: { a: ["p"], c: ["q"] },
  }));
}

/** The same the other way round, for group b. */
function mirroredSets(addresses: Addresses): readonly PolicySet[] {
  const peers = peerFields(addresses).filter((_, index) => index % 2 === 0);
  return [...PORT_FIELDS.slice(8), ...peers].map((fields) => ({
    name: `out: deny ${nameOf(outward(fields))}; in: allow only ${nameOf(fields)}`,
    rules: [denyOut(outward(fields)), denyIn({}, "q"), allowIn({ ...fields, priority: 50 }, "q")],
    attached: { b: ["p", "q"] },
  }));
}

function prioritySets({ a1, b1 }: Addresses): readonly PolicySet[] {
  const web = { protocol: "tcp", port: 4000 };
  const one = (name: string, rules: readonly RuleSpec[], attached: Attachments = { a: ["p"] }) => {
    return { name, rules, attached };
  };
  return [
    one("no rules at all", []),
    one("deny everything to a and from a", [denyIn(), denyOut()]),
    one("the higher allow wins", [denyIn({ priority: 1 }), allowIn({ ...web, priority: 100 })]),
    one("the higher deny wins", [allowIn({ priority: 1 }), denyIn({ ...web, priority: 2 })]),
    one("deny wins among equals", [allowIn({ ...web, priority: 7 }), denyIn({ protocol: "tcp", priority: 7 })]),
    one("priority 0 is 1, so deny wins", [allowIn({ ...web, priority: 1 }), denyIn({ ...web, priority: 0 })]),
    one("three floors", [
      denyIn({ priority: 1 }),
      allowIn({ protocol: "tcp", priority: 2 }),
      denyIn({ ...web, fromEndpointGroup: "b", priority: 3 }),
      allowIn({ ...web, fromIpAddress: b1?.ipv4 ?? "", priority: 4 }),
    ]),
    one("ranges that overlap", [
      denyIn({ protocol: "tcp", port: 1, portEnd: 65_535 }),
      allowIn({ protocol: "tcp", port: 3000, portEnd: 4009, priority: 5 }),
      denyIn({ protocol: "tcp", port: 4000, portEnd: 5000, fromNetwork: "y", priority: 6 }),
    ]),
    one("two policies of one group are one list", [denyIn({ priority: 3 }), allowIn({ ...web, priority: 9 }, "q")], {
      a: ["p", "q"],
    }),
    one("one policy of two groups", [denyIn({ fromEndpointGroup: "a" }), denyOut({ toEndpointGroup: "c" })], {
      ...{ a: ["p"], b: ["p"] },
    }),
    one("both ends must allow", [denyOut(web), denyIn({ protocol: "udp", port: 4010 }, "q")], { a: ["p"], b: ["q"] }),
    one("each end allows something else", [...onlyOut({ protocol: "tcp" }), ...onlyIn({ ...web })], {
      ...{ a: ["p"], b: ["q"], c: ["q"] },
    }),
    one("all groups at once", [...onlyOut({ toEndpointGroup: "b" }), ...onlyIn({ fromEndpointGroup: "a" })], {
      ...{ a: ["p"], b: ["q"], c: ["p", "q"] },
    }),
    one("an unrelated network is denied at a higher priority", [
      ...[denyIn({ fromNetwork: "z", priority: 90 }), denyIn({ protocol: "tcp" })],
      allowIn({ ...web, priority: 10 }),
    ]),
    one("to one's own address", [denyIn({ toIpAddress: a1?.ipv4 ?? "" }), denyIn({ toIpAddress: a1?.ipv6 ?? "" })]),
  ];
}

function onlyOut(fields: Fields): readonly RuleSpec[] {
  return [denyOut(), allowOut({ ...fields, priority: 20 })];
}

function onlyIn(fields: Fields): readonly RuleSpec[] {
  return [denyIn({}, "q"), allowIn({ ...fields, priority: 20 }, "q")];
}

export function policySets(addresses: Addresses): readonly PolicySet[] {
  return [...fieldSets(addresses), ...mirroredSets(addresses), ...prioritySets(addresses)];
}

/** Three rules that overlap; their order must not matter. */
export const OVERLAPPING: readonly RuleSpec[] = [
  denyIn({ protocol: "tcp", priority: 10 }),
  allowIn({ protocol: "tcp", port: 4000, fromNetwork: "x", priority: 10 }),
  allowIn({ fromEndpointGroup: "b", protocol: "tcp", port: 4000, portEnd: 4010, priority: 20 }),
];
