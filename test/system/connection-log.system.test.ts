import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { netpluginName } from "../../deploy/cluster/components.ts";
import { podNetns } from "../../deploy/cluster/underlay.ts";
import { ask, serveEchoes } from "../fakes/talk.ts";
import { eventually, startTestCluster, type TestCluster } from "./test-cluster.ts";

/**
 * Log rules with real packets: `web` (group `web`, policy `p`) on node 1, `client` (policy `q`) and `near` on node 1, `far` (no policy) on
 * node 2. `web` takes everything but TCP 81 and UDP.
 */
let world: TestCluster;
let server: AsyncDisposable;

const TENANT = "log";
const FLOOD_PACKETS = 5_000;
/** A rule's bucket (20) and what is added (5 a second) until the flood has been worked off. */
const FLOOD_LINES_MAX = 100;

beforeAll(async () => {
  world = await startTestCluster({ nodes: 2 });
  const { rest } = world;
  await rest.post(`/api/v1/tenants/${TENANT}/`, { tenantName: TENANT });
  const network = { encap: "vxlan", subnet: "10.82.0.0/24", ipv6Subnet: "fd82::/64" };
  await rest.post(`/api/v1/networks/${TENANT}:n/`, { tenantName: TENANT, networkName: "n", ...network });
  for (const policyName of ["p", "q"]) {
    await rest.post(`/api/v1/policys/${TENANT}:${policyName}/`, { tenantName: TENANT, policyName });
  }
  const groups = { web: ["p"], client: ["q"], free: [] };
  for (const [groupName, policies] of Object.entries(groups)) {
    const body = { tenantName: TENANT, groupName, networkName: "n", policies };
    await rest.post(`/api/v1/endpointGroups/${TENANT}:${groupName}/`, body);
  }
  await rule("p:closed", { protocol: "tcp", port: 81, priority: 10 });
  await rule("p:noudp", { protocol: "udp", priority: 10 });
  for (const [pod, node, group] of [
    ["web", 1, "web"],
    ["client", 1, "client"],
    ["near", 1, "free"],
    ["far", 2, "free"],
  ] as const) {
    await world.addPod(pod, node, { tenant: TENANT, network: "n", group });
  }
  server = await serveEchoes(netnsOf("web"), [80, 81]);
});

afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await world?.[Symbol.asyncDispose]();
});

const netnsOf = (pod: string) => podNetns(world.cluster.layout.underlay, pod);
const keyOf = (id: string) => `${TENANT}:${id}`;

async function rule(id: string, members: object): Promise<void> {
  const [policyName, ruleId] = id.split(":");
  const body = { tenantName: TENANT, policyName, ruleId, direction: "in", action: "deny", ...members };
  await world.rest.post(`/api/v1/rules/${keyOf(id)}/`, body);
}

/** Until every node that has the policy enforces it. */
async function enforced(policy: string): Promise<void> {
  interface Inspected {
    readonly Oper?: { readonly enforcement?: { readonly enforced: number; readonly nodes: readonly unknown[] } };
  }
  const isEnforced = ({ Oper }: Inspected) =>
    Oper?.enforcement !== undefined && Oper.enforcement.enforced === Oper.enforcement.nodes.length;
  const path = `/api/v1/inspect/policys/${keyOf(policy)}/`;
  await eventually(`${policy} is enforced`, () => world.rest.get<Inspected>(path), isEnforced, 20_000);
}

async function addressOf(pod: string, family: 4 | 6 = 4): Promise<string> {
  const addresses = (await world.addresses(pod)).map((address) => address.split("/")[0] ?? "");
  return addresses.find((address) => address.includes(":") === (family === 6)) ?? "";
}

interface Line {
  readonly verdict: string;
  readonly rule: string;
  readonly suppressed: number;
  readonly destination: { readonly address: string };
}

/** The lines of one rule, the newest first. */
async function lines(node: number, ruleId: string): Promise<readonly Line[]> {
  const { stdout } = await world.onNode(node, ["curl", "-s", "http://127.0.0.1:9090/inspect/connections"]);
  return (JSON.parse(stdout) as Line[]).filter((line) => line.rule === keyOf(ruleId));
}

async function samples(node: number): Promise<Readonly<Record<string, number>>> {
  const { stdout } = await world.onNode(node, ["curl", "-s", "http://127.0.0.1:9090/metrics"]);
  const found = stdout.matchAll(/^contiv_netplugin_connection_samples_total\{outcome="(\w+)"\} (\d+)/gm);
  return Object.fromEntries([...found].map(([, outcome = "", count]) => [outcome, Number(count)]));
}

