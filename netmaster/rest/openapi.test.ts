import { createConfig, lintFromString } from "@redocly/openapi-core";
import { Validator } from "@seriousme/openapi-schema-validator";
import { describe, expect, it } from "vitest";
import { AllocAddress, ReleaseAddress } from "../intents/bare-address.ts";
import { PluginCreate, PluginDelete, PluginUpdate } from "../intents/plugin-endpoint.ts";
import { createRestApp } from "./app.ts";
import type { Method } from "./call.ts";
import { COLLECTIONS } from "./collections.ts";
import { CHANGES } from "./openapi/objects.ts";
import { requestSchema, type Schema } from "./openapi/schema.ts";
import { fakeCluster } from "./testing/fake-cluster.ts";
import { DOCUMENT, type Document, operationsOf } from "./testing/openapi-document.ts";

/** The official JSON Schema of OpenAPI 3.1. */
async function officialErrors(document: Document): Promise<unknown> {
  const { valid, errors } = await new Validator().validate({ ...structuredClone(document) });
  return valid ? [] : errors;
}

/** v1's collections have a slash at the end of their paths. */
const LINT = await createConfig({ extends: ["recommended-strict"], rules: { "no-path-trailing-slash": "off" } });

/** Rules of another project, which reads the document with its own model of it. */
async function lintErrors(document: Document): Promise<readonly string[]> {
  const problems = await lintFromString({ source: JSON.stringify(document), config: LINT });
  return problems.map(({ ruleId, message, location }) => `${ruleId} ${location[0]?.pointer}: ${message}`);
}

function changed(change: (document: Document) => void): Document {
  const copy = structuredClone(DOCUMENT);
  change(copy);
  return copy;
}

describe("two independent validators", () => {
  it("find nothing wrong", async () => {
    expect(await officialErrors(DOCUMENT)).toEqual([]);
    expect(await lintErrors(DOCUMENT)).toEqual([]);
  });

  it("find what is wrong", async () => {
    const parameters = [{ name: "x" }];
    const wrong = changed(({ paths, components }) => {
      Object.assign(paths["/version"]?.get ?? {}, { operationId: "getInfo", parameters });
      Reflect.deleteProperty(components.schemas, "Link");
    });
    expect(await officialErrors(wrong)).toContainEqual(expect.objectContaining({ keyword: "required" }));
    const rules = (await lintErrors(wrong)).map((problem) => problem.split(" ", 1)[0]);
    expect([...new Set(rules)].sort()).toEqual(["no-unresolved-refs", "operation-operationId-unique", "struct"]);
  });
});

/** Every schema in the document, with where it stands. */
function* schemasIn(value: unknown, path: string): Generator<readonly [string, Schema]> {
  if (typeof value !== "object" || value === null) return;
  if (!Array.isArray(value) && !path.endsWith(".properties")) yield [path, value as Schema];
  for (const [name, member] of Object.entries(value)) yield* schemasIn(member, `${path}.${name}`);
}

const SCHEMAS = [...schemasIn(DOCUMENT.paths, "paths"), ...schemasIn(DOCUMENT.components, "components")];

const SHARED = DOCUMENT.components.schemas;
const WRITTEN = COLLECTIONS.flatMap(({ kind, writes }) => (writes === undefined ? [] : [kind]));

function propertiesOf({ properties }: Schema): Readonly<Record<string, Schema>> {
  return (properties ?? {}) as Readonly<Record<string, Schema>>;
}

function bareMembers(schemas: readonly (readonly [string, Schema])[]): readonly string[] {
  return schemas.flatMap(([path, schema]) =>
    Object.entries(propertiesOf(schema))
      .filter(([, { description, $ref }]) => {
        const referred = SHARED[String($ref).split("/").at(-1) ?? ""];
        return description === undefined && referred?.description === undefined;
      })
      .map(([name]) => `${path}.${name}`),
  );
}

