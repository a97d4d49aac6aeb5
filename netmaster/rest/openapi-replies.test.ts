import { Ajv2020, type AnySchema } from "ajv/dist/2020.js";
import { beforeAll, describe, expect, it } from "vitest";
import { NodeRegistration } from "../../state/kinds/node.ts";
import type { HitReport } from "../../state/node-api.ts";
import { registerNode } from "../intents/node.ts";
import type { Schema } from "./openapi/schema.ts";
import { app1, type ContractWorld, contractWorld, grp, net, profile, rule } from "./testing/contract-world.ts";
import { DOCUMENT } from "./testing/openapi-document.ts";

const ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: false });
ajv.addSchema({ $id: "document", ...DOCUMENT } as AnySchema);

const COUNTS = { bitPerSecond: 1, totalBytes: 2, droppedPackets: 3, backlogBytes: 4, mechanism: "meter" };
const CEILING = { ...COUNTS, rateBitPerSecond: 1e9, burstBits: 1e9, droppedBytes: 5 };

let world: ContractWorld;

/** One of everything, with all that nodes can tell. */
beforeAll(async () => {
  world = await contractWorld();
  const { cluster, must, endpoint } = world;
  const capabilities = {
    ...{ datapathType: "netdev", ovsVersion: "3.1", kernelRelease: "6.1", ingressPolicing: true },
    ...{ tbf: true, ifbRedirect: true, meters: true, conntrack: true },
  };
  const where = { vtepIp: "192.0.2.1", underlayMtuBytes: 1_500, routerMac: "02:03:00:00:00:01" };
  const physicalNetworks = { default: "eth1" };
  const node = { name: "h1", ...where, bootId: "b", version: "1", capabilities, physicalNetworks };
  cluster.run(registerNode, NodeRegistration.parse(node));
  await must("POST", ...net("n1", { gateway: "10.1.1.254", ipv6Subnet: "2001:db8::/64", mtuBytes: 1_400 }));
  await must("POST", ...net("n2", { encap: "vxlan", subnet: "10.2.1.0/24" }));
  await must("POST", "policys/t1:p1", { tenantName: "t1", policyName: "p1" });
  await must("POST", ...profile({ bandwidth: "10mbps", DSCP: 10, egressMode: "police", strict: true }));
  const limits = { ingressCeiling: "1g", egressCeiling: "1g", egressCeilingBurst: 5_000 };
  await must("PATCH", "tenants/t1", limits);
  const members = { policies: ["p1"], netProfile: "np", ipPool: "10.1.1.10-10.1.1.20", ...limits };
  await must("POST", ...grp("g1", members));
  await must("POST", ...rule({ protocol: "tcp", port: 80, portEnd: 90, fromEndpointGroup: "g1", action: "log" }));
  await must("POST", ...app1({ endpointGroups: ["g1"] }));
  for (const id of ["e1", "e2"]) await endpoint(id, { ServiceName: "g1", EPCommonName: id, ConfigEP: { Host: "h1" } });
  tell();
});

function tell(): void {
  const { receipts, measured, ceilings, hits } = world.cluster;
  const failures = { "rule/t1:p1:r1": "no meters" };
  receipts.set("h1", {
    ...{ enforcedRevision: "2", enforcedAt: "2026-01-01T00:00:00.000Z", endpointCount: 1, flowCount: 2 },
    ...{ failures, failureCounts: { rule: 1 } },
  });
  const key = "t1:n1:e1";
  const both = {
    overMs: 10_000,
    podIngress: COUNTS,
    podEgress: COUNTS,
    droppedNewConnections: 1,
    droppedNeighbourMessages: 1,
    complaint: "c",
  };
  measured.set(key, { key, ...both });
  const ceiling = { overMs: 10_000, podIngress: CEILING, podEgress: CEILING, complaint: "c" };
  ceilings.set("h1 t1:g1", { kind: "endpointGroup", key: "t1:g1", ...ceiling });
  ceilings.set("h1 t1", { kind: "tenant", key: "t1", ...ceiling });
  const atMs = Date.parse("2026-01-01T00:00:00Z");
  const rules: HitReport["rules"] = { "t1:p1:r1": [1, 2, atMs] };
  const endpoints: HitReport["endpoints"] = { [key]: [1, 2, 3, 4, atMs] };
  hits.note(world.cluster.view(), "h1", { session: "s", sequence: 1, rules, endpoints });
}

