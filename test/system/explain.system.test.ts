import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually, startTestCluster, type TestCluster } from "./test-cluster.ts";

/**
 * What the system says of policies, compared with what it does: explanations with real packets, receipts after a write, counters
 * after traffic. Pods `web1` and `web2` (group `web`, policy `p`) and `client1` are on node 1, `client2` on node 2.
 */
let world: TestCluster;

const TENANT = "say";
const GROUPS = `/api/v1/endpointGroups/${TENANT}`;
const POLICY = `${TENANT}:p`;
/** Writes of which the median counts. */
const MEASURED_WRITES = 21;
/** A receipt that came with the next heartbeat (3 s) would be far later. */
const RECEIPT_MEDIAN_MAX_MS = 500;

beforeAll(async () => {
  world = await startTestCluster({ nodes: 2 });
  const { rest } = world;
  await rest.post(`/api/v1/tenants/${TENANT}/`, { tenantName: TENANT });
  const network = { encap: "vxlan", subnet: "10.81.0.0/24", ipv6Subnet: "fd81::/64" };
  await rest.post(`/api/v1/networks/${TENANT}:n/`, { tenantName: TENANT, networkName: "n", ...network });
  await rest.post(`/api/v1/policys/${POLICY}/`, { tenantName: TENANT, policyName: "p" });
  for (const name of ["web", "client"]) await group(name, []);
  for (const [pod, node] of [
    ["web1", 1],
    ["web2", 1],
    ["client1", 1],
    ["client2", 2],
  ] as const) {
    await world.addPod(pod, node, { tenant: TENANT, network: "n", group: pod.slice(0, -1) });
  }
  await group("web", ["p"]);
});

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

async function group(groupName: string, policies: readonly string[]): Promise<void> {
  await world.rest.post(`${GROUPS}:${groupName}/`, { tenantName: TENANT, groupName, networkName: "n", policies });
}

const rulePath = (ruleId: string) => `/api/v1/rules/${POLICY}:${ruleId}/`;

function ruleBody(ruleId: string, members: object = {}) {
  return { tenantName: TENANT, policyName: "p", ruleId, direction: "in", action: "deny", priority: 10, ...members };
}

interface Explained {
  readonly allowed: boolean;
  readonly summary: string;
  readonly destination: { readonly decidedBy?: string };
  readonly stored?: { readonly allowed: boolean };
}

function explain(from: string, to: string): Promise<Explained> {
  return world.rest.get(`/api/v1/explain?from=${from}&to=${to}&protocol=icmp`);
}

function propose(from: string, to: string, objects: object): Promise<Explained> {
  return world.rest.post("/api/v1/explain", { from, to, protocol: "icmp", ...objects });
}

interface Oper {
  readonly enforcement?: {
    readonly desiredRevision: string;
    readonly enforced: number;
    readonly nodes: readonly {
      readonly node: string;
      readonly state: string;
      readonly failures?: Readonly<Record<string, string>>;
    }[];
  };
  readonly hits?: { readonly packets?: number; readonly sent?: { readonly packets: number } };
}

async function inspect(path: string): Promise<Oper> {
  return (await world.rest.get<{ Oper?: Oper }>(`/api/v1/inspect/${path}/`)).Oper ?? {};
}

async function isEnforced(path: string): Promise<boolean> {
  const { enforcement } = await inspect(path);
  return enforcement !== undefined && enforcement.enforced === enforcement.nodes.length;
}

async function untilEnforced(path: string): Promise<void> {
  await eventually(`${path} is enforced`, () => isEnforced(path), Boolean);
}

async function reaches(from: string, to: string): Promise<boolean> {
  const [address = ""] = await world.addresses(to);
  return (await world.ping(from, address.split("/")[0] ?? "", 2)) > 0;
}

describe("explain", () => {
  it("says of stored rules what packets do, and of proposed ones what they would do", async () => {
    expect(await explain("client2", "web1")).toMatchObject({ allowed: true });
    expect(await reaches("client2", "web1")).toBe(true);
    const rules = [ruleBody("icmp", { protocol: "icmp", fromEndpointGroup: "client" })];
    expect(await propose("client2", "web1", { rules })).toMatchObject({
      allowed: false,
      destination: { decidedBy: `${POLICY}:icmp` },
      stored: { allowed: true },
    });
    expect(await reaches("client2", "web1")).toBe(true);
    await world.rest.post(rulePath("icmp"), rules[0]);
    await untilEnforced(`rules/${POLICY}:icmp`);
    for (const client of ["client1", "client2"]) {
      expect(await explain(client, "web1")).toMatchObject({ allowed: false });
      expect(await reaches(client, "web1"), client).toBe(false);
    }
    expect(await explain("web2", "web1")).toMatchObject({ allowed: true });
    expect(await reaches("web2", "web1")).toBe(true);
    const deletes = { rules: [`${POLICY}:icmp`] };
    expect(await propose("client2", "web1", { deletes })).toMatchObject({ allowed: true, stored: { allowed: false } });
    await world.rest.delete(rulePath("icmp"));
    await untilEnforced(`policys/${POLICY}`);
    expect(await explain("client2", "web1")).toMatchObject({ allowed: true });
    expect(await reaches("client2", "web1")).toBe(true);
  });
});

