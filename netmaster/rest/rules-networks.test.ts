import { setTimeout as sleep } from "node:timers/promises";
import { beforeEach, describe, expect, it } from "vitest";
import { removeEndpoints } from "../intents/endpoint.ts";
import { upsertTenant } from "../intents/tenant.ts";
import type { ClusterView } from "../view/types.ts";
import { app1, type Body, type ContractWorld, contractWorld, grp, net, profile } from "./testing/contract-world.ts";
import { fakeCluster } from "./testing/fake-cluster.ts";

let { cluster, app, send, must, endpoint }: ContractWorld = await contractWorld();

beforeEach(async () => {
  ({ cluster, app, send, must, endpoint } = await contractWorld());
});

describe("tenant (§6.1)", () => {
  it.each<[string, Body, string]>([
    ["t2", { tenantName: "t2" }, "ok"],
    ["a.b-c.D9", { tenantName: "a.b-c.D9" }, "ok"],
    ["t2", {}, "400 missing-field tenantName"],
    ["t2", { tenantName: "" }, "400 missing-field tenantName"],
    ["t2", { tenantName: null }, "400 missing-field tenantName"],
    ["t2", { tenantName: 5 }, "400 invalid-field tenantName"],
    ["t2", { tenantName: ["t2"] }, "400 invalid-field tenantName"],
    ["t2", { tenantName: "t3" }, "400 key-mismatch key"],
    ["a_b", { tenantName: "a_b" }, "400 invalid-field tenantName"],
    ["-a", { tenantName: "-a" }, "400 invalid-field tenantName"],
    ["x".repeat(64), { tenantName: "x".repeat(64) }, "ok"],
    ["x".repeat(65), { tenantName: "x".repeat(65) }, "400 invalid-field tenantName"],
    ["t2", { tenantName: "t2", defaultNetwork: "n1", unknown: { deep: 1 } }, "ok"],
    ["t2", { tenantName: "t2", defaultNetwork: "n_1" }, "400 invalid-field defaultNetwork"],
    ["t1", { tenantName: "t1" }, "409 immutable"],
    ["default", { tenantName: "default" }, "409 immutable"],
  ])("%s %j → %s", async (key, body, expected) => expect(await send("POST", `tenants/${key}`, body)).toBe(expected));

  it("reports the first wrong field in alphabetical order", async () => {
    expect(await send("POST", "tenants/t2", { tenantName: "_", defaultNetwork: "_" })).toBe(
      "400 invalid-field defaultNetwork",
    );
  });

  it("is refused while it owns something, and the error says what", async () => {
    await must("POST", ...net("n1"));
    await must("POST", ...grp("g1"));
    await must("POST", "policys/t1:p1", { tenantName: "t1", policyName: "p1" });
    await must("POST", ...profile());
    await must("POST", ...app1({ endpointGroups: ["g1"] }));
    const steps = [
      ["app profile: t1:a1", "appProfiles/t1:a1"],
      ["endpoint group: t1:g1", "endpointGroups/t1:g1"],
      ["policy: t1:p1", "policys/t1:p1"],
      ["netprofile: t1:np", "netprofiles/t1:np"],
      ["network: t1:n1", "networks/t1:n1"],
    ] as const;
    for (const [blocker, path] of steps) {
      const reply = await app.inject({ method: "DELETE", url: "/api/v1/tenants/t1/", headers: { accept: "*/*" } });
      const left = steps.slice(steps.findIndex(([each]) => each === blocker)).map(([each]) => `1 ${each}`);
      const detail = `tenant t1 is used by ${left.join("; ")}`;
      expect(reply.json()).toMatchObject({ status: 409, code: "in-use", detail });
      await must("DELETE", path);
    }
    await must("DELETE", "tenants/t1");
    expect(await send("DELETE", "tenants/t1")).toBe("404 not-found");
    expect(cluster.claims()).toEqual(["/contiv-ts/v1/claims/tenant-id/1"]);
    await must("DELETE", "tenants/default");
  });
});

/** No host can have addresses of these (RFC 6890); some only include such a block. */
const SPECIAL_SUBNETS = [
  ...[
    "0.0.0.0/8",
    "0.1.2.0/24",
    "0.0.0.1-0.0.0.9/8",
    "127.0.0.0/8",
    "127.0.0.0/24",
    "169.254.0.0/16",
    "169.254.1.0/24",
  ],
  ...["169.0.0.0/8", "224.0.0.0/8", "224.0.0.0/24", "239.255.0.0/16", "240.0.0.0/8", "255.255.255.0/24"],
];
const SPECIAL_IPV6_SUBNETS = [
  ...["::/64", "::/1", "::1/127", "::ffff:0:0/96", "::ffff:10.1.1.0/120", "64:ff9b::/96", "fe80::/10", "fe80::/64"],
  ...["ff00::/8", "ff02::/64", "8000::/1", "fc00::/6"],
];