function resolved(schema: Schema): Schema {
  const name = typeof schema.$ref === "string" ? schema.$ref.split("/").at(-1) : undefined;
  return name === undefined ? schema : (DOCUMENT.components.schemas[name] ?? {});
}

/** All forms that a schema allows. */
function forms(schema: Schema): readonly Schema[] {
  const found = resolved(schema);
  const parts = [...((found.allOf ?? []) as Schema[]), ...((found.anyOf ?? []) as Schema[])];
  return [found, ...parts.flatMap(forms)];
}

/** Places of members that the schema does not tell of. */
function untold(value: unknown, schema: Schema, path: string): readonly string[] {
  const isOpen = Object.keys(schema).length === 0;
  if (isOpen || typeof value !== "object" || value === null) return [];
  const all = forms(schema);
  if (Array.isArray(value)) {
    const [items = {}] = all.flatMap((form) => (form.items === undefined ? [] : [form.items as Schema]));
    return value.flatMap((item, index) => untold(item, items, `${path}.${index}`));
  }
  return Object.entries(value).flatMap(([name, member]) => {
    const told = all.map(({ properties, additionalProperties }): Schema | undefined => {
      const own = (properties as Readonly<Record<string, Schema>> | undefined)?.[name];
      return own ?? (additionalProperties as Schema | undefined);
    });
    const first = told.find((each) => each !== undefined);
    return first === undefined ? [`${path}.${name}`] : untold(member, first, `${path}.${name}`);
  });
}

interface Request {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly path: string;
  readonly url: string;
  readonly body?: object;
}

/** What of a reply the document does not say. */
async function differences({ method, path, url, body }: Request): Promise<readonly string[]> {
  const headers = { accept: "*/*", "content-type": "application/json" };
  const payload = body === undefined ? {} : { payload: JSON.stringify(body) };
  const reply = await world.app.inject({ method, url, headers, ...payload });
  const { responses } = DOCUMENT.paths[path]?.[method.toLowerCase()] ?? {};
  const told = responses?.[reply.statusCode] ?? { content: {} };
  const mediaType = String(reply.headers["content-type"]).split(";", 1)[0] ?? "";
  const schema = resolvedResponse(told).content?.[mediaType]?.schema;
  if (schema === undefined) return [`${reply.statusCode} ${mediaType} is not told of: ${reply.body}`];
  const value = mediaType === "text/plain" ? reply.body : reply.json();
  const validate = ajv.compile(JSON.parse(JSON.stringify(schema).replaceAll('"#/', '"document#/')));
  if (!validate(value)) return [ajv.errorsText(validate.errors), reply.body];
  return untold(value, schema, "");
}

type Response = (typeof DOCUMENT)["paths"][string][string]["responses"][string];

function resolvedResponse(response: Response & { readonly $ref?: string }): Response {
  const name = response.$ref?.split("/").at(-1);
  return name === undefined ? response : (DOCUMENT.components.responses[name] ?? {});
}

const KEYS: Readonly<Record<string, string>> = {
  ...{ tenants: "t1", networks: "t1:n1", endpointGroups: "t1:g1", policys: "t1:p1", rules: "t1:p1:r1" },
  ...{ netprofiles: "t1:np", appProfiles: "t1:a1", globals: "global", endpoints: "t1:n1:e1", nodes: "h1" },
};

