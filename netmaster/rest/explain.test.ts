import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { NodeName } from "../../state/names.ts";
import { EndpointRequest } from "../../state/node-api.ts";
import { leaseEndpoint } from "../intents/endpoint.ts";
import { upsertGlobal } from "../intents/global.ts";
import { type Body, type ContractWorld, contractWorld, grp, net } from "./testing/contract-world.ts";

const DENY_TCP = { direction: "in", action: "deny", protocol: "tcp", priority: 1 };

function ruleOf(policyName: string, ruleId: string, members: Body): [string, Body] {
  return [`rules/t1:${policyName}:${ruleId}`, { tenantName: "t1", policyName, ruleId, ...members }];
}

/** Pods of one name in two namespaces. */
const PODS = [
  ["ns1", "pod-ns", "shop"],
  ["ns2", "pod-ns", "bank"],
  ["ns3", "pod-ns2", "shop"],
] as const;

/** As the CNI makes endpoints: with the names of their pods. */
function nameSpaced({ cluster }: ContractWorld, key: string, names: Body): void {
  const lease = { containerId: key, ifName: "eth0", tenantName: "t1", networkName: "n1", nodeName: "h1", ...names };
  const request = { ...EndpointRequest.parse(lease), nodeName: NodeName.parse("h1"), key, endpointId: key };
  cluster.run((view, _asked, context) => leaseEndpoint(view, request, context), undefined);
}

/** Group `web` denies tcp except port 80 from `client`; `db` has no endpoint; `t2` has a network of the same addresses. */
async function started(): Promise<ContractWorld> {
  const world = await contractWorld();
  const { must, endpoint } = world;
  await must("POST", ...net("n1", { ipv6Subnet: "2001:db8::/64", gateway: "10.1.1.254" }));
  await must("POST", ...net("n2", { subnet: "10.1.2.0/24" }));
  await must("POST", "tenants/t2", { tenantName: "t2" });
  await must("POST", ...net("n1", { tenantName: "t2" }));
  await must("POST", "policys/t1:p1", { tenantName: "t1", policyName: "p1" });
  for (const name of ["client", "db"]) await must("POST", ...grp(name));
  await must("POST", ...grp("web", { policies: ["p1"] }));
  await must("POST", ...ruleOf("p1", "deny", DENY_TCP));
  const allow = { ...DENY_TCP, action: "allow", priority: 10, port: 80, fromEndpointGroup: "client" };
  await must("POST", ...ruleOf("p1", "allow", allow));
  for (const [id, group] of [
    ["w1", "web"],
    ["w2", "web"],
    ["c1", "client"],
  ] as const) {
    await endpoint(id, { ServiceName: group, EPCommonName: `pod-${id}` });
  }
  await endpoint("alone");
  await endpoint("other", { NetworkName: "n2" });
  await endpoint("w1", { TenantName: "t2" });
  for (const [id, podName, podNamespace] of PODS) nameSpaced(world, `t1:n1:${id}`, { podName, podNamespace });
  return world;
}

const world = await started();

async function explain(query: string, body?: Body) {
  const reply = await world.app.inject({
    method: body === undefined ? "GET" : "POST",
    url: `/api/v1/explain?${query}`,
    headers: { accept: "*/*" },
    ...(body === undefined ? {} : { payload: JSON.stringify(body) }),
  });
  return reply.json();
}

const TCP80 = "protocol=tcp&port=80";

