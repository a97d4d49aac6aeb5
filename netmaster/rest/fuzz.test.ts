import fc from "fast-check";
import type { InjectOptions } from "fastify";
import { expect, it } from "vitest";
import { NodeRegistration } from "../../state/kinds/node.ts";
import { registerNode } from "../intents/node.ts";
import { createRestApp } from "./app.ts";
import type { Route } from "./call.ts";
import { COLLECTIONS } from "./collections.ts";
import { ROUTES } from "./routes.ts";
import { fakeCluster } from "./testing/fake-cluster.ts";

const word = fc.constantFrom(
  "t1",
  "default",
  "n1",
  "g1",
  "p1",
  "r1",
  "np",
  "a1",
  "e1",
  "global",
  "a_b",
  "",
  "é",
  "__proto__",
  "x".repeat(70),
);
const scalar = fc.oneof(
  word,
  fc.constantFrom<unknown>(null, true, 0, -1, 1.5, 1e308, 70_000, 16_777_217),
  fc.constantFrom(
    "10.1.1.0/24",
    "10.1.1.1-9",
    "10.1.1.10-10.1.1.20",
    "10.1.1.254",
    "2001:db8::/64",
    "2001:db8::1",
    "1-4094",
    "9-1",
    "10Mbps",
  ),
  fc.constantFrom("vlan", "vxlan", "in", "out", "allow", "deny", "tcp", "start", "die", "n1.t1", "n1:g1.t1"),
  fc.string({ maxLength: 20 }),
);
const value: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 6, arbitrary: scalar },
  fc.array(scalar, { maxLength: 3 }),
  fc.dictionary(word, scalar, { maxKeys: 3 }),
);
const field = fc.constantFrom(
  "tenantName",
  "networkName",
  "groupName",
  "policyName",
  "ruleId",
  "profileName",
  "appProfileName",
  "encap",
  "subnet",
  "gateway",
  "ipv6Subnet",
  "ipv6Gateway",
  "pktTag",
  "ipPool",
  "policies",
  "netProfile",
  "cfgdTag",
  "direction",
  "action",
  "priority",
  "protocol",
  "port",
  "fromEndpointGroup",
  "toEndpointGroup",
  "fromNetwork",
  "toNetwork",
  "fromIpAddress",
  "toIpAddress",
  "bandwidth",
  "DSCP",
  "burst",
  "endpointGroups",
  "name",
  "vlans",
  "vxlans",
  "fwdMode",
  "arpMode",
  "pvtSubnet",
  "TenantName",
  "NetworkName",
  "ServiceName",
  "EndpointID",
  "ConfigEP",
  "NetworkID",
  "AddressPool",
  "PreferredIPv4Address",
  "IPv4Address",
  "Tenant",
  "Network",
  "Event",
  "Labels",
  "__proto__",
  "links",
);
const plausible = {
  tenantName: "t1",
  networkName: "n1",
  groupName: "g1",
  policyName: "p1",
  ruleId: "r1",
  profileName: "np",
  appProfileName: "a1",
  encap: "vlan",
  subnet: "10.1.1.0/24",
  direction: "in",
  action: "allow",
  TenantName: "t1",
  NetworkName: "n1",
  EndpointID: "e1",
  ConfigEP: { Host: "h1" },
  Tenant: "t1",
  Network: "n1",
  Event: "start",
};
/** Bodies for a route: mostly plausible ones with some of its own members replaced. */
function bodyFor(route: Route): fc.Arbitrary<string | undefined> {
  const collection = COLLECTIONS.find(({ name }) => name === route.path.split("/")[3]);
  const own = Object.keys(collection?.writes?.schema.shape ?? {});
  const ownField = own.length === 0 ? field : fc.constantFrom(...own);
  const near = fc.dictionary(ownField, value, { maxKeys: 3 });
  return fc.oneof(
    { weight: 8, arbitrary: near.map((given) => JSON.stringify({ ...plausible, ...given })) },
    { weight: 1, arbitrary: fc.dictionary(field, value, { maxKeys: 8 }).map((given) => JSON.stringify(given)) },
    { weight: 1, arbitrary: fc.oneof(fc.json(), fc.string(), fc.constant(undefined)) },
  );
}
const KEYS = [
  "t1",
  "t1:n1",
  "t1:g1",
  "t1:p1",
  "t1:p1:r1",
  "t1:np",
  "t1:a1",
  "global",
  "default",
  "e1",
  "t1:n1:e1",
  "h1",
  "%2e%2e",
  "%00",
  "%zz",
  ":",
  "a%2Fb",
];
/** The key that the plausible body makes. */
const OWN_KEYS: Readonly<Record<string, string>> = {
  tenants: "t1",
  networks: "t1:n1",
  endpointGroups: "t1:g1",
  policys: "t1:p1",
  rules: "t1:p1:r1",
  netprofiles: "t1:np",
  appProfiles: "t1:a1",
  globals: "global",
};
/** Things that stand before the storm. */
const WORLD: readonly (readonly [string, object])[] = [
  ["/api/v1/tenants/t1", { tenantName: "t1" }],
  [
    "/api/v1/networks/t1:n1",
    { tenantName: "t1", networkName: "n1", encap: "vlan", subnet: "10.1.1.0/24", gateway: "10.1.1.254" },
  ],
  ["/api/v1/policys/t1:p1", { tenantName: "t1", policyName: "p1" }],
  ["/api/v1/endpointGroups/t1:g1", { tenantName: "t1", groupName: "g1", networkName: "n1", policies: ["p1"] }],
];
const query = fc.constantFrom(
  "",
  "?dryRun=true",
  "?dryRun=x",
  "?limit=2",
  "?limit=-1",
  "?continue=abc",
  "?limit=1&limit=2",
  "?revision=1",
  "?%zz=1",
);
const accept = fc.constantFrom("*/*", "", "text/html");
const contentType = fc.constantFrom("application/json", "application/json", "text/plain", ";;;", "");
const guards = {
  "if-match": fc.constantFrom("*", '"1"', '"x"', "", "1"),
  "if-none-match": fc.constantFrom("*", '"1"'),
};
const headers = fc.oneof(
  { weight: 6, arbitrary: fc.record({ accept, "content-type": contentType }, { requiredKeys: ["content-type"] }) },
  { weight: 1, arbitrary: fc.record({ accept, "content-type": contentType, ...guards }, { requiredKeys: [] }) },
);
const strangeMethod = fc.constantFrom("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS");
const writeRoutes = ROUTES.filter(({ isWrite }) => isWrite === true);
const anyRoute = fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...writeRoutes) }, fc.constantFrom(...ROUTES));
const request: fc.Arbitrary<InjectOptions> = anyRoute.chain((route) =>
  fc
    .record({
      key: fc.option(fc.constantFrom(...KEYS), { freq: 1 }),
      method: fc.option(strangeMethod, { freq: 1 }),
      asked: fc.oneof({ weight: 3, arbitrary: fc.constant("") }, query),
      payload: bodyFor(route),
      sent: headers,
    })
    .map(({ key, method, asked, payload, sent }) => {
      const own = OWN_KEYS[route.path.split("/")[3] ?? ""] ?? "e1";
      const url = `${route.path.replace(/:[a-zA-Z]+/g, key ?? own)}/${asked}`;
      const bodied = payload === undefined ? {} : { payload };
      return { method: method ?? route.method, url, headers: sent, ...bodied } as InjectOptions;
    }),
);