describe("network (§6.2)", () => {
  it.each<[Body, string]>([
    [{}, "ok"],
    [{ nwType: "infra" }, "ok"],
    [{ nwType: "" }, "ok"],
    [{ nwType: "other" }, "400 invalid-field nwType"],
    [{ encap: "vxlan" }, "ok"],
    [{ encap: "gre" }, "400 invalid-field encap"],
    [{ encap: "" }, "400 missing-field encap"],
    [{ encap: undefined }, "400 missing-field encap"],
    [{ subnet: "" }, "400 missing-field subnet"],
    [{ subnet: "10.1.1.1/24" }, "ok"],
    [{ subnet: "10.1.1.10-10.1.1.20/24" }, "ok"],
    [{ subnet: "10.0.0.0/8" }, "ok"],
    [{ subnet: "10.1.1.0/31" }, "ok"],
    [{ subnet: "10.0.0.0/7" }, "400 invalid-field subnet"],
    [{ subnet: "10.1.1.0/32" }, "400 invalid-field subnet"],
    [{ subnet: "10.1.1.0" }, "400 invalid-field subnet"],
    [{ subnet: "10.1.1.256/24" }, "400 invalid-field subnet"],
    [{ subnet: "10.1.1.01/24" }, "400 invalid-field subnet"],
    [{ subnet: "10.1.1.20-10.1.1.10/24" }, "400 invalid-field subnet"],
    [{ subnet: "10.1.1.20-10.1.2.10/24" }, "400 invalid-field subnet"],
    [{ subnet: 10 }, "400 invalid-field subnet"],
    [{ gateway: "10.1.1.254" }, "ok"],
    [{ gateway: "10.1.2.254" }, "400 invalid-field gateway"],
    [{ gateway: "10.1.1" }, "400 invalid-field gateway"],
    [{ gateway: "fe80::1" }, "400 invalid-field gateway"],
    [{ ipv6Subnet: "2001:db8::/64", ipv6Gateway: "2001:db8::1" }, "ok"],
    [{ ipv6Subnet: "2000::/3" }, "ok"],
    [{ ipv6Subnet: "2001:db8::/108" }, "ok"],
    [{ ipv6Subnet: "2001:db8::/127" }, "ok"],
    [{ ipv6Subnet: "2001:db8::/128" }, "400 invalid-field ipv6Subnet"],
    [{ ipv6Subnet: "2001:db8::/0" }, "400 invalid-field ipv6Subnet"],
    [{ ipv6Subnet: "2001:db8::" }, "400 invalid-field ipv6Subnet"],
    [{ ipv6Subnet: "2001:db8::/64", ipv6Gateway: "2001:db9::1" }, "400 invalid-field ipv6Gateway"],
    [{ ipv6Subnet: "2001:db8::/64", ipv6Gateway: "10.1.1.1" }, "400 invalid-field ipv6Gateway"],
    [{ ipv6Gateway: "2001:db8::1" }, "400 invalid-field ipv6Gateway"],
    ...SPECIAL_SUBNETS.map((subnet): [Body, string] => [{ subnet }, "400 invalid-field subnet"]),
    ...SPECIAL_IPV6_SUBNETS.map((ipv6Subnet): [Body, string] => [{ ipv6Subnet }, "400 invalid-field ipv6Subnet"]),
    [{ subnet: "1.0.0.0/8" }, "ok"],
    [{ subnet: "126.0.0.0/8" }, "ok"],
    [{ subnet: "223.255.255.0/24" }, "ok"],
    [{ subnet: "169.253.0.0/16" }, "ok"],
    [{ ipv6Subnet: "fd00::/8" }, "ok"],
    [{ gateway: "10.1.1.0" }, "400 invalid-field gateway"],
    [{ gateway: "10.1.1.255" }, "400 invalid-field gateway"],
    [{ subnet: "10.1.1.4/30", gateway: "10.1.1.7" }, "400 invalid-field gateway"],
    [{ subnet: "10.1.1.4/31", gateway: "10.1.1.4" }, "ok"],
    [{ subnet: "10.1.1.10-10.1.1.20/24", gateway: "10.1.1.255" }, "400 invalid-field gateway"],
    [{ subnet: "10.1.1.10-10.1.1.20/24", gateway: "10.1.1.1" }, "ok"],
    [{ subnet: "10.1.1.0-10.1.1.0/24" }, "400 invalid-field subnet"],
    [{ subnet: "10.1.1.255-10.1.1.255/24" }, "400 invalid-field subnet"],
    [{ subnet: "10.1.1.9-10.1.1.9/24", gateway: "10.1.1.9" }, "400 invalid-field subnet"],
    [{ ipv6Subnet: "2001:db8::/64", ipv6Gateway: "2001:db8::" }, "400 invalid-field ipv6Gateway"],
    [{ ipv6Subnet: "2001:db8::/64", ipv6Gateway: "2001:db8::0.0.0.0" }, "400 invalid-field ipv6Gateway"],
    [{ ipv6Subnet: "2001:db8::/127", ipv6Gateway: "2001:db8::" }, "ok"],
    [{ nwType: "infra", subnet: "127.0.0.0/8" }, "400 invalid-field subnet"],
    [{ driver: "" }, "ok"],
    [{ driver: "ovs" }, "ok"],
    [{ driver: "sriov" }, "501 unsupported driver"],
    [{ driver: "vhost-user" }, "501 unsupported driver"],
    [{ driver: "OVS" }, "400 invalid-field driver"],
    [{ driver: 1 }, "400 invalid-field driver"],
    [{ driver: ["ovs"] }, "400 invalid-field driver"],
    [{ pktTag: 0 }, "ok"],
    [{ pktTag: 1 }, "ok"],
    [{ pktTag: 4094 }, "ok"],
    [{ pktTag: 4095 }, "400 invalid-field pktTag"],
    [{ pktTag: -1 }, "400 invalid-field pktTag"],
    [{ pktTag: 1.5 }, "400 invalid-field pktTag"],
    [{ pktTag: "7" }, "400 invalid-field pktTag"],
    [{ pktTag: "" }, "400 invalid-field pktTag"],
    [{ encap: "vxlan", pktTag: 10_000 }, "ok"],
    [{ encap: "vxlan", pktTag: 10_001 }, "400 invalid-field pktTag"],
    [{ encap: "vxlan", pktTag: 16_777_216 }, "400 invalid-field pktTag"],
    [{ encap: "vxlan", pktTag: 16_777_217 }, "400 invalid-field pktTag"],
    [{ cfgdTag: "web.tag" }, "ok"],
    [{ cfgdTag: "a b" }, "400 invalid-field cfgdTag"],
    [{ cfgdTag: "x".repeat(129) }, "400 invalid-field cfgdTag"],
    [{ mtuBytes: 1400 }, "ok"],
    [{ mtuBytes: 1279 }, "400 invalid-field mtuBytes"],
    [{ physicalNetwork: "phys1" }, "ok"],
    [{ encap: "vxlan", physicalNetwork: "phys1" }, "400 invalid-field physicalNetwork"],
    [{ tenantName: "t9" }, "400 unknown-reference tenantName"],
    [{ networkName: "other" }, "400 key-mismatch key"],
  ])("%j → %s", async (members, expected) => expect(await send("POST", ...net("n1", members))).toBe(expected));

  it("cannot be changed, and is gone with its claims after delete", async () => {
    const before = cluster.claims();
    await must(
      "POST",
      ...net("n1", { gateway: "10.1.1.254", ipv6Subnet: "2001:db8::/64", ipv6Gateway: "2001:db8::1" }),
    );
    expect(await send("POST", ...net("n1"))).toBe("409 immutable");
    expect(cluster.claims()).toContain("/contiv-ts/v1/claims/ip/1/10.1.1.254");
    await must("DELETE", "networks/t1:n1");
    expect(cluster.claims()).toEqual(before);
  });

  it.each<[Body, string]>([
    [{ subnet: "10.1.1.0/24" }, "409 subnet-overlap subnet"],
    [{ subnet: "10.1.1.128/25" }, "409 subnet-overlap subnet"],
    [{ subnet: "10.0.0.0/8" }, "409 subnet-overlap subnet"],
    [{ subnet: "10.1.1.200-10.1.1.210/24" }, "409 subnet-overlap subnet"],
    [{ subnet: "10.1.2.0/24" }, "ok"],
    [{ subnet: "10.1.2.0/24", ipv6Subnet: "2001:db8::/32" }, "409 subnet-overlap ipv6Subnet"],
    [{ subnet: "10.1.1.0/24", ipv6Subnet: "2001:db8::/32" }, "409 subnet-overlap ipv6Subnet"],
    [{ subnet: "10.1.2.0/24", ipv6Subnet: "2001:db9::/32" }, "ok"],
  ])("beside 10.1.1.10-20/24 and 2001:db8::/64 of the same tenant: %j → %s", async (members, expected) => {
    await must("POST", ...net("n1", { subnet: "10.1.1.10-10.1.1.20/24", ipv6Subnet: "2001:db8::/64" }));
    expect(await send("POST", ...net("n2", members))).toBe(expected);
  });

  it("may have the subnets of another tenant's network", async () => {
    await must("POST", "tenants/t2", { tenantName: "t2" });
    await must("POST", ...net("n1", { ipv6Subnet: "2001:db8::/64" }));
    await must("POST", ...net("n1", { tenantName: "t2", ipv6Subnet: "2001:db8::/64" }));
  });

  it("cannot have the name of a group", async () => {
    await must("POST", ...net("n1"));
    await must("POST", ...grp("g1"));
    expect(await send("POST", ...net("g1", { subnet: "10.2.0.0/16" }))).toBe("409 name-taken networkName");
  });

  it("is refused while there are no settings", async () => {
    const unset = fakeCluster({ isEmpty: true });
    unset.run(upsertTenant, { tenantName: "default", defaultNetwork: "" });
    expect(await (await contractWorld(unset)).send("POST", ...net("n1"))).toBe("503 starting");
  });

  it("is not deleted while groups or endpoints use it", async () => {
    await must("POST", ...net("n1"));
    await must("POST", ...grp("g1"));
    expect(await send("DELETE", "networks/t1:n1")).toBe("409 in-use");
    await must("DELETE", "endpointGroups/t1:g1");
    expect(await endpoint("e1")).toBe("10.1.1.1");
    expect(await send("DELETE", "networks/t1:n1")).toBe("409 in-use");
    expect(await send("DELETE", "networks/t1:none")).toBe("404 not-found");
  });

  it("is deleted when its last pod's DEL has been answered, though the node tells of that a moment later", async () => {
    await must("POST", ...net("n1"));
    await endpoint("e1");
    const deleted = send("DELETE", "networks/t1:n1");
    await sleep(100);
    const all = (view: ClusterView) => [...view.records("endpoint").entries()].map(([, record]) => record);
    cluster.run((view: ClusterView) => removeEndpoints(undefined, all(view)), undefined);
    expect(await deleted).toBe("ok");
  });
});

