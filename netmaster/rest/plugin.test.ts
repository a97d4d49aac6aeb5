import { beforeEach, describe, expect, it } from "vitest";
import { type Body, type ContractWorld, contractWorld, grp, net } from "./testing/contract-world.ts";

let { cluster, app, must, endpoint }: ContractWorld = await contractWorld();

async function call(path: string, body: Body, method: "POST" | "DELETE" = "POST"): Promise<unknown> {
  const reply = await app.inject({ method, url: path, payload: body, headers: { accept: "*/*" } });
  if (reply.body === "") return reply.statusCode;
  const json = reply.json();
  return reply.statusCode === 200 ? json : json.code;
}

beforeEach(async () => {
  ({ cluster, app, must, endpoint } = await contractWorld());
  await must("POST", ...net("n1", { gateway: "10.1.1.254", ipv6Subnet: "2001:db8::/64" }));
  await must("POST", ...grp("g1", { ipPool: "10.1.1.10-10.1.1.12" }));
});

describe("addresses", () => {
  it.each<[Body, unknown]>([
    [{ NetworkID: "n1.t1" }, "10.1.1.1/24"],
    [{ NetworkID: "n1:g1.t1" }, "10.1.1.10/24"],
    [{ AddressPool: "10.1.1.0/24:t1" }, "10.1.1.1/24"],
    [{ AddressPool: "2001:db8::/64:t1" }, "2001:db8::1/64"],
    [{ NetworkID: "n1.t1", PreferredIPv4Address: "10.1.1.77" }, "10.1.1.77/24"],
    [{ NetworkID: "n1.t1", PreferredIPv4Address: "10.1.1.254" }, "address-taken"],
    [{ NetworkID: "n1.t1", PreferredIPv4Address: "10.1.1.11" }, "address-taken"],
    [{ NetworkID: "n1:g1.t1", PreferredIPv4Address: "10.1.1.77" }, "invalid-field"],
    [{ NetworkID: "n1.t1", PreferredIPv4Address: "10.2.1.1" }, "invalid-field"],
    [{ NetworkID: "n1.t1", PreferredIPv4Address: "10.1.1.0" }, "invalid-field"],
    [{ NetworkID: "n1.t1", PreferredIPv4Address: "web" }, "invalid-field"],
    [{}, "invalid-field"],
    [{ NetworkID: "n9.t1" }, "unknown-reference"],
    [{ NetworkID: "n1" }, "unknown-reference"],
    [{ AddressPool: "10.1.1.0/24" }, "unknown-reference"],
    [{ AddressPool: "10.1.1.0" }, "invalid-field"],
  ])("allocAddress %j → %s", async (body, expected) => {
    const reply = await call("/plugin/allocAddress", body);
    expect(typeof reply === "string" ? reply : Reflect.get(Object(reply), "IPv4Address")).toBe(expected);
  });

  it("come and go, and an endpoint takes one over", async () => {
    const before = cluster.claims();
    await call("/plugin/allocAddress", { NetworkID: "n1.t1" });
    expect(await call("/plugin/allocAddress", { NetworkID: "n1.t1", PreferredIPv4Address: "10.1.1.1" })).toBe(
      "address-taken",
    );
    expect(await endpoint("e1", { ConfigEP: { Host: "h1", IPAddress: "10.1.1.1" } })).toBe("10.1.1.1");
    expect(await call("/plugin/releaseAddress", { NetworkID: "n1.t1", IPv4Address: "10.1.1.1" })).toBe(
      "address-in-use",
    );
    await call("/plugin/deleteEndpoint", { TenantName: "t1", NetworkName: "n1", EndpointID: "e1" });
    expect(await call("/plugin/releaseAddress", { NetworkID: "n1.t1", IPv4Address: "10.1.1.1/24" })).toBe("success");
    expect(cluster.claims()).toEqual(before);
    await call("/plugin/allocAddress", { NetworkID: "n1.t1" });
    expect(await call("/plugin/releaseAddress", { NetworkID: "n1.t1", IPv4Address: "10.1.1.2" })).toBe("success");
    expect(cluster.claims()).toEqual(before);
  });

  it("go with their network, however many there are", async () => {
    const before = cluster.claims().filter((key) => !key.includes("/ip/"));
    for (let index = 0; index < 120; index += 1) await call("/plugin/allocAddress", { NetworkID: "n1.t1" });
    await must("DELETE", "endpointGroups/t1:g1");
    await must("DELETE", "networks/t1:n1");
    expect(cluster.claims()).toEqual(before.filter((key) => key.includes("tenant-id")));
    expect(cluster.view().records("address").size).toBe(0);
  });

  it("of names with dots are found, unless two networks may be meant", async () => {
    await must("POST", "tenants/b.c", { tenantName: "b.c" });
    await must("POST", ...net("a", { tenantName: "b.c" }));
    expect(await call("/plugin/allocAddress", { NetworkID: "a.b.c" })).toMatchObject({ IPv4Address: "10.1.1.1/24" });
    await must("POST", "tenants/c", { tenantName: "c" });
    await must("POST", ...net("a.b", { tenantName: "c" }));
    expect(await call("/plugin/allocAddress", { NetworkID: "a.b.c" })).toBe("ambiguous");
  });
});