describe("GET explain", () => {
  it("names the deciding rule of each side and why the others do not match", async () => {
    const answer = await explain(`from=c1&to=t1:n1:w1&${TCP80}`);
    expect(answer).toMatchObject({
      allowed: true,
      summary: "tcp to port 80 from 10.1.1.3 to 10.1.1.1 is allowed",
      packet: { network: "t1:n1", family: 4, protocol: "tcp", port: 80, source: "10.1.1.3", destination: "10.1.1.1" },
      from: { is: "endpoint", endpoint: "t1:n1:c1", address: "10.1.1.3", network: "t1:n1" },
      source: { summary: "group t1:client of the source has no policy, so it is allowed", rules: [] },
      destination: { decidedBy: "t1:p1:allow", endpoint: "t1:n1:w1", group: "t1:web" },
    });
    expect(answer.destination.rules).toEqual([
      {
        rule: "t1:p1:allow",
        says: "allow tcp to port 80 from group t1:client, priority 10",
        outcome: "decides",
        why: "it is the first that matches",
      },
      {
        rule: "t1:p1:deny",
        says: "deny tcp from anyone, priority 1",
        outcome: "outranked",
        why: "it matches, but rule t1:p1:allow goes before it",
      },
    ]);
    const denied = await explain("from=c1&to=t1:n1:w1&protocol=tcp&port=81");
    expect(denied).toMatchObject({ allowed: false, destination: { decidedBy: "t1:p1:deny" } });
    expect(denied.destination.rules[0]).toMatchObject({
      outcome: "no-match",
      why: "it is for packets to port 80, and the packet goes to port 81",
    });
  });

  it.each([
    ["endpoint by its pod", `from=pod-c1&to=pod-w2&${TCP80}`, true],
    ["address of an endpoint", `from=10.1.1.3&to=pod-w2&${TCP80}`, true],
    ["address of nobody", `from=10.1.1.99&to=pod-w2&${TCP80}`, false],
    ["address from outside", `from=192.0.2.1&to=pod-w2&${TCP80}`, false],
    ["addresses with a network", `from=10.1.1.3&to=10.1.1.2&network=t1:n1&${TCP80}`, true],
    ["addresses with network and tenant", `from=10.1.1.3&to=10.1.1.2&network=n1&tenant=t1&${TCP80}`, true],
    ["addresses with a tenant", `from=10.1.1.3&to=10.1.1.2&tenant=t1&${TCP80}`, true],
    ["the same addresses of another tenant", `from=10.1.1.3&to=10.1.1.1&tenant=t2&${TCP80}`, true],
    ["an address outside with a tenant", `from=192.0.2.1&to=10.1.1.1&tenant=t1&${TCP80}`, false],
    ["group to group", `from=t1:client&to=t1:web&${TCP80}`, true],
    ["group within itself", `from=t1:web&to=group/t1:web&${TCP80}`, false],
    ["group without endpoint", `from=t1:db&to=t1:web&${TCP80}`, false],
    ["to a group without endpoint", `from=t1:web&to=t1:db&${TCP80}`, true],
    ["both groups without endpoint", `from=t1:db&to=t1:db&${TCP80}`, true],
    ["explicit endpoint", `from=endpoint/c1&to=endpoint/t1:n1:w1&${TCP80}`, true],
    ["IPv6 by family", `from=c1&to=t1:n1:w1&family=6&${TCP80}`, true],
    ["IPv6 by address", `from=2001:db8::ff&to=t1:n1:w1&${TCP80}`, false],
    ["icmp", "from=c1&to=t1:n1:w1&protocol=icmp", true],
    ["icmp of a type", "from=c1&to=t1:n1:w1&protocol=icmp&icmpType=3", true],
    ["protocol by number", "from=alone&to=t1:n1:w1&protocol=6&port=80", false],
    ["protocol without ports", "from=alone&to=t1:n1:w1&protocol=132", true],
    ["a pod with its namespace", `from=shop/pod-ns&to=endpoint/shop/pod-ns2&${TCP80}`, true],
    ["networks that are not joined", `from=c1&to=other&${TCP80}`, false],
    ["tenants", `from=c1&to=t2:n1:w1&${TCP80}`, false],
  ])("takes %s", async (_what, query, allowed) => {
    expect(await explain(query)).toMatchObject({ allowed });
  });

  it.each([
    ["", "400 missing-field protocol"],
    [TCP80, "400 missing-field from"],
    [`from=c1&${TCP80}`, "400 missing-field to"],
    ["from=c1&to=w1", "400 missing-field protocol"],
    ["from=c1&to=w1&protocol=tcp", "400 missing-field port"],
    ["from=c1&to=w1&protocol=tcpp&port=1", "400 invalid-field protocol"],
    ["from=c1&to=w1&protocol=256", "400 invalid-field protocol"],
    ["from=c1&to=w1&protocol=-1", "400 invalid-field protocol"],
    ["from=c1&to=w1&protocol=tcp&port=0", "400 invalid-field port"],
    ["from=c1&to=w1&protocol=udp&port=65536", "400 invalid-field port"],
    ["from=c1&to=w1&protocol=tcp&port=http", "400 invalid-field port"],
    ["from=c1&to=w1&protocol=icmp&port=80", "400 invalid-field port"],
    ["from=c1&to=w1&protocol=tcp&port=1&icmpType=8", "400 invalid-field icmpType"],
    ["from=c1&to=w1&protocol=icmp&icmpType=256", "400 invalid-field icmpType"],
    [`from=c1&to=pod-w2&family=5&${TCP80}`, "400 invalid-field family"],
    [`from=10.1.1.1&to=pod-w2&family=6&${TCP80}`, "400 invalid-field family"],
    [`from=10.1.1.1&to=2001:db8::1&network=t1:n1&${TCP80}`, "400 invalid-field to"],
    [`from=other&to=192.0.2.1&family=4&fromm=x&${TCP80}`, "400 invalid-field fromm"],
    [`from=nobody&to=pod-w2&${TCP80}`, "400 unknown-reference from"],
    [`from=c1&to=nobody&${TCP80}`, "400 unknown-reference to"],
    [`from=c1&to=group/t1:none&${TCP80}`, "400 unknown-reference to"],
    [`from=c1&to=10.1.1.0/24&${TCP80}`, "400 unknown-reference to"],
    [`from=w1&to=c1&${TCP80}`, "409 ambiguous from"],
    [`from=c1&to=pod-w&${TCP80}`, "409 ambiguous to"],
    [`from=c1&to=pod-ns&${TCP80}`, "409 ambiguous to"],
    [`from=c1&to=mall/pod-ns&${TCP80}`, "400 unknown-reference to"],
    [`from=c1&to=shop/&${TCP80}`, "400 unknown-reference to"],
    [`from=c1&to=c1&${TCP80}`, "400 invalid-field to"],
    [`from=10.1.1.1&to=10.1.1.2&${TCP80}`, "400 missing-field network"],
    [`from=10.9.1.1&to=10.9.1.2&tenant=t1&${TCP80}`, "400 unknown-reference network"],
    [`from=10.1.1.1&to=10.1.1.2&network=n1&${TCP80}`, "400 invalid-field network"],
    [`from=10.1.1.1&to=10.1.1.2&network=t1:none&${TCP80}`, "400 unknown-reference network"],
    [`from=10.1.1.1&to=10.1.1.2&network=t2:n1&tenant=t1&${TCP80}`, "400 invalid-field network"],
    [`from=10.1.1.1&to=10.1.1.2&tenant=none&${TCP80}`, "400 unknown-reference tenant"],
    [`from=other&to=10.1.2.9&family=6&${TCP80}`, "400 invalid-field family"],
    [`from=other&to=alone&family=6&${TCP80}`, "400 invalid-field from"],
  ])("refuses ?%s", async (query, problem) => {
    const { status, code, field } = await explain(query);
    expect(`${status} ${code} ${field}`).toBe(problem);
  });

  it("says what keeps networks apart, and joins those of a tenant in routing mode", async () => {
    const { summary, source } = await explain(`from=c1&to=other&${TCP80}`);
    expect(summary).toBe(
      "10.1.1.3 cannot reach 10.1.2.1: networks t1:n1 and t1:n2 are not joined in forwarding mode bridge",
    );
    expect(source).toBeUndefined();
    const { summary: ofTenants } = await explain(`from=c1&to=t2:n1:w1&${TCP80}`);
    expect(ofTenants).toMatch(/different tenants, which are separated$/);
  });

  it("tells where a group's other endpoints get another answer", async () => {
    const answer = await explain(`from=t1:client&to=t1:web&${TCP80}`);
    expect(answer.others).toEqual({ pairCount: 2, allowedCount: 2, isComplete: true, different: [] });
    const body = {
      rules: [{ tenantName: "t1", policyName: "p1", ruleId: "w2", ...DENY_TCP, priority: 99, toIpAddress: "10.1.1.2" }],
    };
    expect((await explain(`from=t1:client&to=t1:web&${TCP80}`, body)).others).toEqual({
      ...{ pairCount: 2, allowedCount: 1, isComplete: true },
      different: [{ from: "t1:n1:c1", to: "t1:n1:w2", allowed: false, decidedBy: ["t1:p1:w2"] }],
    });
  });
});