describe("replies are as the document says, member by member", () => {
  it.each(Object.entries(KEYS))("of %s", async (name, key) => {
    const [many, one] = [`/api/v1/${name}/`, `/api/v1/${name}/{key}/`];
    const inspect = `/api/v1/inspect/${name}/{key}/`;
    const reads = [many, one, inspect].map(
      (path): Request => ({ method: "GET", path, url: path.replace("{key}", key) }),
    );
    const missing: Request = { method: "GET", path: one, url: one.replace("{key}", "none") };
    for (const request of [...reads, missing]) expect(await differences(request), request.path).toEqual([]);
  });

  it.each<[Request["method"], string, string?, object?]>([
    ["GET", "/version"],
    ["GET", "/info"],
    ["GET", "/services"],
    ["GET", "/service/{key}", "/service/x"],
    ["GET", "/debug/ofnet"],
    ["GET", "/healthz"],
    ["GET", "/readyz"],
    ["GET", "/metrics"],
    ["GET", "/api/v1/openapi.json"],
    ["GET", "/api/v1/volumes/"],
    ["GET", "/api/v1/volumes/{key}/", "/api/v1/volumes/x"],
    ["POST", "/api/v1/volumes/{key}/", "/api/v1/volumes/x", {}],
    ["GET", "/api/v1/inspect/networks/{key}/", "/api/v1/inspect/networks/t1:n2"],
    ["GET", "/api/v1/endpoints/{key}/bandwidth/", "/api/v1/endpoints/t1:n1:e1/bandwidth"],
    ["GET", "/api/v1/endpoints/{key}/bandwidth/", "/api/v1/endpoints/t1:n1:e2/bandwidth"],
    ["PATCH", "/api/v1/endpoints/{key}/", "/api/v1/endpoints/t1:n1:e1", { egressBandwidth: "1mbps" }],
    ["PATCH", "/api/v1/globals/{key}/", "/api/v1/globals/global", { arpMode: "flood" }],
    ["PUT", "/api/v1/globals/{key}/", "/api/v1/globals/global", { fwdMode: "routing" }],
    ["DELETE", "/api/v1/networks/{key}/", "/api/v1/networks/t1:n1"],
    ["DELETE", "/api/v1/rules/{key}/", "/api/v1/rules/t1:p1:r1?dryRun=true"],
    ["GET", "/api/v1/explain", "/api/v1/explain?from=t1:g1&to=e2&protocol=tcp&port=80"],
    ["GET", "/api/v1/explain", "/api/v1/explain?from=10.1.1.99&to=e2&protocol=icmp"],
    ["GET", "/api/v1/explain", "/api/v1/explain?from=e1&to=e2"],
    ["POST", "/plugin/allocAddress", "/plugin/allocAddress", { NetworkID: "n1.t1" }],
    ["POST", "/plugin/releaseAddress", "/plugin/releaseAddress", { NetworkID: "n1.t1", IPv4Address: "10.1.1.99/24" }],
  ])("of %s %s (%s)", async (method, path, url = path, body) => {
    expect(await differences({ method, path, url, ...(body === undefined ? {} : { body }) })).toEqual([]);
  });

  it("of a proposal", async () => {
    const path = "/api/v1/explain";
    const deletes = { rules: ["t1:p1:r1"] };
    const body = { from: "e1", to: "t1:g1", protocol: "tcp", port: 80, deletes };
    expect(await differences({ method: "POST", path, url: path, body })).toEqual([]);
  });

  it("of a runtime's calls", async () => {
    const endpoint = { TenantName: "t1", NetworkName: "n1", EndpointID: "e9" };
    const update = { Tenant: "t1", Network: "n1", EndpointID: "e9", Event: "start", Labels: { a: "b" } };
    for (const [call, body] of [
      ["createEndpoint", { ...endpoint, ConfigEP: { Host: "h1" } }],
      ["updateEndpoint", update],
      ["deleteEndpoint", endpoint],
      ["deleteEndpoint", endpoint],
    ] as const) {
      expect(await differences({ method: "POST", path: `/plugin/${call}`, url: `/plugin/${call}`, body })).toEqual([]);
    }
  });

  it("would be found if they were not", () => {
    const schema = DOCUMENT.components.schemas.networkObject ?? {};
    expect(untold({ key: "k", links: { Tenant: { type: "tenant", more: 1 } }, odd: 1 }, schema, "")).toEqual([
      ".links.Tenant.more",
      ".odd",
    ]);
  });
});