async function lineOf(node: number, ruleId: string): Promise<Line | undefined> {
  const found = await eventually(
    `rule ${ruleId} has logged`,
    () => lines(node, ruleId),
    ({ length }) => length > 0,
    20_000,
  );
  expect(found).toHaveLength(1);
  return found[0];
}

async function asked(from: string, to: string, port: number): Promise<string> {
  return ask(netnsOf(from), { protocol: "tcp", host: to, port });
}

describe("log rules", () => {
  it("tell of an allowed and of a denied connection from another node, in names, one line each", async () => {
    await rule("p:audit", { action: "log", protocol: "tcp", priority: 50 });
    await enforced("p");
    const web = await addressOf("web");
    expect(await asked("far", web, 80)).toBe("echo");
    const allowed = await lineOf(1, "p:audit");
    expect(allowed).toMatchObject({
      ...{ verdict: "allowed", asked: ["destination"], direction: "in", decidedBy: [], repeats: 0, suppressed: 0 },
      ...{ tenant: TENANT, network: keyOf("n"), protocol: "tcp" },
      source: { address: await addressOf("far"), group: keyOf("free"), node: "n2" },
      destination: { address: web, port: 80, group: keyOf("web"), node: "n1", endpoint: expect.any(String) },
    });
    expect(await asked("far", web, 81)).toBe("silent");
    const [denied, ...rest] = await eventually(
      "the denied connection is logged",
      () => lines(1, "p:audit"),
      ({ length }) => length > 1,
    );
    expect(rest).toEqual([allowed]);
    expect(denied).toMatchObject({
      ...{ verdict: "denied", deniedAt: "destination", decidedBy: [keyOf("p:closed")], direction: "in" },
      destination: { port: 81 },
    });
    expect(world.log(netpluginName(1), 400)).toMatch(/"verdict":"denied".*"msg":"connection"/);
    expect(await lines(2, "p:audit")).toEqual([]);
  });

  it("tell of the sender's side, and in IPv6, and stop when they go", async () => {
    await rule("q:out", { action: "log", direction: "out", toEndpointGroup: "web", protocol: "tcp" });
    await enforced("q");
    const web = await addressOf("web", 6);
    expect(await asked("client", web, 80)).toBe("echo");
    expect(await lineOf(1, "q:out")).toMatchObject({
      ...{ verdict: "allowed", asked: ["source", "destination"], direction: "out" },
      source: { address: await addressOf("client", 6), group: keyOf("client") },
      destination: { address: web, port: 80, group: keyOf("web") },
    });
    await world.rest.delete(`/api/v1/rules/${keyOf("q:out")}/`);
    await enforced("q");
    expect(await asked("client", web, 80)).toBe("echo");
    expect(await asked("far", web, 81)).toBe("silent");
    await eventually(
      "the other rule logs",
      () => lines(1, "p:audit"),
      (found) => found.some(({ destination, verdict }) => destination.address === web && verdict === "denied"),
    );
    expect(await lines(1, "q:out")).toHaveLength(1);
  });

  it("write few lines of a flood and say how much was left out; what is allowed goes on", async () => {
    await rule("p:udp", { action: "log", protocol: "udp", priority: 50 });
    await enforced("p");
    const web = await addressOf("web");
    const flood = `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for n in range(${FLOOD_PACKETS}): s.sendto(b"x", ("${web}", 1024 + n))
`;
    const [, answered, echo] = await Promise.all([
      world.inPod("near", ["/usr/bin/python3", "-c", flood]),
      world.ping("far", web, 20),
      asked("far", web, 80),
    ]);
    expect({ answered, echo }).toEqual({ answered: 20, echo: "echo" });
    const suppressed = await eventually(
      "the flood is counted",
      () => samples(1),
      (counts) => (counts.suppressed ?? 0) > 0,
    );
    expect((suppressed.suppressed ?? 0) + (suppressed.logged ?? 0)).toBeLessThan(FLOOD_PACKETS);
    const found = await lines(1, "p:udp");
    expect(found.length).toBeGreaterThan(0);
    expect(found.length).toBeLessThan(FLOOD_LINES_MAX);
    expect(found.every(({ verdict }) => verdict === "denied")).toBe(true);
    await eventually(
      "the log says what is missing",
      async () => world.log(netpluginName(1), 400),
      (text) => /"rule":"log:p:udp","suppressed":[1-9]|"rule":"log:p:udp".*"suppressed":[1-9]/.test(text),
      30_000,
    );
  });
});
