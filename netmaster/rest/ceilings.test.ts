import { beforeEach, describe, expect, it } from "vitest";
import { type Body, type ContractWorld, contractWorld, grp, net } from "./testing/contract-world.ts";

let { app, send, must, cluster, endpoint }: ContractWorld = await contractWorld();

beforeEach(async () => {
  ({ app, send, must, cluster, endpoint } = await contractWorld());
  await must("POST", ...net("n1"));
  await must("POST", ...grp("g1"));
});

const get = async (path: string) => (await app.inject({ url: `/api/v1/${path}/` })).json();
const G1 = "endpointGroups/t1:g1";
const CEILINGS = { ingressCeiling: "200mbps", egressCeiling: "1g", egressCeilingBurst: 5_000 };

describe.each([G1, "tenants/t1"])("ceilings of %s", (path) => {
  it.each<[Body, string]>([
    [CEILINGS, "ok"],
    [{ ingressCeiling: "" }, "ok"],
    [{ ingressCeiling: null }, "ok"],
    [{ egressCeiling: "10 Mbps" }, "ok"],
    [{ ingressCeiling: "0mbps" }, "400 invalid-field ingressCeiling"],
    [{ egressCeiling: "10tbps" }, "400 invalid-field egressCeiling"],
    [{ egressCeiling: "10  mbps" }, "400 invalid-field egressCeiling"],
    [{ egressCeiling: "-1m" }, "400 invalid-field egressCeiling"],
    [{ ingressCeiling: 5 }, "400 invalid-field ingressCeiling"],
    [{ ingressCeiling: "10000000gbps" }, "400 invalid-field ingressCeiling"],
    [{ ingressCeilingBurst: 1 }, "400 invalid-field ingressCeilingBurst"],
    [{ egressCeilingBurst: 500_001 }, "400 invalid-field egressCeilingBurst"],
    [{ egressCeilingBurst: -1 }, "400 invalid-field egressCeilingBurst"],
  ])("patched with %j → %s", async (patch, expected) => expect(await send("PATCH", path, patch)).toBe(expected));

  it("are shown where they are set, and only there", async () => {
    const before = await get(path);
    expect(Object.keys(before).filter((name) => name.includes("eiling"))).toEqual([]);
    await must("PATCH", path, CEILINGS);
    expect(await get(path)).toEqual({ ...before, ...CEILINGS });
    await must("PATCH", path, { ingressCeiling: null, egressCeiling: "", egressCeilingBurst: 0 });
    expect(await get(path)).toEqual(before);
  });
});

describe("a client of version 1", () => {
  it("changes a group without touching its ceilings", async () => {
    await must("POST", "policys/t1:p1", { tenantName: "t1", policyName: "p1" });
    await must("PATCH", G1, CEILINGS);
    await must("POST", ...grp("g1", { policies: ["p1"] }));
    expect(await get(G1)).toMatchObject({ ...CEILINGS, policies: ["p1"] });
    await must("POST", ...grp("g1", { ingressCeiling: "", egressCeiling: "2g" }));
    expect(await get(G1)).toMatchObject({ ...CEILINGS, egressCeiling: "2g" });
  });

  it("cannot change a tenant; a patch changes its ceilings and nothing else", async () => {
    await must("PATCH", "tenants/t1", CEILINGS);
    expect(await send("POST", "tenants/t1", { tenantName: "t1" })).toBe("409 immutable");
    expect(await send("PATCH", "tenants/t1", { defaultNetwork: "n1" })).toBe("409 immutable defaultNetwork");
    expect(await send("PATCH", "tenants/t9", CEILINGS)).toBe("404 not-found");
    expect(cluster.view().records("tenant").get("t1")?.config).toMatchObject(CEILINGS);
  });

  it("makes tenants and groups with ceilings at once", async () => {
    await must("POST", "tenants/t2", { tenantName: "t2", ...CEILINGS });
    await must("POST", ...grp("g2", CEILINGS));
    expect(await get("tenants/t2")).toMatchObject(CEILINGS);
    expect(await get("endpointGroups/t1:g2")).toMatchObject(CEILINGS);
  });
});

describe("inspect", () => {
  const traffic = { rateBitPerSecond: 2e8, burstBits: 2e8, mechanism: "meter", bitPerSecond: 5, totalBytes: 6 };

  it.each([
    ["endpointGroup", "t1:g1", G1],
    ["tenant", "t1", "tenants/t1"],
  ] as const)("shows the ceilings of %s %s, and what its nodes measured", async (kind, key, path) => {
    await endpoint("e1", { ServiceName: "g1" });
    await endpoint("e2", { ServiceName: "g1", ConfigEP: { Host: "h2" } });
    const oper = async () => (await get(`inspect/${path}`)).Oper;
    expect(await oper()).not.toHaveProperty("ceilings");
    await must("PATCH", path, CEILINGS);
    const report = { kind, key, overMs: 4_000, podIngress: traffic, complaint: "so so" };
    cluster.ceilings.set(`h2 ${key}`, report);
    expect((await oper()).ceilings).toEqual({
      podEgress: { rateBitPerSecond: 1e9, burstBits: 40_000_000 },
      podIngress: { rateBitPerSecond: 2e8 },
      nodes: [
        { node: "h1", notMeasured: "node h1 has told nothing of it lately" },
        { node: "h2", overSeconds: 4, podIngress: traffic, complaint: "so so" },
      ],
    });
  });

  it("shows an endpoint the ceilings over it", async () => {
    await must("PATCH", G1, { ingressCeiling: "10m" });
    await must("PATCH", "tenants/t1", { egressCeiling: "20m" });
    await endpoint("e1", { ServiceName: "g1" });
    await endpoint("e2");
    const over = async (id: string) => (await get(`inspect/endpoints/${id}`)).Oper.bandwidth.ceilings;
    const tenant = { kind: "tenant", key: "t1", podEgress: { rateBitPerSecond: 2e7 } };
    expect(await over("e1")).toEqual([
      { kind: "endpointGroup", key: "t1:g1", podIngress: { rateBitPerSecond: 1e7 } },
      tenant,
    ]);
    expect(await over("e2")).toEqual([tenant]);
  });
});
