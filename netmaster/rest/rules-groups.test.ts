import { beforeEach, describe, expect, it } from "vitest";
import { GLOBAL_DEFAULTS } from "../../state/kinds/global.ts";
import { changed } from "../intents/plan.ts";
import {
  app1,
  type Body,
  type ContractWorld,
  contractWorld,
  grp,
  net,
  profile,
  rule,
} from "./testing/contract-world.ts";

let { cluster, app, send, must, endpoint }: ContractWorld = await contractWorld();

beforeEach(async () => {
  ({ cluster, app, send, must, endpoint } = await contractWorld());
});

describe("endpoint group (§6.3, scenario 64)", () => {
  beforeEach(async () => {
    await must("POST", ...net("n1", { gateway: "10.1.1.254" }));
    await must("POST", "policys/t1:p1", { tenantName: "t1", policyName: "p1" });
    await must("POST", ...profile());
  });

  it.each<[Body, string]>([
    [{}, "ok"],
    [{ policies: ["p1"], netProfile: "np" }, "ok"],
    [{ policies: ["p9"] }, "400 unknown-reference policies"],
    [{ policies: "p1" }, "400 invalid-field policies"],
    [{ policies: ["p1", 5] }, "400 invalid-field policies.1"],
    [{ netProfile: "none" }, "400 unknown-reference netProfile"],
    [{ extContractsGrps: ["c1"] }, "400 unknown-reference extContractsGrps"],
    [{ extContractsGrps: [] }, "ok"],
    [{ networkName: "none" }, "400 unknown-reference networkName"],
    [{ tenantName: "t9" }, "400 unknown-reference tenantName"],
    [{ groupName: "other" }, "400 key-mismatch key"],
    [{ groupName: "" }, "400 missing-field groupName"],
    [{ ipPool: "10.1.1.10-10.1.1.20" }, "ok"],
    [{ ipPool: "10.1.1.10" }, "ok"],
    [{ ipPool: "10.1.1.0-10.1.1.9" }, "ok"],
    [{ ipPool: "10.1.1.20-10.1.1.10" }, "400 invalid-field ipPool"],
    [{ ipPool: "10.1.1.20-" }, "400 invalid-field ipPool"],
    [{ ipPool: "10.1.1.0" }, "400 invalid-field ipPool"],
    [{ ipPool: "10.1.1.10-10.1.2.20" }, "400 invalid-field ipPool"],
    [{ ipPool: "10.1.9.10" }, "400 invalid-field ipPool"],
    [{ ipPool: "10.1.1.250-10.1.1.254" }, "409 pool-taken ipPool"],
    [{ cfgdTag: "web" }, "ok"],
  ])("%j → %s", async (members, expected) => expect(await send("POST", ...grp("g1", members))).toBe(expected));

  it("cannot have the name of a network", async () => {
    expect(await send("POST", ...grp("n1"))).toBe("409 name-taken groupName");
  });

  it("cannot have a pool with addresses of others", async () => {
    expect(await endpoint("e1")).toBe("10.1.1.1");
    expect(await send("POST", ...grp("g1", { ipPool: "10.1.1.1-10.1.1.5" }))).toBe("409 pool-taken ipPool");
    await must("POST", ...grp("g1", { ipPool: "10.1.1.10-10.1.1.20" }));
    expect(await send("POST", ...grp("g2", { ipPool: "10.1.1.20-10.1.1.30" }))).toBe("409 pool-taken ipPool");
    await must("DELETE", "endpointGroups/t1:g1");
    await must("POST", ...grp("g2", { ipPool: "10.1.1.20-10.1.1.30" }));
  });

  it("hands out exactly its pool, and then says so (scenario 51)", async () => {
    await must("POST", ...grp("g1", { ipPool: "10.1.1.10-10.1.1.12" }));
    const ips = [];
    for (const id of ["a", "b", "c", "d"]) ips.push(await endpoint(id, { ServiceName: "g1" }));
    expect(ips).toEqual(["10.1.1.10", "10.1.1.11", "10.1.1.12", "addresses-exhausted"]);
    expect(await endpoint("e")).toBe("10.1.1.1");
    expect(await send("DELETE", "endpointGroups/t1:g1")).toBe("409 in-use");
  });

  it("attaches a policy once that is named twice, when it is made and when it is changed", async () => {
    await must("POST", "policys/t1:p2", { tenantName: "t1", policyName: "p2" });
    const policies = () => cluster.view().records("endpointGroup").get("t1:g1")?.config.policies;
    await must("POST", ...grp("g1", { policies: ["p1", "p1"] }));
    expect(policies()).toEqual(["p1"]);
    await must("POST", ...grp("g1", { policies: ["p2", "p1", "p2"] }));
    expect(policies()).toEqual(["p2", "p1"]);
  });

  it("changes policies and netprofile, and resets what is missing", async () => {
    await must("POST", ...grp("g1", { policies: ["p1"], netProfile: "np", cfgdTag: "web" }));
    expect(await send("DELETE", "policys/t1:p1")).toBe("409 in-use");
    expect(await send("DELETE", "netprofiles/t1:np")).toBe("409 in-use");
    const id = cluster.view().records("endpointGroup").get("t1:g1")?.groupId;
    expect(await send("POST", ...grp("g1", { policies: ["p9"] }))).toBe("400 unknown-reference policies");
    await must("POST", ...grp("g1"));
    expect(cluster.view().records("endpointGroup").get("t1:g1")).toMatchObject({
      groupId: id,
      config: { policies: [], netProfile: "", cfgdTag: "web" },
    });
    await must("DELETE", "policys/t1:p1");
    await must("DELETE", "netprofiles/t1:np");
  });

  it.each<[Body, string]>([
    [{ networkName: "n2" }, "409 immutable networkName"],
    [{ ipPool: "10.1.1.10" }, "409 immutable ipPool"],
    [{ cfgdTag: "other" }, "409 immutable cfgdTag"],
    [{ cfgdTag: "web" }, "ok"],
  ])("changed by %j → %s", async (members, expected) => {
    await must("POST", ...grp("g1", { cfgdTag: "web" }));
    expect(await send("POST", ...grp("g1", members))).toBe(expected);
  });

  it("needs a VLAN network in the ACI mode that an earlier release has stored", async () => {
    await must("POST", ...net("x1", { encap: "vxlan", subnet: "10.9.0.0/16" }));
    const config = { ...GLOBAL_DEFAULTS, networkInfraType: "aci" } as const;
    cluster.run(() => changed({ kind: "global", key: "global", record: { key: "global", config } }), undefined);
    await must("POST", "globals/global", { ...config, arpMode: "flood" });
    expect(await send("POST", ...grp("g1", { networkName: "x1" }))).toBe("400 invalid-field networkName");
    await must("POST", ...grp("g1"));
  });

  it("is not deleted while an app profile has it; rules that name it stay", async () => {
    await must("POST", ...grp("g1"));
    await must("POST", ...app1({ endpointGroups: ["g1"] }));
    await must("POST", ...rule({ fromEndpointGroup: "g1" }));
    expect(await send("DELETE", "endpointGroups/t1:g1")).toBe("409 in-use");
    await must("DELETE", "appProfiles/t1:a1");
    await must("DELETE", "endpointGroups/t1:g1");
    const reply = await app.inject({ url: "/api/v1/rules/t1:p1:r1/" });
    expect(reply.json()).toMatchObject({ fromEndpointGroup: "g1", links: { MatchEndpointGroup: {} } });
  });
});