describe("tags (§6.2, scenarios 60 and 62)", () => {
  it("are the lowest free ones, first and last of the range included, and then there are none", async () => {
    await must("POST", "globals/global", { vlans: "7-9", vxlans: "5-5,20-20" });
    for (const [index, tag] of [7, 8, 9].entries()) {
      await must("POST", ...net(`v${tag}`, { subnet: `10.2.${index}.0/24` }));
      expect(cluster.view().records("network").get(`t1:v${tag}`)?.tag).toBe(tag);
    }
    expect(await send("POST", ...net("v10", { subnet: "10.2.9.0/24" }))).toBe("409 tags-exhausted pktTag");
    for (const [index, tag] of [5, 20].entries()) {
      await must("POST", ...net(`x${tag}`, { subnet: `10.3.${index}.0/24`, encap: "vxlan" }));
      expect(cluster.view().records("network").get(`t1:x${tag}`)?.tag).toBe(tag);
    }
    await must("DELETE", "networks/t1:v8");
    await must("POST", ...net("again", { subnet: "10.2.1.0/24" }));
    expect(cluster.view().records("network").get("t1:again")?.tag).toBe(8);
  });

  it("cannot be had twice, nor outside the range", async () => {
    await must("POST", "globals/global", { vlans: "100-200" });
    await must("POST", ...net("n1", { pktTag: 150 }));
    expect(await send("POST", ...net("n2", { pktTag: 150, subnet: "10.2.0.0/16" }))).toBe("409 tag-taken pktTag");
    expect(await send("POST", ...net("n2", { pktTag: 99, subnet: "10.2.0.0/16" }))).toBe("400 invalid-field pktTag");
    await must("POST", ...net("n2", { pktTag: 200, subnet: "10.2.0.0/16" }));
  });
});

