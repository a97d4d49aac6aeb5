import { afterAll, beforeAll, expect, it } from "vitest";
import { type ConnectionReport, type Steady, startEcho, startSteadyConnections } from "./steady-connections.ts";
import { eventually, startTestCluster, type TestCluster } from "./test-cluster.ts";

/**
 * Rules replaced as docs/objects.md says ("Replace a rule without a gap"), under connections of real packets: pod `web-1` (node 1) may
 * reach port 8080 of `app-1` (node 2) all the while, and `other-1` (node 1) never.
 */
let world: TestCluster;
let web: Steady<ConnectionReport>;
let other: Steady<ConnectionReport>;

const PORT = 8080;
const ROUNDS = 15;
const APP = "10.83.0.2";
/** A lost segment of a connection that lives is sent again after 200 ms at least; less than a SYN's second, on a busy machine too. */
const LONGEST_GAP_MS = 800;

const ALLOW = { action: "allow", priority: 10, protocol: "tcp", port: PORT, fromEndpointGroup: "web" };
const CLOSED = { action: "deny", priority: 1 };

beforeAll(async () => {
  world = await startTestCluster({ nodes: 2 });
  await post("tenants/gap", { tenantName: "gap" });
  await post("networks/gap:n", { tenantName: "gap", networkName: "n", encap: "vxlan", subnet: "10.83.0.0/24" });
  for (const name of ["web", "other"]) await group(name, []);
  await policy("p", "a0", "c0");
  await group("app", ["p"]);
  await world.addPod("web-1", 1, { tenant: "gap", network: "n", group: "web" });
  await world.addPod("app-1", 2, { tenant: "gap", network: "n", group: "app" });
  await world.addPod("other-1", 1, { tenant: "gap", network: "n", group: "other" });
  const { underlay } = world.cluster.layout;
  await startEcho(underlay, "app-1", PORT);
});

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

async function begin(): Promise<void> {
  const { underlay } = world.cluster.layout;
  const to = { address: APP, port: PORT };
  web = await startSteadyConnections(underlay, "web-1", to);
  other = await startSteadyConnections(underlay, "other-1", { ...to, isLived: false });
}

function post(path: string, body: object): Promise<unknown> {
  return world.rest.post(`/api/v1/${path}/`, body);
}

async function group(groupName: string, policies: readonly string[]): Promise<void> {
  await post(`endpointGroups/gap:${groupName}`, { tenantName: "gap", groupName, networkName: "n", policies });
}

function rule(policyName: string, ruleId: string, members: object): Promise<unknown> {
  const body = { tenantName: "gap", policyName, ruleId, direction: "in", ...members };
  return post(`rules/gap:${policyName}:${ruleId}`, body);
}

async function policy(policyName: string, allow: string, closed: string): Promise<void> {
  await post(`policys/gap:${policyName}`, { tenantName: "gap", policyName });
  await rule(policyName, allow, ALLOW);
  await rule(policyName, closed, CLOSED);
}

async function remove(path: string): Promise<void> {
  await world.rest.delete(`/api/v1/${path}/`);
}

interface Enforcement {
  readonly enforced: number;
  readonly behind: number;
  readonly failed: number;
  readonly unknown: number;
}

/** Until the node that the object concerns says that it has it. */
async function enforced(path: string): Promise<void> {
  await eventually(
    `${path} is enforced`,
    async () => {
      const { Oper } = await world.rest.get<{ Oper?: { enforcement?: Enforcement } }>(`/api/v1/inspect/${path}/`);
      return Oper?.enforcement;
    },
    (told) => told?.enforced === 1 && told.behind + told.failed + told.unknown === 0,
  );
}

async function expectNoGap(): Promise<void> {
  const [ofWeb, ofOther] = await Promise.all([web.stop(), other.stop()]);
  expect(ofWeb.made).toBeGreaterThan(50);
  expect(ofOther.late).toBeGreaterThan(50);
  expect(ofWeb.late).toBe(0);
  expect(ofWeb.longestGapMs).toBeLessThan(LONGEST_GAP_MS);
  expect(ofOther.made).toBe(0);
}

it("the new rule first, then the old one away: what is allowed always passes, what is closed never does", async () => {
  await begin();
  for (let round = 1; round <= ROUNDS; round++) {
    for (const [letter, members] of [
      ["a", ALLOW],
      ["c", CLOSED],
    ] as const) {
      await rule("p", `${letter}${round}`, members);
      await enforced(`rules/gap:p:${letter}${round}`);
      await remove(`rules/gap:p:${letter}${round - 1}`);
    }
  }
  await expectNoGap();
});

it("another policy in place of the old one: the same", async () => {
  await begin();
  let before = "p";
  for (let round = 1; round <= ROUNDS; round++) {
    const after = `p${round}`;
    await policy(after, "a", "c");
    await world.rest.patch("/api/v1/endpointGroups/gap:app/", { policies: [after] });
    await enforced("endpointGroups/gap:app");
    await remove(`policys/gap:${before}`);
    before = after;
  }
  await expectNoGap();
});

it("the old rule away first: there is a gap, which these connections see", async () => {
  await begin();
  await remove(`rules/gap:p${ROUNDS}:c`);
  await enforced("endpointGroups/gap:app");
  await rule(`p${ROUNDS}`, "c2", CLOSED);
  await enforced(`rules/gap:p${ROUNDS}:c2`);
  await web.stop();
  expect((await other.stop()).made).toBeGreaterThan(0);
});