describe("policy (§6.4)", () => {
  it("is created, repeated, and deleted with its rules, however many there are", async () => {
    const policy: [string, Body] = ["policys/t1:p1", { tenantName: "t1", policyName: "p1" }];
    expect(await send("POST", "policys/t9:p1", { tenantName: "t9", policyName: "p1" })).toBe(
      "400 unknown-reference tenantName",
    );
    await must("POST", ...policy);
    await must("POST", ...policy);
    for (let index = 0; index < 250; index += 1) {
      const [, body] = rule({ ruleId: `r${index}` });
      await must("POST", `rules/t1:p1:r${index}`, body);
    }
    await must("DELETE", "policys/t1:p1");
    expect(cluster.view().records("rule").size).toBe(0);
    expect(cluster.view().records("policy").size).toBe(0);
  });
});

describe("rule (§6.5, scenario 63)", () => {
  beforeEach(async () => {
    await must("POST", ...net("n1"));
    await must("POST", ...grp("g1"));
    await must("POST", "policys/t1:p1", { tenantName: "t1", policyName: "p1" });
  });

  const OUT = { direction: "out" };
  it.each<[Body, string]>([
    [{}, "ok"],
    [{ direction: "both" }, "400 invalid-field direction"],
    [{ direction: "" }, "400 missing-field direction"],
    [{ action: "drop" }, "400 invalid-field action"],
    [{ action: "log" }, "ok"],
    [{ action: "log", protocol: "tcp", port: 22, portEnd: 23, fromEndpointGroup: "g1" }, "ok"],
    [{ action: "log", port: 22 }, "400 invalid-field port"],
    [{ action: "log", fromEndpointGroup: "g9" }, "400 unknown-reference fromEndpointGroup"],
    [{ action: "log", toEndpointGroup: "g1" }, "400 invalid-field toEndpointGroup"],
    [{ ...OUT, action: "log", fromIpAddress: "10.1.1.1" }, "400 invalid-field fromIpAddress"],
    [{ action: "log", fromNetwork: "n1", fromIpAddress: "10.1.1.1" }, "400 invalid-field fromNetwork"],
    [{ priority: 0 }, "ok"],
    [{ priority: 100 }, "ok"],
    [{ priority: 101 }, "400 invalid-field priority"],
    [{ priority: -1 }, "400 invalid-field priority"],
    [{ protocol: "tcp", port: 65_535 }, "ok"],
    [{ protocol: "udp", port: 53 }, "ok"],
    [{ protocol: "6", port: 80 }, "ok"],
    [{ protocol: "tcp", port: 65_536 }, "400 invalid-field port"],
    [{ protocol: "icmp" }, "ok"],
    [{ protocol: "icmp", port: 80 }, "400 invalid-field port"],
    [{ port: 80 }, "400 invalid-field port"],
    [{ protocol: "255" }, "ok"],
    [{ protocol: "256" }, "400 invalid-field protocol"],
    [{ protocol: "sctp" }, "400 invalid-field protocol"],
    [{ fromEndpointGroup: "g1" }, "ok"],
    [{ fromEndpointGroup: "g9" }, "400 unknown-reference fromEndpointGroup"],
    [{ fromNetwork: "n1" }, "ok"],
    [{ fromNetwork: "n9" }, "400 unknown-reference fromNetwork"],
    [{ fromEndpointGroup: "g1", fromIpAddress: "10.1.1.1" }, "ok"],
    [{ fromIpAddress: "10.1.1.1/32" }, "ok"],
    [{ fromIpAddress: "10.1.1.10-20" }, "ok"],
    [{ fromIpAddress: "10.1.1.10-20/24" }, "ok"],
    [{ fromIpAddress: "10.1.1.20-10" }, "400 invalid-field fromIpAddress"],
    [{ fromIpAddress: "10.1.1.10-256" }, "400 invalid-field fromIpAddress"],
    [{ fromIpAddress: "10.1.1.0/0" }, "400 invalid-field fromIpAddress"],
    [{ fromIpAddress: "2001:db8::/64" }, "ok"],
    [{ fromIpAddress: "2001:db8::1" }, "ok"],
    [{ fromIpAddress: "2001:db8::/129" }, "400 invalid-field fromIpAddress"],
    [{ fromIpAddress: "web" }, "400 invalid-field fromIpAddress"],
    [{ toEndpointGroup: "g1" }, "400 invalid-field toEndpointGroup"],
    [{ toNetwork: "n1" }, "400 invalid-field toNetwork"],
    [{ ...OUT, toEndpointGroup: "g1" }, "ok"],
    [{ ...OUT, toNetwork: "n1" }, "ok"],
    [{ ...OUT, toIpAddress: "10.9.9.0/24" }, "ok"],
    [{ ...OUT, toEndpointGroup: "g1", toIpAddress: "10.1.1.1" }, "ok"],
    [{ ...OUT, fromEndpointGroup: "g1" }, "400 invalid-field fromEndpointGroup"],
    [{ ...OUT, fromNetwork: "n1" }, "400 invalid-field fromNetwork"],
    [{ ...OUT, fromIpAddress: "10.1.1.1" }, "400 invalid-field fromIpAddress"],
    [{ fromNetwork: "n1", fromIpAddress: "10.1.1.1" }, "400 invalid-field fromNetwork"],
    [{ fromNetwork: "n1", fromEndpointGroup: "g1" }, "400 invalid-field fromNetwork"],
    [{ ...OUT, toNetwork: "n1", toIpAddress: "10.1.1.1" }, "400 invalid-field toNetwork"],
    [{ ...OUT, toNetwork: "n1", toEndpointGroup: "g1" }, "400 invalid-field toNetwork"],
    [{ toIpAddress: "10.1.1.1" }, "400 invalid-field toIpAddress"],
    [{ policyName: "p9" }, "400 key-mismatch key"],
  ])("%j → %s", async (members, expected) => expect(await send("POST", ...rule(members))).toBe(expected));

  it("reports an unknown policy, and an unknown tenant as one", async () => {
    const [, body] = rule({ policyName: "p9" });
    expect(await send("POST", "rules/t1:p9:r1", body)).toBe("400 unknown-reference policyName");
    expect(await send("POST", "rules/t9:p1:r1", { ...body, tenantName: "t9", policyName: "p1" })).toBe(
      "400 unknown-reference policyName",
    );
  });

  it("cannot be changed or doubled", async () => {
    await must("POST", ...rule());
    expect(await send("POST", ...rule())).toBe("409 immutable");
    await must("DELETE", "rules/t1:p1:r1");
    expect(await send("DELETE", "rules/t1:p1:r1")).toBe("404 not-found");
  });

  it("takes an endpoint's own address when one group has the policy", async () => {
    await must("POST", ...grp("g1", { policies: ["p1"] }));
    expect(await send("POST", ...rule({ toIpAddress: "10.1.1.1" }))).toBe("400 invalid-field toIpAddress");
    expect(await endpoint("e1", { ServiceName: "g1" })).toBe("10.1.1.1");
    await must("POST", ...rule({ toIpAddress: "10.1.1.1" }));
    await must("DELETE", "rules/t1:p1:r1");
    await must("POST", ...grp("g2", { policies: ["p1"] }));
    expect(await send("POST", ...rule({ toIpAddress: "10.1.1.1" }))).toBe("400 invalid-field toIpAddress");
  });
});