describe("global (§6.7, scenarios 60 and 61)", () => {
  it.each<[Body, string]>([
    [{}, "ok"],
    [{ name: "other" }, "400 invalid-field name"],
    [{ arpMode: "flood" }, "ok"],
    [{ arpMode: "" }, "ok"],
    [{ arpMode: "none" }, "400 invalid-field arpMode"],
    [{ fwdMode: "routing" }, "ok"],
    [{ fwdMode: "hub" }, "400 invalid-field fwdMode"],
    [{ networkInfraType: "default" }, "ok"],
    [{ networkInfraType: "aci" }, "501 unsupported networkInfraType"],
    [{ networkInfraType: "aci-opflex" }, "501 unsupported networkInfraType"],
    [{ pvtSubnet: "127.0.0.0/16" }, "400 invalid-field pvtSubnet"],
    [{ pvtSubnet: "224.1.0.0/16" }, "400 invalid-field pvtSubnet"],
    [{ vlans: "1-5000" }, "400 invalid-field vlans"],
    [{ vxlans: "1-16777216" }, "400 invalid-field vxlans"],
    [{ networkInfraType: "cisco" }, "400 invalid-field networkInfraType"],
    [{ pvtSubnet: "10.5.0.0/16" }, "ok"],
    [{ pvtSubnet: "10.5.0.0/24" }, "400 invalid-field pvtSubnet"],
    [{ vlans: "0-4095" }, "ok"],
    [{ vlans: "100-200,300-400" }, "ok"],
    [{ vlans: "200-100" }, "400 invalid-field vlans"],
    [{ vlans: "1-4096" }, "400 invalid-field vlans"],
    [{ vlans: "1" }, "400 invalid-field vlans"],
    [{ vlans: "1-2," }, "400 invalid-field vlans"],
    [{ vxlans: "1-16777215" }, "ok"],
    [{ vxlans: "1-16777216" }, "400 invalid-field vxlans"],
    [{ vxlans: "0-10" }, "400 invalid-field vxlans"],
    [{ vlans: 5 }, "400 invalid-field vlans"],
  ])("%j → %s", async (body, expected) => expect(await send("POST", "globals/global", body)).toBe(expected));

  it("keeps what is absent", async () => {
    await must("POST", "globals/global", { vlans: "100-200" });
    await must("POST", "globals/global", { arpMode: "flood" });
    expect(cluster.view().records("global").get("global")?.config).toMatchObject({
      vlans: "100-200",
      arpMode: "flood",
    });
  });

  it("refuses what does not fit to the networks that exist", async () => {
    await must("POST", ...net("n1", { pktTag: 150 }));
    await must("POST", ...net("n2", { encap: "vxlan", pktTag: 2_000, subnet: "10.2.0.0/16" }));
    expect(await send("POST", "globals/global", { fwdMode: "routing" })).toBe("409 in-use");
    expect(await send("POST", "globals/global", { fwdMode: "bridge", arpMode: "flood" })).toBe("ok");
    expect(await send("POST", "globals/global", { pvtSubnet: "10.5.0.0/16" })).toBe("409 in-use");
    expect(await send("POST", "globals/global", { vlans: "151-200" })).toBe("409 tag-in-use vlans");
    expect(await send("POST", "globals/global", { vlans: "1-149,151-200" })).toBe("409 tag-in-use vlans");
    expect(await send("POST", "globals/global", { vlans: "150-150" })).toBe("ok");
    expect(await send("POST", "globals/global", { vxlans: "1-1999" })).toBe("409 tag-in-use vxlans");
    await must("DELETE", "networks/t1:n1");
    await must("DELETE", "networks/t1:n2");
    expect(await send("POST", "globals/global", { fwdMode: "routing", pvtSubnet: "10.5.0.0/16" })).toBe("ok");
  });

  it("cannot be deleted, and has one instance", async () => {
    expect(await send("DELETE", "globals/global")).toBe("501 unsupported");
    expect(await send("POST", "globals/other", {})).toBe("400 key-mismatch key");
    expect(await send("GET", "globals/other")).toBe("404 not-found");
  });
});

it("30 networks with one subnet at once: exactly one wins (scenario 69)", async () => {
  const replies = await Promise.all(Array.from({ length: 30 }, (_, index) => send("POST", ...net(`n${index}`))));
  expect(replies.filter((reply) => reply === "ok")).toHaveLength(1);
  expect(replies.filter((reply) => reply === "409 subnet-overlap subnet")).toHaveLength(29);
});
