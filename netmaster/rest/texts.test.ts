import { beforeEach, describe, expect, it } from "vitest";
import { type Body, type ContractWorld, contractWorld, grp, net, profile, rule } from "./testing/contract-world.ts";

let { app, must }: ContractWorld = await contractWorld();

beforeEach(async () => {
  ({ app, must } = await contractWorld());
});

async function problem(method: string, url: string, body?: Body): Promise<Body> {
  const payload = body === undefined ? {} : { payload: JSON.stringify(body) };
  const reply = await app.inject({
    method: method as "GET",
    url,
    headers: { accept: "*/*", "content-type": "application/json" },
    ...payload,
  });
  return reply.json();
}

describe("what errors say", () => {
  it.each<[string, [string, Body], string]>([
    ["a reversed range", net("a", { subnet: "10.1.1.9-10.1.1.1/24" }), "ends before it begins: "],
    ["a text like nothing", net("a", { subnet: "x" }), 'not "x"'],
    ["a fraction", net("a", { pktTag: 1.5 }), "pktTag must be a whole number, not 1.5"],
    ["one address", net("a", { subnet: "10.1.1.1/32" }), "subnet must have a length of 8 to 31"],
    ["a VNI", net("a", { encap: "vxlan", pktTag: 16_777_216 }), "pktTag must be at most 16777215, not 16777216"],
    ["a large VNI", net("a", { encap: "vxlan", pktTag: 99_999_999 }), "pktTag must be at most 16777215, not 99999999"],
    ["a burst of 1", profile({ burst: 1 }), "burst must not be 1: one kilobyte is less than a frame"],
    [
      "a name",
      ["tenants/a_b", { tenantName: "a_b" }],
      "tenantName may hold letters, digits, hyphens and dots, and each",
    ],
    ["a name's value", ["tenants/a_b", { tenantName: "a_b" }], 'begin and end with a letter or digit: "a_b"'],
    [
      "a physical network",
      net("a", { physicalNetwork: "a_b" }),
      "physicalNetwork may hold letters, digits and hyphens",
    ],
    ["a profile's name", profile({ profileName: "a:b" }), 'profileName may hold anything but ":", "/" and control'],
    ["a protocol", rule({ protocol: "tcpp" }), 'protocol must be tcp, udp, icmp or a number from 0 to 255, not "tcpp"'],
    [
      "a bandwidth",
      profile({ bandwidth: "10" }),
      "bandwidth must be a whole number with its unit (kbps, mbps or gbps)",
    ],
    ["a gateway", net("a", { gateway: "10.1" }), 'gateway must be an IPv4 address like 10.1.1.254, not "10.1"'],
    [
      "multicast",
      net("a", { subnet: "224.0.0.0/24" }),
      "224.0.0.0/24 lies in 224.0.0.0/4, which is reserved for multicast",
    ],
    ["loopback", net("a", { subnet: "126.0.0.0-127.0.0.9/8" }), "subnet has a range that leaves the subnet"],
    [
      "a broadcast gateway",
      net("a", { gateway: "10.1.1.255" }),
      "is the broadcast address of 10.1.1.0/24; choose one of",
    ],
    ["VLANs", ["globals/global", { vlans: "1-5000" }], "vlans has the range 1-5000, which is not within 1-4094"],
    ["VNIs", ["globals/global", { vxlans: "0-10" }], "vxlans has the range 0-10, which is not within 1-16777215"],
    [
      "a fabric",
      ["globals/global", { networkInfraType: "aci" }],
      'networkInfraType "aci" is not supported by this release',
    ],
    ["a port of any protocol", rule({ port: 5 }), "port 5 needs the protocol tcp or udp, not any protocol"],
  ])("%s", async (_, [path, body], text) => {
    const { detail } = await problem("POST", `/api/v1/${path}/`, body);
    expect(detail).toContain(text);
  });

  it("what is taken names its holder", async () => {
    const detailOf = async ([path, body]: [string, Body]) => (await problem("POST", `/api/v1/${path}/`, body)).detail;
    await must("POST", ...net("n1", { pktTag: 150, gateway: "10.1.1.254" }));
    await must("POST", ...grp("g1", { ipPool: "10.1.1.10-10.1.1.20" }));
    expect(await detailOf(net("n2", { pktTag: 150, subnet: "10.2.0.0/16" }))).toBe(
      "pktTag: VLAN 150 is taken by network t1:n1; leave pktTag out to get the lowest free one",
    );
    expect(await detailOf(["globals/global", { vlans: "1-149" }])).toBe(
      "vlans: VLAN 150 of network t1:n1 is in use and outside 1-149",
    );
    expect(await detailOf(grp("g2", { ipPool: "10.1.1.20-10.1.1.30" }))).toBe(
      "ipPool: 10.1.1.20-10.1.1.30 overlaps the pool 10.1.1.10-10.1.1.20 of endpoint group t1:g1",
    );
    expect(await detailOf(grp("g2", { ipPool: "10.1.1.250-10.1.1.254" }))).toBe(
      "ipPool: 10.1.1.250-10.1.1.254 holds 10.1.1.254, the gateway of network t1:n1",
    );
    const endpoint = { TenantName: "t1", NetworkName: "n1", EndpointID: "e1", ConfigEP: { Host: "h1" } };
    await app.inject({ method: "POST", url: "/plugin/createEndpoint", payload: endpoint });
    expect(await detailOf(grp("g2", { ipPool: "10.1.1.1-10.1.1.5" }))).toMatch(
      /^ipPool: 10\.1\.1\.1-10\.1\.1\.5 holds an address that is taken in network t1:n1 by endpoint t1:n1:e1 on node h1$/,
    );
  });

  it("a key with control characters is shown, and does not end the text", async () => {
    const { detail } = await problem("GET", "/api/v1/tenants/a%0d%0ab%00/");
    expect(detail).toBe("tenant a\\u000d\\u000ab\\u0000 does not exist");
  });

  it.each([
    ["GET", "/api/v1/nothing/", "Route does not exist"],
    ["PUT", "/api/v1/tenants/", "Method is not offered"],
  ])("%s %s has the title %j", async (method, url, title) =>
    expect(await problem(method, url)).toMatchObject({ title }),
  );

  it.each(["dryrun", "dry_run", "DryRun", "dry-run"])("?%s=true is refused, not ignored", async (name) => {
    const answer = await problem("POST", `/api/v1/tenants/t2/?${name}=true`, { tenantName: "t2" });
    expect(answer).toMatchObject({
      status: 400,
      field: name,
      detail: `${name} is unknown; the parameter is called dryRun`,
    });
  });

  it.each<[Body, string]>([
    [{ NetworkName: "n9" }, "NetworkName: network t1:n9 does not exist; create it first"],
    [{ ServiceName: "g9" }, "ServiceName: endpoint group t1:g9 does not exist; create it first"],
    [{ ConfigEP: { Host: "h1", IPAddress: "10.9.9.9" } }, "ConfigEP.IPAddress 10.9.9.9 is not an address that"],
  ])("a plugin call names its own members: %j", async (members, text) => {
    await must("POST", ...net("n1"));
    const body = { TenantName: "t1", NetworkName: "n1", EndpointID: "e", ConfigEP: { Host: "h1" }, ...members };
    const { detail, field } = await problem("POST", "/plugin/createEndpoint", body);
    expect(String(detail).startsWith(text)).toBe(true);
    expect(text.startsWith(String(field))).toBe(true);
  });

  it("a group without traffic has no hits", async () => {
    await must("POST", ...net("n1"));
    await must("POST", ...grp("web"));
    const reply = await app.inject({ url: "/api/v1/inspect/endpointGroups/t1:web/" });
    expect(reply.json().Oper).not.toHaveProperty("hits");
  });
});