describe("endpoints", () => {
  it("are the same when asked for again, not from another host", async () => {
    expect(await endpoint("e1")).toBe("10.1.1.1");
    const { revision } = cluster.view();
    expect(await endpoint("e1")).toBe("10.1.1.1");
    expect(cluster.view().revision).toBe(revision);
    expect(await endpoint("e1", { ConfigEP: { Host: "h2" } })).toBe("endpoint-elsewhere");
  });

  it.each<[Body, string]>([
    [{ ConfigEP: { Host: "h1", IPAddress: "10.1.1.5" } }, "10.1.1.5"],
    [{ ConfigEP: { Host: "h1", IPAddress: "10.1.1.254" } }, "address-taken"],
    [{ ConfigEP: { Host: "h1", IPAddress: "10.1.1.10" } }, "address-taken"],
    [{ ServiceName: "g1", ConfigEP: { Host: "h1", IPAddress: "10.1.1.11" } }, "10.1.1.11"],
    [{ ServiceName: "g1", ConfigEP: { Host: "h1", IPAddress: "10.1.1.5" } }, "invalid-field"],
    [{ ConfigEP: { Host: "h1", ServiceName: "g1" } }, "10.1.1.10"],
    [{ ServiceName: "g9" }, "unknown-reference"],
    [{ NetworkName: "n9" }, "unknown-reference"],
    [{ TenantName: "t9" }, "unknown-reference"],
    [{ ConfigEP: {} }, "missing-field"],
    [{ ConfigEP: "x" }, "invalid-field"],
    [{ EndpointID: "" }, "missing-field"],
  ])("created with %j → %s", async (members, expected) => expect(await endpoint("e1", members)).toBe(expected));

  it("are updated and deleted; deleting twice succeeds", async () => {
    await endpoint("e1");
    const update = {
      Tenant: "t1",
      Network: "n1",
      EndpointID: "e1",
      Event: "start",
      ContainerID: "c1",
      Labels: { b: "2", a: "1" },
    };
    expect(await call("/plugin/updateEndpoint", update)).toEqual({ IPAddress: "10.1.1.1" });
    const inspected = await app.inject({ url: "/api/v1/inspect/endpoints/c1/" });
    expect(inspected.json().Oper).toMatchObject({
      containerID: "c1",
      labels: "map[a:1 b:2]",
      ipAddress: ["10.1.1.1", "2001:db8::1"],
    });
    expect(await call("/plugin/updateEndpoint", { ...update, Event: "die" })).toEqual({ IPAddress: "10.1.1.1" });
    expect(await call("/plugin/updateEndpoint", { ...update, Event: "pause" })).toBe("invalid-field");
    const end = { TenantName: "t1", NetworkName: "n1", EndpointID: "e1" };
    expect(await call("/plugin/deleteEndpoint", end)).toMatchObject({
      EndpointConfig: { endpointID: "e1", labels: { a: "1", b: "2" } },
    });
    expect(await call("/plugin/deleteEndpoint", end)).toEqual({ EndpointConfig: null });
  });

  it("are found exactly first, then by a part that only one has", async () => {
    await endpoint("web-1", { EPCommonName: "pod-a" });
    await endpoint("web-10", { EPCommonName: "pod-b" });
    const find = async (text: string) => {
      const reply = await app.inject({ url: `/api/v1/inspect/endpoints/${text}/`, headers: { accept: "*/*" } });
      return reply.statusCode === 200 ? reply.json().Oper.endpointID : reply.json().code;
    };
    expect(await find("web-1")).toBe("web-1");
    expect(await find("pod-b")).toBe("web-10");
    expect(await find("b-10")).toBe("web-10");
    expect(await find("web")).toBe("ambiguous");
    expect(await find("none")).toBe("not-found");
  });

  it("are listed with their keys", async () => {
    await endpoint("e1", { ServiceName: "g1" });
    const [listed] = (await app.inject({ url: "/api/v1/endpoints/" })).json();
    expect(listed).toMatchObject({
      key: "t1:n1:e1",
      endpointID: "e1",
      epoch: "epoch-1",
      tenantName: "t1",
      serviceName: "g1",
    });
    expect((await app.inject({ url: `/api/v1/endpoints/${listed.key}/` })).json()).toEqual(listed);
  });

  it("show in the inspection of group, policy and tenant (scenario 52)", async () => {
    await must("POST", "policys/t1:p1", { tenantName: "t1", policyName: "p1" });
    await must("POST", ...grp("g2", { policies: ["p1"] }));
    await endpoint("e1", { ServiceName: "g2" });
    await endpoint("e2");
    const oper = async (path: string) => (await app.inject({ url: `/api/v1/inspect/${path}/` })).json().Oper;
    expect(await oper("policys/t1:p1")).toMatchObject({ numEndpoints: 1, endpoints: [{ endpointID: "e1" }] });
    expect(await oper("endpointGroups/t1:g2")).toMatchObject({ numEndpoints: 1, groupTag: "g2.t1" });
    const tenant = await oper("tenants/t1");
    expect(tenant).toMatchObject({ totalEPGs: 2, totalEndpoints: 2, totalNetworks: 1, totalPolicies: 1 });
    expect(tenant.endpoints).toHaveLength(2);
    expect(Object.keys(tenant)).toEqual(Object.keys(tenant).sort());
    expect(Object.keys(tenant.networks[0])).toEqual(Object.keys(tenant.networks[0]).sort());
  });
});

describe("forced clean-up", () => {
  it.each([
    ["/debug/epcleanup/tenant/t1/net/n1", 200, 0],
    ["/debug/epcleanup/tenant/t1/group/g2", 200, 20],
    ["/debug/epcleanup/tenant/t1/ep/e7", 200, 79],
    ["/debug/epcleanup/tenant/t1/ep/none", "not-found", 80],
    ["/debug/epcleanup/tenant/t1/net/none", "not-found", 80],
    ["/debug/epcleanup/tenant/t1/pod/e7", "invalid-field", 80],
  ])("DELETE %s → %s, %i endpoints left", async (path, expected, left) => {
    await must("POST", ...grp("g2"));
    for (let index = 0; index < 80; index += 1) await endpoint(`e${index}`, index < 60 ? { ServiceName: "g2" } : {});
    const reply = await app.inject({ method: "DELETE", url: path, headers: { accept: "*/*" } });
    expect(reply.body === "" ? reply.statusCode : reply.json().code).toBe(expected);
    expect(cluster.view().records("endpoint").size).toBe(left);
  });
});