/** Members that may be absent and say neither in the schema nor in words what that means. */
function withoutDefault(schema: Schema): readonly string[] {
  const required = (schema.required ?? []) as readonly string[];
  return Object.entries(propertiesOf(schema)).flatMap(([name, member]) => {
    if (required.includes(name) || member.readOnly === true || "default" in member) return [];
    return /\b(absent|empty|at first|without it)\b/i.test(String(member.description)) ? [] : [name];
  });
}

describe("schemas", () => {
  it("say what lists hold", () => {
    const lists = SCHEMAS.filter(([, { type }]) => type === "array");
    expect(lists.length).toBeGreaterThan(20);
    expect(lists.filter(([, schema]) => !("items" in schema)).map(([path]) => path)).toEqual([]);
  });

  it("describe every member, or are told of where they refer to", () => {
    expect(bareMembers(SCHEMAS)).toEqual([]);
    expect(Object.keys(SHARED).filter((name) => SHARED[name]?.description === undefined)).toEqual([]);
  });

  it.each([
    ["a member", { type: "object", properties: { mtu: { type: "integer" } } }],
    ["a member of an unknown schema", { type: "object", properties: { mtu: { $ref: "#/components/schemas/None" } } }],
  ])("%s without description is found", (_, schema) => {
    expect(bareMembers([["x", schema]])).toEqual(["x.mtu"]);
  });

  it.each(WRITTEN)("%s: a member that need not be sent says what holds without it", (kind) => {
    expect(withoutDefault(SHARED[kind] ?? {})).toEqual([]);
  });

  it.each(WRITTEN)("%s: every member says whether it can be changed", (kind) => {
    const sent = Object.entries(propertiesOf(SHARED[kind] ?? {})).filter(([, member]) => member.readOnly !== true);
    const words = Object.values(CHANGES);
    expect(sent.filter(([, { description }]) => !words.some((word) => String(description).endsWith(word)))).toEqual([]);
  });

  it("of version 1's calls: a member that need not be sent says what holds without it", () => {
    for (const schema of [AllocAddress, ReleaseAddress, PluginCreate, PluginDelete, PluginUpdate]) {
      expect(withoutDefault(requestSchema(schema))).toEqual([]);
    }
  });

  it.each([
    ["tenant", ["tenantName"]],
    ["network", ["networkName", "tenantName", "encap", "subnet"]],
    ["endpointGroup", ["groupName", "tenantName", "networkName"]],
    ["policy", ["policyName", "tenantName"]],
    ["rule", ["tenantName", "policyName", "ruleId", "direction", "action"]],
    ["netprofile", ["profileName", "tenantName"]],
    ["appProfile", ["appProfileName", "tenantName"]],
    ["global", undefined],
  ])("%s requires what has no default, and nothing else", (kind, required) => {
    expect(DOCUMENT.components.schemas[kind]?.required).toEqual(required);
  });

  it("have units and defaults of limits", () => {
    const { netprofile } = DOCUMENT.components.schemas;
    expect(netprofile?.properties).toMatchObject({
      burst: { type: "integer", default: 0, description: expect.stringContaining("kilobytes of 1000 bytes") },
      strict: { type: "boolean", default: false },
    });
  });
});

interface Parameter {
  readonly name: string;
  readonly description?: string;
  readonly required?: boolean;
}