it("answers any request clearly: no defect, one line, one of the two dialects", { timeout: 60_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(request, { minLength: 1, maxLength: 60, size: "max" }), async (requests) => {
      const cluster = fakeCluster();
      const capabilities = {
        datapathType: "netdev",
        ovsVersion: "3",
        kernelRelease: "6",
        ingressPolicing: true,
        tbf: true,
        ifbRedirect: true,
        meters: true,
        conntrack: true,
      };
      const node = {
        name: "h1",
        vtepIp: "192.0.2.1",
        underlayMtuBytes: 1500,
        routerMac: "02:03:00:00:00:01",
        bootId: "b",
        version: "1",
        capabilities,
      };
      cluster.run(registerNode, NodeRegistration.parse(node));
      const app = createRestApp(cluster);
      for (const [url, payload] of WORLD) await app.inject({ method: "POST", url, payload });
      for (const one of requests) {
        const reply = await app.inject(one);
        const defects = cluster.audits.filter((record) => Reflect.get(record, "msg") !== "audit");
        expect(defects).toEqual([]);
        if (reply.statusCode === 200 || one.method === "HEAD") continue;
        if (one.headers?.accept === undefined) {
          expect([404, 500]).toContain(reply.statusCode);
          expect(reply.body).toMatch(/^[^\n\r]{3,}\n$/);
        } else {
          expect([400, 404, 405, 409, 412, 501]).toContain(reply.statusCode);
          expect(reply.json().detail.length).toBeGreaterThan(3);
        }
      }
    }),
    { numRuns: 100 },
  );
});