describe("POST explain", () => {
  const question = { from: "alone", to: "t1:n1:w1", protocol: "tcp", port: 80 };
  const rule = { tenantName: "t1", policyName: "p1", ruleId: "new", ...DENY_TCP, action: "allow", priority: 50 };

  it("answers as if a rule were stored, and stores nothing", async () => {
    const before = world.cluster.view().revision;
    expect(await explain("", { ...question, rules: [rule] })).toMatchObject({
      allowed: true,
      destination: { decidedBy: "t1:p1:new" },
      stored: { allowed: false },
    });
    expect(await explain("from=alone&to=t1:n1:w1&protocol=tcp&port=80", { rules: [rule] })).toMatchObject({
      allowed: true,
    });
    expect(world.cluster.view().revision).toBe(before);
    expect(world.cluster.view().records("rule").has("t1:p1:new")).toBe(false);
    expect(await explain(`from=alone&to=t1:n1:w1&${TCP80}`)).toMatchObject({ allowed: false });
  });

  it("says which log rule would match, and that it decides nothing", async () => {
    const logging = { ...rule, action: "log", priority: 100 };
    const answer = await explain("", { ...question, rules: [logging] });
    expect(answer).toMatchObject({ allowed: false, destination: { decidedBy: "t1:p1:deny", loggedBy: "t1:p1:new" } });
    expect(answer.destination.rules[0]).toEqual({
      rule: "t1:p1:new",
      says: "log tcp from anyone, priority 100",
      outcome: "logs",
      why: "it is the first log rule that matches",
    });
    expect((await explain(`from=alone&to=t1:n1:w1&${TCP80}`)).destination).not.toHaveProperty("loggedBy");
  });

  it("answers as if objects were deleted, and rules were replaced", async () => {
    expect(await explain("", { ...question, deletes: { rules: ["t1:p1:deny"] } })).toMatchObject({ allowed: true });
    const replaced = { ...rule, ruleId: "deny", protocol: "udp", action: "deny" };
    const deletes = { rules: ["t1:p1:deny"] };
    expect(await explain("", { ...question, deletes, rules: [replaced] })).toMatchObject({ allowed: true });
    const detached = { tenantName: "t1", groupName: "web", networkName: "n1" };
    const all = { groups: [detached], deletes: { policies: ["t1:p1"] } };
    expect(await explain("", { ...question, ...all })).toMatchObject({
      destination: { summary: "group t1:web of the destination has no policy, so it is allowed" },
    });
  });

  it("makes a whole tenant, in whatever order", async () => {
    const names = { tenantName: "t9" };
    const body = {
      ...{ from: "t9:a", to: "t9:b", protocol: "udp", port: 53 },
      rules: [{ ...names, policyName: "p", ruleId: "1", direction: "out", action: "deny", toEndpointGroup: "b" }],
      endpointGroups: [
        { ...names, groupName: "a", networkName: "n", policies: ["p"] },
        { ...names, groupName: "b", networkName: "n" },
      ],
      policies: [{ ...names, policyName: "p" }],
      networks: [{ ...names, networkName: "n", encap: "vxlan", subnet: "10.9.0.0/24" }],
      tenants: [names],
    };
    const answer = await explain("", body);
    expect(answer).toMatchObject({
      allowed: false,
      from: { is: "group", group: "t9:a", address: "10.9.0.1", isAssumed: true },
      to: { is: "group", group: "t9:b", address: "10.9.0.2", isAssumed: true },
      source: { decidedBy: "t9:p:1" },
    });
    expect(answer.stored).toBeUndefined();
  });

  it.each<[string, Body, string]>([
    ["a rule that exists", { rules: [{ ...rule, ruleId: "deny" }] }, "409 immutable rules.0"],
    [
      "a contradiction",
      { rules: [rule, { ...rule, ruleId: "x", toNetwork: "n1" }] },
      "400 invalid-field rules.1.toNetwork",
    ],
    ["a wrong member", { rules: [{ ...rule, direction: "up" }] }, "400 invalid-field rules.0.direction"],
    ["a missing member", { rules: [{ ruleId: "1" }] }, "400 missing-field rules.0.action"],
    ["an unknown reference", { rules: [{ ...rule, policyName: "none" }] }, "400 unknown-reference rules.0.policyName"],
    ["a subnet that overlaps", { networks: [net("n9")[1]] }, "409 subnet-overlap networks.0.subnet"],
    ["no object", { rules: ["x"] }, "400 malformed-body rules.0"],
    ["no list", { rules: rule }, "400 invalid-field rules"],
    ["an unknown collection", { rulez: [] }, "400 invalid-field rulez"],
    ["another unknown collection", { deletes: { nodes: ["n1"] } }, "400 invalid-field deletes.nodes"],
    ["what is not there", { deletes: { rules: ["t1:p1:none"] } }, "404 not-found deletes.rules.0"],
    ["what is in use", { deletes: { policys: ["t1:p1"] } }, "409 in-use deletes.policys.0"],
    ["a key that is none", { deletes: { rules: [1] } }, "400 invalid-field deletes.rules.0"],
    ["keys that are no lists", { deletes: [] }, "400 invalid-field deletes"],
    ["too many", { rules: new Array(1_001).fill(rule) }, "400 invalid undefined"],
    ["a text as port", { port: "http" }, "400 invalid-field port"],
    ["a list as port", { port: [80] }, "400 invalid-field port"],
  ])("refuses %s", async (_what, body, problem) => {
    const { status, code, field } = await explain("", { ...question, ...body });
    expect(`${status} ${code} ${field}`).toBe(problem);
  });

  it("refuses a parameter that is given twice", async () => {
    expect(await explain("from=c1", question)).toMatchObject({ status: 400, field: "from" });
  });
});

