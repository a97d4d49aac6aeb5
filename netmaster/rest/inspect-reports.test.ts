import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { NodeRegistration } from "../../state/kinds/node.ts";
import { NodeName } from "../../state/names.ts";
import type { Receipt } from "../../state/node-api.ts";
import { registerNode, setNodeState } from "../intents/node.ts";
import { createRestApp } from "./app.ts";
import { type Body, type ContractWorld, contractWorld, grp, net, rule } from "./testing/contract-world.ts";
import { fakeCluster } from "./testing/fake-cluster.ts";

let world: ContractWorld;

function registration(name: string, index: number): NodeRegistration {
  const capabilities = {
    ...{ datapathType: "netdev", ovsVersion: "3.1", kernelRelease: "6.1", ingressPolicing: true },
    ...{ tbf: true, ifbRedirect: true, meters: true, conntrack: true },
  };
  const routerMac = `02:03:00:00:00:0${index}`;
  const where = { vtepIp: `192.0.2.${index}`, underlayMtuBytes: 1_500, routerMac, bootId: "b", version: "1" };
  return NodeRegistration.parse({ name, ...where, capabilities });
}

/** Group `web` with policy `p1` has endpoints on h1 and h2, `other` on h3. */
beforeEach(async () => {
  world = await contractWorld();
  const { must, endpoint, cluster } = world;
  for (const [index, name] of ["h1", "h2", "h3"].entries()) {
    cluster.run(registerNode, registration(name, index + 1));
  }
  await must("POST", ...net("n1"));
  await must("POST", "policys/t1:p1", { tenantName: "t1", policyName: "p1" });
  await must("POST", ...grp("web", { policies: ["p1"] }));
  await must("POST", ...grp("other"));
  for (const [id, group, Host] of [
    ["e1", "web", "h1"],
    ["e2", "web", "h2"],
    ["e3", "other", "h3"],
  ] as const) {
    await endpoint(id, { ServiceName: group, ConfigEP: { Host } });
  }
  await must("POST", ...rule());
});

function revision(): string {
  return `${world.cluster.view().revision}`;
}

function receipt(enforcedRevision: string, failures: Receipt["failures"] = {}): Receipt {
  return { enforcedRevision, enforcedAt: "2026-01-01T00:00:00.000Z", endpointCount: 1, flowCount: 2, failures };
}

async function oper(path: string): Promise<Record<string, Body>> {
  return (await world.app.inject({ url: `/api/v1/inspect/${path}/` })).json().Oper;
}

async function states(path: string): Promise<string> {
  const { enforcement } = await oper(path);
  const nodes = enforcement?.nodes as readonly { readonly node: string; readonly state: string }[] | undefined;
  return nodes?.map(({ node, state }) => `${node}=${state}`).join(" ") ?? "none";
}

it("a node shows its drivers and what is wrong with them; the tunnel address is left out where there is none", async () => {
  const ovs = {
    encaps: ["vxlan", "vlan"],
    enforcesPolicies: true,
    setsMac: true,
    fault: "no answer; see that it runs",
  };
  const { vtepIp: _, ...bare } = registration("h4", 4);
  world.cluster.run(registerNode, { ...bare, drivers: { ovs } });
  const show = async (path: string) =>
    (await world.app.inject({ url: `/api/v1/${path}/`, headers: { accept: "*/*" } })).json();
  const node = await show("nodes/h4");
  expect(node).toMatchObject({ key: "h4", drivers: { ovs } });
  expect(node).not.toHaveProperty("vtepIp");
  expect((await show("inspect/nodes/h4")).Config).toEqual(node);
  expect(await show("nodes/h1")).not.toHaveProperty("drivers");
});

