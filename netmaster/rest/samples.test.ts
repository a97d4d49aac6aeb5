import { describe, expect, it } from "vitest";
import { createRestApp } from "./app.ts";
import { type FakeCluster, fakeCluster } from "./testing/fake-cluster.ts";

/** Calls in order; returns the raw body of the last one. */
async function lastBody(
  calls: readonly (readonly [string, string, object?])[],
  cluster: FakeCluster = fakeCluster(),
): Promise<string> {
  const app = createRestApp(cluster);
  let last = "";
  for (const [method, url, body] of calls) {
    const reply = await app.inject({
      method: method as "GET",
      url,
      ...(body === undefined ? {} : { payload: JSON.stringify(body), headers: { "content-type": "application/json" } }),
    });
    if (reply.statusCode !== 200) throw new Error(`${method} ${url}: ${reply.statusCode} ${reply.body}`);
    expect(reply.headers["content-type"]).toBe("application/json");
    last = reply.body;
  }
  return last;
}

const POST = "POST";
const T1 = [POST, "/api/v1/tenants/t1/", { tenantName: "t1" }] as const;
const NET1 = [
  POST,
  "/api/v1/networks/t1:net1/",
  { tenantName: "t1", networkName: "net1", encap: "vlan", subnet: "10.1.1.0/24", gateway: "10.1.1.254" },
] as const;
const VX6 = [
  POST,
  "/api/v1/networks/t1:vx6/",
  {
    tenantName: "t1",
    networkName: "vx6",
    encap: "vxlan",
    pktTag: 2000,
    subnet: "20.1.2.0/24",
    gateway: "20.1.2.254",
    ipv6Subnet: "2001:db8::/100",
    ipv6Gateway: "2001:db8::1",
  },
] as const;
const P1 = [POST, "/api/v1/policys/t1:p1/", { tenantName: "t1", policyName: "p1" }] as const;
const G1 = [POST, "/api/v1/endpointGroups/t1:g1/", { tenantName: "t1", groupName: "g1", networkName: "net1" }] as const;
const G4 = [
  POST,
  "/api/v1/endpointGroups/t1:g4/",
  { tenantName: "t1", groupName: "g4", networkName: "net1", ipPool: "10.1.1.10-10.1.1.20" },
] as const;
const NP1 = [
  POST,
  "/api/v1/netprofiles/t1:np1/",
  { tenantName: "t1", profileName: "np1", bandwidth: "10Mbps", DSCP: 10, burst: 1500 },
] as const;
const EP1 = [
  POST,
  "/plugin/createEndpoint",
  {
    TenantName: "t1",
    NetworkName: "net1",
    ServiceName: "g4",
    EndpointID: "ep1",
    EPCommonName: "pod1",
    ConfigEP: { Container: "ep1", Host: "h1", ServiceName: "g4" },
  },
] as const;
const ALLOC_G4 = [POST, "/plugin/allocAddress", { NetworkID: "net1:g4.t1" }] as const;

/** Groups named so that the next one gets a certain id. */
function group(name: string, network = "net1") {
  return [
    POST,
    `/api/v1/endpointGroups/t1:${name}/`,
    { tenantName: "t1", groupName: name, networkName: network },
  ] as const;
}

