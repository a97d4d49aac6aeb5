import type { FastifyInstance } from "fastify";
import { upsertTenant } from "../../intents/tenant.ts";
import { createRestApp } from "../app.ts";
import { type FakeCluster, fakeCluster } from "./fake-cluster.ts";

/** For tests: an API with tenant `t1`, and short forms of what the tables of the contract's rules need. */
export interface ContractWorld {
  readonly cluster: FakeCluster;
  readonly app: FastifyInstance;
  /** `ok`, or `status code field` of the problem. */
  send(method: string, path: string, body?: Body): Promise<string>;
  /** Throws unless the answer is `ok`. */
  must(method: string, path: string, body?: Body): Promise<void>;
  /** The address of a new endpoint in t1:n1, or the code of the problem. */
  endpoint(id: string, members?: Body): Promise<string>;
}

export type Body = Readonly<Record<string, unknown>>;

export async function contractWorld(cluster: FakeCluster = fakeCluster()): Promise<ContractWorld> {
  const app = createRestApp(cluster);
  const world = { cluster, app, send: sender(app), must: demander(app), endpoint: endpointMaker(app) };
  cluster.run(upsertTenant, { tenantName: "t1", defaultNetwork: "" });
  return world;
}

function sender(app: FastifyInstance): ContractWorld["send"] {
  return async (method, path, body) => {
    const reply = await app.inject({
      method: method as "GET",
      url: `/api/v1/${path}/`,
      headers: { accept: "*/*" },
      ...(body === undefined ? {} : { payload: JSON.stringify(body) }),
    });
    if (reply.statusCode === 200) return "ok";
    const { code, field, status } = reply.json();
    if (status !== reply.statusCode) throw new Error(`The problem says ${status}, the reply ${reply.statusCode}`);
    return [status, code, field].filter((part) => part !== undefined).join(" ");
  };
}

function demander(app: FastifyInstance): ContractWorld["must"] {
  const send = sender(app);
  return async (method, path, body) => {
    const answer = await send(method, path, body);
    if (answer !== "ok") throw new Error(`${method} ${path} ${JSON.stringify(body)}: ${answer}`);
  };
}

function endpointMaker(app: FastifyInstance): ContractWorld["endpoint"] {
  return async (id, members = {}) => {
    const payload = { TenantName: "t1", NetworkName: "n1", EndpointID: id, ConfigEP: { Host: "h1" }, ...members };
    const reply = await app.inject({
      method: "POST",
      url: "/plugin/createEndpoint",
      headers: { accept: "*/*" },
      payload,
    });
    return reply.statusCode === 200 ? reply.json().EndpointConfig.ipAddress : reply.json().code;
  };
}

export const net = (name: string, members: Body = {}): [string, Body] => [
  `networks/${members.tenantName ?? "t1"}:${name}`,
  { tenantName: "t1", networkName: name, encap: "vlan", subnet: "10.1.1.0/24", ...members },
];
export const grp = (name: string, members: Body = {}): [string, Body] => [
  `endpointGroups/${members.tenantName ?? "t1"}:${name}`,
  { tenantName: "t1", groupName: name, networkName: "n1", ...members },
];
export const rule = (members: Body = {}): [string, Body] => [
  "rules/t1:p1:r1",
  { tenantName: "t1", policyName: "p1", ruleId: "r1", direction: "in", action: "allow", ...members },
];
export const profile = (members: Body = {}): [string, Body] => [
  "netprofiles/t1:np",
  { tenantName: "t1", profileName: "np", ...members },
];
export const app1 = (members: Body = {}): [string, Body] => [
  "appProfiles/t1:a1",
  { tenantName: "t1", appProfileName: "a1", ...members },
];