describe("receipts in inspect", () => {
  it("are of the nodes that the object concerns, and only of those", async () => {
    for (const path of ["rules/t1:p1:r1", "policys/t1:p1", "endpointGroups/t1:web"]) {
      expect(await states(path), path).toBe("h1=unknown h2=unknown");
    }
    expect(await states("endpoints/e1")).toBe("h1=unknown");
    expect(await states("endpointGroups/t1:other")).toBe("h3=unknown");
    expect(await states("tenants/t1")).toBe("none");
    await world.must("POST", ...grp("web"));
    expect(await states("policys/t1:p1")).toBe("none");
    expect(await oper("rules/t1:p1:r1")).toBeUndefined();
  });

  it("say what is enforced, how far behind a node is, and what failed for that object", async () => {
    const { receipts } = world.cluster;
    const before = `${world.cluster.view().revision - 1n}`;
    receipts.set("h1", receipt(revision()));
    receipts.set("h2", receipt(before));
    expect((await oper("rules/t1:p1:r1")).enforcement).toEqual({
      ...{ desiredRevision: revision(), enforced: 1, behind: 1, failed: 0, unreachable: 0, unknown: 0 },
      nodes: [
        { node: "h1", state: "enforced", enforcedRevision: revision(), enforcedAt: "2026-01-01T00:00:00.000Z" },
        expect.objectContaining({ node: "h2", state: "behind", enforcedRevision: before, lagRevisions: 1 }),
      ],
    });
    expect((await oper("policys/t1:p1")).enforcement?.nodes).toEqual([
      expect.anything(),
      expect.objectContaining({ node: "h2", lagRevisions: 1, lagMs: expect.any(Number) }),
    ]);
    expect(await states("endpoints/e2")).toBe("h2=behind");
    expect(await states("endpoints/e3")).toBe("h3=unknown");
  });

  it.each([
    ["rule/t1:p1:r1", "rules/t1:p1:r1 policys/t1:p1 endpointGroups/t1:web endpoints/e1"],
    ["rule/t1:p1:r10", "policys/t1:p1 endpointGroups/t1:web endpoints/e1"],
    ["rule/t1:p11:r1", ""],
    ["endpoint/t1:n1:e1", "policys/t1:p1 endpointGroups/t1:web endpoints/e1"],
    ["endpoint/t1:n1:e3", ""],
    ["network/t1:n1", "endpointGroups/t1:web endpoints/e1"],
    ["policy/t1:p1", "policys/t1:p1 endpointGroups/t1:web endpoints/e1"],
    ["endpointGroup/t1:web", "rules/t1:p1:r1 policys/t1:p1 endpointGroups/t1:web endpoints/e1"],
    ["endpointGroup/t1:other", ""],
    ["node/h2", ""],
  ])("show a failure of %s where it concerns the object", async (object, wanted) => {
    for (const name of ["h1", "h2"]) world.cluster.receipts.set(name, receipt(revision()));
    world.cluster.receipts.set("h1", receipt(revision(), { [object]: "the switch refuses it" }));
    const failing: string[] = [];
    for (const path of ["rules/t1:p1:r1", "policys/t1:p1", "endpointGroups/t1:web", "endpoints/e1"]) {
      if ((await states(path)).startsWith("h1=failed")) failing.push(path);
    }
    expect(failing.join(" ")).toBe(wanted);
  });

  it("know that a rule was deleted, and a group attached", async () => {
    for (const name of ["h1", "h2"]) world.cluster.receipts.set(name, receipt(revision()));
    expect(await states("policys/t1:p1")).toBe("h1=enforced h2=enforced");
    await world.must("DELETE", "rules/t1:p1:r1");
    expect(await states("policys/t1:p1")).toBe("h1=behind h2=behind");
    expect(await states("endpointGroups/t1:web")).toBe("h1=behind h2=behind");
    for (const name of ["h1", "h2", "h3"]) world.cluster.receipts.set(name, receipt(revision()));
    await world.must("POST", ...grp("other", { policies: ["p1"] }));
    expect((await states("policys/t1:p1")).split(" ").sort().join(" ")).toBe("h1=behind h2=behind h3=behind");
  });

  it("tell of nodes that are silent", async () => {
    world.cluster.receipts.set("h1", receipt(revision()));
    world.cluster.run(setNodeState, { name: NodeName.parse("h1"), state: "unreachable" });
    expect(await states("endpoints/e1")).toBe("h1=unreachable");
  });
});

describe("hits in inspect", () => {
  it("are those of the rule, the sum of the policy, the traffic of endpoint and group", async () => {
    const { cluster, must } = world;
    await must("POST", "rules/t1:p1:r2", { ...rule()[1], ruleId: "r2" });
    await must("POST", "rules/t1:p1:r3", { ...rule()[1], ruleId: "r3", action: "log" });
    const [lastAtMs, lastHit] = [Date.UTC(2026, 0, 1), "2026-01-01T00:00:00.000Z"];
    cluster.hits.note(cluster.view(), "h1", {
      ...{ session: "s", sequence: 1 },
      rules: { "t1:p1:r1": [1, 100, lastAtMs], "t1:p1:r2": [2, 200, lastAtMs - 5], "t1:p1:r3": [1, 100, lastAtMs] },
      endpoints: { "t1:n1:e1": [1, 10, 2, 20, lastAtMs], "t1:n1:e2": [3, 30, 0, 0, lastAtMs - 5] },
    });
    const first = { packets: 1, bytes: 100, lastHit };
    expect((await oper("rules/t1:p1:r1")).hits).toEqual(first);
    expect((await oper("policys/t1:p1")).hits).toEqual({
      ...{ packets: 3, bytes: 300, lastHit },
      rules: {
        "t1:p1:r1": first,
        "t1:p1:r2": { packets: 2, bytes: 200, lastHit: "2025-12-31T23:59:59.995Z" },
        "t1:p1:r3": first,
      },
    });
    const sent = { packets: 1, bytes: 10 };
    expect((await oper("endpoints/e1")).hits).toEqual({ sent, received: { packets: 2, bytes: 20 }, lastHit });
    expect((await oper("endpointGroups/t1:web")).hits).toEqual({
      ...{ sent: { packets: 4, bytes: 40 }, received: { packets: 2, bytes: 20 }, lastHit },
    });
    expect((await oper("endpoints/e3")).hits).toBeUndefined();
  });
});

describe("inspect on a netmaster that does not lead", () => {
  const follower = fakeCluster();
  const app = createRestApp(follower);
  const ask = async () =>
    (await app.inject({ url: "/api/v1/inspect/rules/t1:p1:r1/", headers: { accept: "*/*" } })).json();
  afterAll(() => app.close());

  it("is answered by the leader, and without it from what this one knows", async () => {
    const leaderUrl = await world.app.listen({ host: "127.0.0.1", port: 0 });
    follower.leaderInfo = { ...follower.leaderInfo, isLeader: false, leaderUrl };
    expect((await ask()).Oper.enforcement.unknown).toBe(2);
    await world.app.close();
    expect(await ask()).toMatchObject({ status: 404, code: "not-found" });
    follower.leaderInfo = { ...follower.leaderInfo, isLeader: false, leaderUrl: undefined };
    expect(await ask()).toMatchObject({ status: 404 });
  });
});