/** The samples of contract §14, byte for byte. */
describe("contract samples", () => {
  it("tenant", async () => {
    expect(await lastBody([T1])).toBe('{"key":"t1","tenantName":"t1","link-sets":{}}\n');
  });

  it("network, VLAN, automatic tag", async () => {
    expect(await lastBody([T1, NET1])).toBe(
      '{"key":"t1:net1","encap":"vlan","gateway":"10.1.1.254","networkName":"net1","nwType":"data","subnet":"10.1.1.0/24","tenantName":"t1","link-sets":{},"links":{"Tenant":{"type":"tenant","key":"t1"}}}\n',
    );
  });

  it("network, VXLAN with IPv6", async () => {
    expect(await lastBody([T1, VX6])).toBe(
      '{"key":"t1:vx6","encap":"vxlan","gateway":"20.1.2.254","ipv6Gateway":"2001:db8::1","ipv6Subnet":"2001:db8::/100","networkName":"vx6","nwType":"data","pktTag":2000,"subnet":"20.1.2.0/24","tenantName":"t1","link-sets":{},"links":{"Tenant":{"type":"tenant","key":"t1"}}}\n',
    );
  });

  it("policy", async () => {
    expect(await lastBody([T1, P1])).toBe(
      '{"key":"t1:p1","policyName":"p1","tenantName":"t1","link-sets":{},"links":{"Tenant":{"type":"tenant","key":"t1"}}}\n',
    );
  });

  const rule = {
    tenantName: "t1",
    policyName: "p1",
    ruleId: "20",
    priority: 1,
    direction: "in",
    protocol: "tcp",
    port: 443,
    action: "allow",
  };

  it("rule", async () => {
    const body = { ...rule, fromEndpointGroup: "g1" };
    expect(await lastBody([T1, NET1, G1, P1, [POST, "/api/v1/rules/t1:p1:20/", body]])).toBe(
      '{"key":"t1:p1:20","action":"allow","direction":"in","fromEndpointGroup":"g1","policyName":"p1","port":443,"priority":1,"protocol":"tcp","ruleId":"20","tenantName":"t1","link-sets":{"Policies":{"t1:p1":{"type":"policy","key":"t1:p1"}}},"links":{"MatchEndpointGroup":{"type":"endpointGroup","key":"t1:g1"}}}\n',
    );
  });

  it("rule without a group", async () => {
    expect(await lastBody([T1, P1, [POST, "/api/v1/rules/t1:p1:20/", rule]])).toContain(
      '"links":{"MatchEndpointGroup":{}}}\n',
    );
  });

  it("endpointGroup with policy and netprofile, as netctl sends it", async () => {
    const body = {
      groupName: "cg",
      netProfile: "cnp",
      networkName: "cn",
      policies: ["cp"],
      tenantName: "ct",
      "link-sets": {},
      links: { AppProfile: {}, NetProfile: {}, Network: {}, Tenant: {} },
    };
    const calls = [
      [POST, "/api/v1/tenants/ct/", { tenantName: "ct" }],
      [POST, "/api/v1/networks/ct:cn/", { tenantName: "ct", networkName: "cn", encap: "vlan", subnet: "10.1.1.0/24" }],
      [POST, "/api/v1/policys/ct:cp/", { tenantName: "ct", policyName: "cp" }],
      [POST, "/api/v1/netprofiles/ct:cnp/", { tenantName: "ct", profileName: "cnp" }],
      [POST, "/api/v1/endpointGroups/ct:cg/", body],
    ] as const;
    expect(await lastBody(calls)).toBe(
      '{"key":"ct:cg","groupName":"cg","netProfile":"cnp","networkName":"cn","policies":["cp"],"tenantName":"ct","link-sets":{"Policies":{"ct:cp":{"type":"policy","key":"ct:cp"}}},"links":{"AppProfile":{},"NetProfile":{"type":"netprofile","key":"ct:cnp"},"Network":{"type":"network","key":"ct:cn"},"Tenant":{"type":"tenant","key":"ct"}}}\n',
    );
  });

  it("netprofile", async () => {
    expect(await lastBody([T1, NP1])).toBe(
      '{"key":"t1:np1","DSCP":10,"bandwidth":"10Mbps","burst":1500,"profileName":"np1","tenantName":"t1","link-sets":{},"links":{"Tenant":{"type":"tenant","key":"t1"}}}\n',
    );
  });

  it("global", async () => {
    const body = {
      key: "global",
      name: "global",
      arpMode: "proxy",
      fwdMode: "bridge",
      networkInfraType: "default",
      pvtSubnet: "172.19.0.0/16",
      vlans: "100-200",
      vxlans: "1-10000",
    };
    expect(await lastBody([[POST, "/api/v1/globals/global/", body]])).toBe(
      `${JSON.stringify(body).replace('"name":"global",', "").replace('"networkInfraType"', '"name":"global","networkInfraType"')}\n`,
    );
  });

  it("appProfile", async () => {
    const body = { tenantName: "t1", appProfileName: "app1", endpointGroups: ["g2"] };
    expect(await lastBody([T1, NET1, group("g2"), [POST, "/api/v1/appProfiles/t1:app1/", body]])).toBe(
      '{"key":"t1:app1","appProfileName":"app1","endpointGroups":["g2"],"tenantName":"t1","link-sets":{"EndpointGroups":{"t1:g2":{"type":"endpointGroup","key":"t1:g2"}}},"links":{"Tenant":{"type":"tenant","key":"t1"}}}\n',
    );
  });

  it("list", async () => {
    const t2 = [POST, "/api/v1/tenants/t2/", { tenantName: "t2" }] as const;
    expect(await lastBody([t2, T1, ["GET", "/api/v1/tenants/"]])).toBe(
      '[{"key":"default","tenantName":"default","link-sets":{}},{"key":"t1","tenantName":"t1","link-sets":{}},{"key":"t2","tenantName":"t2","link-sets":{}}]\n',
    );
  });

  it("delete", async () => {
    expect(await lastBody([T1, NET1, ["DELETE", "/api/v1/networks/t1:net1/"]])).toBe('"t1:net1"\n');
  });

  it("inspect network", async () => {
    const v6 = {
      tenantName: "t1",
      networkName: "v6",
      encap: "vlan",
      subnet: "30.1.1.0/24",
      gateway: "30.1.1.254",
      ipv6Subnet: "2001:db8::/100",
      ipv6Gateway: "2001:db8::1",
    };
    const other = (name: string, octet: number) =>
      [
        POST,
        `/api/v1/networks/t1:${name}/`,
        { tenantName: "t1", networkName: name, encap: "vlan", subnet: `10.9.${octet}.0/24` },
      ] as const;
    const ep2 = { TenantName: "t1", NetworkName: "v6", EndpointID: "ep2", ConfigEP: { Container: "ep2", Host: "h1" } };
    const calls = [
      T1,
      other("a", 1),
      other("b", 2),
      [POST, "/api/v1/networks/t1:v6/", v6],
      [POST, "/plugin/createEndpoint", ep2],
      ["GET", "/api/v1/inspect/networks/t1:v6/"],
    ] as const;
    expect(await lastBody(calls)).toBe(
      '{"Config":{"key":"t1:v6","encap":"vlan","gateway":"30.1.1.254","ipv6Gateway":"2001:db8::1","ipv6Subnet":"2001:db8::/100","networkName":"v6","nwType":"data","subnet":"30.1.1.0/24","tenantName":"t1","link-sets":{},"links":{"Tenant":{"type":"tenant","key":"t1"}}},' +
        '"Oper":{"allocatedAddressesCount":2,"allocatedIPAddresses":"30.1.1.1, 30.1.1.254","availableIPAddresses":"30.1.1.2-30.1.1.253","endpoints":[{"endpointID":"ep2","homingHost":"h1","ipAddress":["30.1.1.1","2001:db8::2"],"labels":"map[]","macAddress":"02:02:1e:01:01:01","network":"v6.t1"}],"networkTag":"v6.t1","numEndpoints":1,"pktTag":3}}\n',
    );
  });

  it("inspect a fresh VLAN network with a gateway, and a VXLAN one", async () => {
    expect(await lastBody([T1, NET1, ["GET", "/api/v1/inspect/networks/t1:net1/"]])).toContain(
      '"Oper":{"allocatedIPAddresses":"10.1.1.254","availableIPAddresses":"10.1.1.1-10.1.1.253","networkTag":"net1.t1","pktTag":1}}\n',
    );
    expect(await lastBody([T1, VX6, ["GET", "/api/v1/inspect/networks/t1:vx6/"]])).toContain('"externalPktTag":2000,');
  });

  const groups = [T1, NET1, group("g1"), group("g2"), group("g3"), G4, ALLOC_G4, EP1] as const;

  it("inspect group", async () => {
    expect(await lastBody([...groups, ["GET", "/api/v1/inspect/endpointGroups/t1:g4/"]])).toBe(
      '{"Config":{"key":"t1:g4","groupName":"g4","ipPool":"10.1.1.10-10.1.1.20","networkName":"net1","tenantName":"t1","link-sets":{},"links":{"AppProfile":{},"NetProfile":{},"Network":{"type":"network","key":"t1:net1"},"Tenant":{"type":"tenant","key":"t1"}}},' +
        '"Oper":{"allocatedIPAddresses":"10.1.1.10-10.1.1.11","availableIPAddresses":"10.1.1.12-10.1.1.20","endpoints":[{"containerName":"pod1","endpointGroupId":4,"endpointGroupKey":"g4:t1","endpointID":"ep1","homingHost":"h1","ipAddress":["10.1.1.11",""],"labels":"map[]","macAddress":"02:02:0a:01:01:0b","network":"net1.t1","serviceName":"g4"}],"groupTag":"g4.t1","numEndpoints":1,"pktTag":1}}\n',
    );
  });

  it("inspect endpoint", async () => {
    expect(await lastBody([...groups, ["GET", "/api/v1/inspect/endpoints/pod1/"]])).toBe(
      '{"Oper":{"key":"pod1","containerName":"pod1","endpointGroupId":4,"endpointGroupKey":"g4:t1","endpointID":"ep1","homingHost":"h1","ipAddress":["10.1.1.11",""],"labels":"map[]","macAddress":"02:02:0a:01:01:0b","network":"net1.t1","serviceName":"g4"}}\n',
    );
  });

  it("inspect global", async () => {
    const vlan = (tag: number) =>
      [
        POST,
        `/api/v1/networks/t1:v${tag}/`,
        {
          tenantName: "t1",
          networkName: `v${tag}`,
          encap: "vlan",
          pktTag: tag,
          subnet: `10.${tag % 256}.${tag >> 8}.0/24`,
        },
      ] as const;
    const vxlan = (tag: number) =>
      [
        POST,
        `/api/v1/networks/t1:x${tag}/`,
        {
          tenantName: "t1",
          networkName: `x${tag}`,
          encap: "vxlan",
          pktTag: tag,
          subnet: `20.${tag % 256}.${tag >> 8}.0/24`,
        },
      ] as const;
    const networks = [...[1, 2, 3, 4, 5, 6, 7, 8, 9, 300].map(vlan), vxlan(1), vxlan(2000)];
    expect(await lastBody([T1, ...networks, ["GET", "/api/v1/inspect/globals/global/"]])).toBe(
      '{"Config":{"key":"global","arpMode":"proxy","fwdMode":"bridge","name":"global","networkInfraType":"default","pvtSubnet":"172.19.0.0/16","vlans":"1-4094","vxlans":"1-10000"},' +
        '"Oper":{"clusterMode":"test","numNetworks":12,"vlansInUse":"1-9, 300","vxlansInUse":"1, 2000"}}\n',
    );
  });

  it("createEndpoint", async () => {
    expect(await lastBody(groups)).toBe(
      '{"EndpointConfig":{"id":"net1.t1-ep1","netID":"net1.t1","endpointID":"ep1","serviceName":"g4","endpointGroupId":4,"endpointGroupKey":"g4:t1","ipAddress":"10.1.1.11","ipv6Address":"","macAddress":"02:02:0a:01:01:0b","homingHost":"h1","intfName":"","vtepIP":"","labels":null,"containerId":"","epCommonName":"pod1"}}\n',
    );
  });
});