describe("operations", () => {
  const operations = operationsOf(DOCUMENT);

  it("each have an id of their own, a tag that is explained, and a summary", () => {
    const ids = operations.map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.filter((id) => !/^[a-z][a-zA-Z]+$/.test(id))).toEqual([]);
    const tags = DOCUMENT.tags.map(({ name }) => name);
    for (const { operation } of operations) {
      expect(tags).toEqual(expect.arrayContaining([...operation.tags]));
      expect(operation.tags).toHaveLength(1);
      expect(operation.summary).toMatch(/^[A-Z]/);
      expect(operation.description, operation.operationId).toMatch(/^[A-Z].*\.$/);
    }
  });

  it("keep their ids: generated clients call them by these", () => {
    const idsOf = (tag: string) =>
      operations.filter(({ operation }) => operation.tags.includes(tag)).map(({ operation }) => operation.operationId);
    expect(idsOf("policys").join(" ")).toBe(
      "listPolicies getPolicy postPolicy putPolicy patchPolicy deletePolicy inspectPolicy",
    );
    expect(idsOf("endpoints").join(" ")).toBe(
      "listEndpoints getEndpoint patchEndpoint inspectEndpoint getEndpointBandwidth",
    );
    expect(idsOf("explain").join(" ")).toBe("explain explainProposal");
    expect(idsOf("plugin").join(" ")).toBe("allocAddress releaseAddress createEndpoint deleteEndpoint updateEndpoint");
    expect(idsOf("netmaster").join(" ")).toBe(
      "getVersion getInfo listServices getService getHealth getReadiness getMetrics getOpenApi",
    );
  });

  it("describe every parameter; one that may be absent says what holds then", () => {
    const inPaths = Object.values(DOCUMENT.paths).flatMap((path) => (path.parameters ?? []) as unknown as Parameter[]);
    const all = [...inPaths, ...(Object.values(DOCUMENT.components.parameters) as unknown as Parameter[])];
    expect(all.length).toBeGreaterThan(50);
    expect(all.filter(({ name, description = "" }) => description === "" || description === name)).toEqual([]);
    const optional = all.filter(({ required }) => required !== true);
    expect(optional.filter(({ description = "" }) => !/\babsent\b/i.test(description))).toEqual([]);
  });

  it("have parameters of the right type", () => {
    const types = Object.entries(DOCUMENT.components.parameters).map(([name, { schema }]) => `${name}:${schema.type}`);
    expect(types.join(" ")).toBe(
      "limit:integer continue:string watch:boolean revision:string dryRun:boolean from:string to:string protocol:string " +
        "port:integer icmpType:integer family:integer tenant:string network:string If-Match:string If-None-Match:string",
    );
  });

  it("tell of success and of errors with their status", () => {
    const statuses = (path: string, method: string) =>
      Object.keys(DOCUMENT.paths[path]?.[method]?.responses ?? {}).join();
    expect(statuses("/api/v1/networks/{key}/", "put")).toBe("200,400,404,409,412,413,501,503,default");
    expect(statuses("/api/v1/networks/", "get")).toBe("200,400,410,503,default");
    expect(statuses("/readyz", "get")).toBe("200,400,503,default");
  });
});

const METHODS: readonly Method[] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/** What a server really offers: its paths are asked of the router, its methods are tried. */
async function servedOperations(): Promise<readonly string[]> {
  const app = createRestApp(fakeCluster());
  await app.ready();
  const served: string[] = [];
  const parents: string[] = [];
  for (const line of app.printRoutes({ commonPrefix: false }).split("\n")) {
    const [, indent = "", part] = /^((?:│ {3}| {4})*)[├└]── (\S+) \(/.exec(line) ?? [];
    if (part === undefined) continue;
    const depth = indent.length / 4;
    const path = `${parents[depth - 1] ?? ""}${part}`;
    parents[depth] = path;
    for (const method of METHODS) if (await isOffered(app, method, path)) served.push(`${method} ${path}`);
  }
  return served;
}

async function isOffered(app: ReturnType<typeof createRestApp>, method: Method, path: string): Promise<boolean> {
  const url = path.replaceAll(/:[a-zA-Z]+/g, "x");
  const headers = { accept: "*/*", "content-type": "application/json" };
  return (await app.inject({ method, url, headers, payload: "{}" })).statusCode !== 405;
}

it("describes every route that is served, and no other", async () => {
  const described = operationsOf(DOCUMENT).map(({ method, path }) => {
    return `${method.toUpperCase()} ${path.replace(/\/$/, "").replaceAll(/\{([a-zA-Z]+)\}/g, ":$1")}`;
  });
  expect((await servedOperations()).toSorted()).toEqual(described.sort());
  expect(described).toEqual(
    expect.arrayContaining(["GET /metrics", "POST /plugin/createEndpoint", "GET /debug/ofnet"]),
  );
});