describe("netprofile (§6.6) and app profile (§6.10), scenario 65", () => {
  it.each<[Body, string]>([
    [{}, "ok"],
    [{ bandwidth: "10kbps" }, "ok"],
    [{ bandwidth: "10 mbps" }, "ok"],
    [{ bandwidth: "10Mbps" }, "ok"],
    [{ bandwidth: "10 gb" }, "ok"],
    [{ bandwidth: "1m" }, "ok"],
    [{ bandwidth: "0mbps" }, "400 invalid-field bandwidth"],
    [{ bandwidth: "10tbps" }, "400 invalid-field bandwidth"],
    [{ bandwidth: "10mBps" }, "400 invalid-field bandwidth"],
    [{ bandwidth: "10  mbps" }, "400 invalid-field bandwidth"],
    [{ DSCP: 63 }, "ok"],
    [{ DSCP: 64 }, "400 invalid-field DSCP"],
    [{ DSCP: -1 }, "400 invalid-field DSCP"],
    [{ burst: 10_486 }, "ok"],
    [{ burst: 10_487 }, "400 invalid-field burst"],
    [{ burst: 1 }, "400 invalid-field burst"],
    [{ tenantName: "t9" }, "400 key-mismatch key"],
  ])("netprofile %j → %s", async (members, expected) => expect(await send("POST", ...profile(members))).toBe(expected));

  it.each(["a:b", "a/b", "a\u0007b", "", "x".repeat(65)])("netprofile name %j is refused", async (profileName) => {
    const reply = await send("POST", `netprofiles/t1:${encodeURIComponent(profileName)}`, {
      tenantName: "t1",
      profileName,
    });
    expect(reply).toMatch(/^400 (invalid|missing)-field profileName$/);
  });

  it("a netprofile may be changed, and has a name with blanks and umlauts", async () => {
    const path = `netprofiles/t1:${encodeURIComponent("ö und ü")}`;
    await must("POST", path, { tenantName: "t1", profileName: "ö und ü", DSCP: 5 });
    await must("POST", path, { tenantName: "t1", profileName: "ö und ü", DSCP: 6 });
    await must("GET", path);
    await must("DELETE", path);
  });

  it("an app profile lists groups that exist, several may share them", async () => {
    await must("POST", ...net("n1"));
    await must("POST", ...grp("g1"));
    await must("POST", ...app1({ endpointGroups: ["g1", "g1"] }));
    expect(cluster.view().records("appProfile").get("t1:a1")?.config.endpointGroups).toEqual(["g1"]);
    expect(await send("POST", ...app1({ endpointGroups: ["g9"] }))).toBe("400 unknown-reference endpointGroups");
    await must("POST", ...app1({ endpointGroups: ["g1"] }));
    await must("POST", "appProfiles/t1:a2", { tenantName: "t1", appProfileName: "a2", endpointGroups: ["g1"] });
    const reply = await app.inject({ url: "/api/v1/endpointGroups/t1:g1/" });
    expect(reply.json().links.AppProfile).toEqual({ type: "appProfile", key: "t1:a1" });
    await must("POST", ...app1({ endpointGroups: [] }));
    expect((await app.inject({ url: "/api/v1/endpointGroups/t1:g1/" })).json().links.AppProfile.key).toBe("t1:a2");
    await must("DELETE", "appProfiles/t1:a2");
    await must("DELETE", "appProfiles/t1:a1");
  });
});

describe("kinds that come later", () => {
  it.each(["aciGws", "Bgps", "extContractsGroups", "serviceLBs", "volumes", "volumeProfiles"])("%s", async (name) => {
    expect((await app.inject({ url: `/api/v1/${name}/` })).body).toBe("[]\n");
    expect(await send("POST", `${name}/x`, {})).toBe("501 unsupported");
    expect(await send("GET", `${name}/x`)).toBe("404 not-found");
    const old = await app.inject({ method: "POST", url: `/api/v1/${name}/x/`, payload: "{}" });
    expect([old.statusCode, old.body]).toEqual([500, `${name} are not supported by this release\n`]);
  });
});