describe("whatever is asked", () => {
  const word = fc.oneof(
    fc.constantFrom(
      "c1",
      "pod-w2",
      "t1:n1:w1",
      "t1:web",
      "t1:db",
      "group/t1:web",
      "endpoint/alone",
      "t1",
      "n1",
      "t1:n1",
    ),
    fc.constantFrom(
      "10.1.1.1",
      "10.1.1.3",
      "192.0.2.1",
      "2001:db8::1",
      "fe80::2:aff:fe01:101",
      "::",
      "255.255.255.255",
    ),
    fc.constantFrom("tcp", "udp", "icmp", "0", "6", "58", "80", "65535", "4", "", "__proto__", "%", "\u0000"),
    fc.string({ maxLength: 12 }),
  );
  const name = fc.constantFrom("from", "to", "protocol", "port", "icmpType", "family", "tenant", "network");
  const plausible = { from: "c1", to: "t1:web", protocol: "tcp", port: "80" };
  const question = fc.dictionary(name, word, { maxKeys: 3 }).map((members) => ({ ...plausible, ...members }));
  const object = fc.constantFrom<unknown>(
    { tenantName: "t1", policyName: "p1", ruleId: "f", direction: "out", action: "deny" },
    { tenantName: "t1", groupName: "web", networkName: "n1", policies: [] },
    { tenantName: "t7" },
    ...["t1:p1:deny", "t1:p1", null, 7, [], {}],
  );
  const collection = fc.constantFrom("rules", "policies", "policys", "groups", "tenants", "networks", "netprofiles");
  const objects = fc.dictionary(collection, fc.array(object, { maxLength: 2 }), { maxKeys: 2 });
  const body = fc
    .tuple(question, objects, fc.option(objects, { nil: undefined }))
    .map(([asked, puts, deletes]) => ({ ...asked, ...puts, ...(deletes === undefined ? {} : { deletes }) }));

  it("is answered or refused with a reason, and nothing is stored", async () => {
    const before = world.cluster.view();
    await fc.assert(
      fc.asyncProperty(question, async (asked) => {
        const answer = await explain(new URLSearchParams(asked).toString());
        expect(answer.allowed !== undefined || answer.status < 500, JSON.stringify(answer)).toBe(true);
      }),
      { numRuns: 300 },
    );
    await fc.assert(
      fc.asyncProperty(body, async (proposed) => {
        const answer = await explain("", proposed);
        expect(answer.allowed !== undefined || answer.status < 500, JSON.stringify(answer)).toBe(true);
      }),
      { numRuns: 300 },
    );
    expect(world.cluster.view()).toBe(before);
  });
});

describe("explain in routing mode", () => {
  it("joins the networks of a tenant", async () => {
    const routed = await contractWorld();
    routed.cluster.run(upsertGlobal, { name: "global", fwdMode: "routing" } as never);
    await routed.must("POST", ...net("n1"));
    await routed.must("POST", ...net("n2", { subnet: "10.1.2.0/24" }));
    await routed.endpoint("a");
    await routed.endpoint("b", { NetworkName: "n2" });
    for (const to of ["b", "10.1.2.1"]) {
      const reply = await routed.app.inject({ url: `/api/v1/explain?from=a&to=${to}&protocol=icmp` });
      expect(reply.json()).toMatchObject({ allowed: true, destination: { endpoint: "t1:n2:b" } });
    }
  });
});