describe("receipts", () => {
  it("come soon after a write, from the nodes that the rule concerns", async () => {
    const latenciesMs: number[] = [];
    for (let index = 0; index < MEASURED_WRITES; index += 1) {
      const startMs = performance.now();
      await world.rest.post(rulePath(`m${index}`), ruleBody(`m${index}`, { protocol: "tcp", port: 1 + index }));
      const writtenMs = performance.now();
      while (!(await isEnforced(`rules/${POLICY}:m${index}`))) {
        if (performance.now() > writtenMs + 10_000) throw new Error("no receipt came within 10 s");
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      latenciesMs.push(performance.now() - startMs);
    }
    const { enforcement } = await inspect(`rules/${POLICY}:m0`);
    expect(enforcement?.nodes).toHaveLength(1);
    const sorted = latenciesMs.sort((left, right) => left - right).map(Math.round);
    const median = sorted[(MEASURED_WRITES - 1) / 2] ?? Number.NaN;
    process.stdout.write(`REST write → receipt in inspect: median ${median} ms, worst ${sorted.at(-1)} ms\n`);
    expect(median).toBeLessThan(RECEIPT_MEDIAN_MAX_MS);
    for (let index = 0; index < MEASURED_WRITES; index += 1) await world.rest.delete(rulePath(`m${index}`));
  });

  it("say what a node cannot enforce, on the rule, its policy and its group, and in the metrics", async () => {
    await group("gone", []);
    await world.rest.post(rulePath("lost"), ruleBody("lost", { fromEndpointGroup: "gone" }));
    await untilEnforced(`rules/${POLICY}:lost`);
    await world.rest.delete(`${GROUPS}:gone/`);
    const failed = await eventually(
      "the rule has failed",
      () => inspect(`rules/${POLICY}:lost`),
      ({ enforcement }) => enforcement?.nodes[0]?.state === "failed",
    );
    expect(failed.enforcement?.nodes[0]?.failures?.[`rule/${POLICY}:lost`]).toMatch(/group say:gone does not exist/);
    for (const path of [`policys/${POLICY}`, `endpointGroups/${TENANT}:web`]) {
      expect((await inspect(path)).enforcement?.nodes[0], path).toMatchObject({ state: "failed" });
    }
    const metrics = await fetch(`${world.cluster.restUrl}/metrics`).then((reply) => reply.text());
    expect(metrics).toMatch(/contiv_netmaster_enforcement_failures\{kind="rule"\} 1/);
    await world.rest.delete(rulePath("lost"));
    await untilEnforced(`policys/${POLICY}`);
  });
});

describe("hits", () => {
  it("of rules and endpoints appear in inspect and in the metrics", async () => {
    await world.rest.post(rulePath("count"), ruleBody("count", { action: "allow", protocol: "icmp" }));
    await untilEnforced(`rules/${POLICY}:count`);
    const [address = ""] = await world.addresses("web1");
    expect(await world.ping("client2", address.split("/")[0] ?? "", 10)).toBe(10);
    const counted = await eventually(
      "the rule has met 10 packets",
      () => inspect(`rules/${POLICY}:count`),
      ({ hits }) => (hits?.packets ?? 0) >= 10,
      30_000,
    );
    expect(counted.hits?.packets).toBe(10);
    expect((await inspect(`policys/${POLICY}`)).hits?.packets).toBeGreaterThanOrEqual(10);
    const sender = await eventually(
      "the sender's packets are counted",
      () => inspect("endpoints/client2"),
      ({ hits }) => (hits?.sent?.packets ?? 0) >= 10,
      30_000,
    );
    expect(sender.hits).toMatchObject({ received: { packets: expect.any(Number) }, lastHit: expect.any(String) });
    const metrics = await fetch(`${world.cluster.restUrl}/metrics`).then((reply) => reply.text());
    expect(metrics).toMatch(new RegExp(`contiv_netmaster_rule_packets_total\\{rule="${POLICY}:count"\\} 10`));
  });
});
