import { z } from "zod";
import { EndpointBandwidth } from "../../state/bandwidth/endpoint-config.ts";
import type { Kind } from "../../state/records.ts";
import { compareText } from "../../state/sorted-map.ts";
import { type ParameterName, QUESTION_PARAMETERS } from "../explain/question.ts";
import { API_PREFIX } from "./api-prefix.ts";
import type { Collection } from "./collection.ts";
import { COLLECTIONS, LATER_COLLECTIONS } from "./collections.ts";
import { PROPOSAL_MEMBERS } from "./proposal.ts";

const PROBLEM = { $ref: "#/components/schemas/Problem" };
const KEY_PARAMETER = { name: "key", in: "path", required: true, schema: { type: "string" } };
/** Preconditions (RFC 9110 §13.1). */
const IF_MATCH = { name: "If-Match", in: "header", schema: { type: "string" } };
const IF_NONE_MATCH = { name: "If-None-Match", in: "header", schema: { type: "string", const: "*" } };
const LATER = "Always empty: not supported by this release";
const EMPTY = { type: "array", maxItems: 0 };
const QUERY = {
  limit: { name: "limit", in: "query", schema: { type: "integer", minimum: 1, maximum: 10_000 } },
  continue: { name: "continue", in: "query", schema: { type: "string" } },
  watch: { name: "watch", in: "query", schema: { type: "boolean" } },
  revision: { name: "revision", in: "query", schema: { type: "string" } },
  dryRun: { name: "dryRun", in: "query", schema: { type: "boolean" } },
};

/** The OpenAPI 3.1 document of the collections, made from their schemas. */
export function openApiDocument(version: string): object {
  const writable = COLLECTIONS.flatMap(({ kind, writes }) =>
    writes === undefined ? [] : [{ kind, schema: writes.schema }],
  );
  const schemas = Object.fromEntries(writable.map(({ kind, schema }) => [kind, objectSchema(kind, schema)]));
  return {
    openapi: "3.1.0",
    info: { title: "contiv-ts", version, license: { name: "Apache-2.0", identifier: "Apache-2.0" } },
    paths: Object.fromEntries([
      ...COLLECTIONS.flatMap(collectionPaths),
      ...LATER_COLLECTIONS.map((name) => [`${API_PREFIX}/${name}/`, { get: readOperation(LATER, EMPTY, []) }]),
      [`${API_PREFIX}/endpoints/{key}/bandwidth/`, bandwidthPath()],
      [`${API_PREFIX}/explain`, explainPath()],
    ]),
    components: { schemas: { ...schemas, Problem: problemSchema() } },
  };
}

/** The request's members, in the order in which replies show them, and what the server adds. */
function objectSchema(kind: Kind, schema: z.ZodObject): object {
  const { properties = {}, ...rest } = shownSchema(schema);
  const sorted = Object.entries(properties).sort(([left], [right]) => compareText(left, right));
  const readOnly = { type: "object", readOnly: true };
  const added = kind === "global" ? {} : { "link-sets": readOnly, ...(kind === "tenant" ? {} : { links: readOnly }) };
  return { ...rest, properties: { key: { type: "string", readOnly: true }, ...Object.fromEntries(sorted), ...added } };
}

function shownSchema(schema: z.ZodObject): z.core.JSONSchema.BaseSchema {
  const { $schema: _, ...shown } = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });
  return shown;
}

function collectionPaths(collection: Collection): readonly (readonly [string, object])[] {
  const { name, kind, writes, remove } = collection;
  const object = writes === undefined ? { type: "object" } : { $ref: `#/components/schemas/${kind}` };
  const list = { type: "array", items: object };
  const change = writes && writeOperation(object);
  const limits = kind === "endpoint" ? { patch: patchOperation(object, shownSchema(EndpointBandwidth)) } : {};
  return [
    [`${API_PREFIX}/${name}/`, { get: readOperation(`All ${name}`, list, ["limit", "continue", "watch", "revision"]) }],
    [
      `${API_PREFIX}/${name}/{key}/`,
      {
        parameters: [KEY_PARAMETER],
        get: readOperation(`One of ${name}`, object, ["watch", "revision"]),
        ...(change === undefined ? limits : { post: change, put: change, patch: patchOperation(object) }),
        ...(remove === undefined ? {} : { delete: deleteOperation(name) }),
      },
    ],
    [
      `${API_PREFIX}/inspect/${name}/{key}/`,
      { parameters: [KEY_PARAMETER], get: readOperation(`State of one of ${name}`, inspectSchema(object), []) },
    ],
  ];
}

const QUESTION_REQUIRED: readonly ParameterName[] = ["from", "to", "protocol"];

function explainPath(): object {
  const schema = { type: "string" };
  const parameters = Object.entries(QUESTION_PARAMETERS).map(([name, description]) => {
    return { name, in: "query", required: QUESTION_REQUIRED.some((each) => each === name), description, schema };
  });
  const members = parameters.map(({ name, description }) => [name, { type: ["string", "integer"], description }]);
  const lists = PROPOSAL_MEMBERS.map((name) => [name, { type: name === "deletes" ? "object" : "array" }]);
  const body = { type: "object", properties: Object.fromEntries([...members, ...lists]) };
  const requestBody = { required: true, content: { "application/json": { schema: body } } };
  const answer = responses(answerSchema());
  return {
    get: { summary: "Would a packet pass, and why", parameters, responses: answer },
    post: { summary: "The same, as if the objects of the body were stored", requestBody, responses: answer },
  };
}

function answerSchema(): object {
  const [text, flag, object] = [{ type: "string" }, { type: "boolean" }, { type: "object" }];
  const properties = { allowed: flag, summary: text, packet: object, from: object, to: object };
  const optional = { source: object, destination: object, others: object, stored: object };
  return { ...object, required: Object.keys(properties), properties: { ...properties, ...optional } };
}

function inspectSchema(object: object): object {
  return { type: "object", properties: { Config: object, Oper: { type: "object" } } };
}

function readOperation(summary: string, schema: object, query: readonly (keyof typeof QUERY)[]): object {
  const lines = query.includes("watch") ? { "application/x-ndjson": { schema: watchSchema(schema) } } : {};
  return { summary, parameters: query.map((name) => QUERY[name]), responses: responses(schema, lines) };
}

/** One line of a watch. */
function watchSchema(shown: object): object {
  const [text, items] = [{ type: "string" }, "items" in shown ? shown.items : shown];
  const type = { enum: ["put", "delete", "synced", "bookmark", "error"] };
  const properties = { type, key: text, modRevision: text, revision: text, object: items, code: text, detail: text };
  return { type: "object", required: ["type"], properties };
}

function bandwidthPath(): object {
  return { parameters: [KEY_PARAMETER], get: readOperation("Limits and measured rates", { type: "object" }, []) };
}

function deleteOperation(name: string): object {
  const parameters = [QUERY.dryRun, IF_MATCH];
  return { summary: `Deletes one of ${name}`, parameters, responses: responses({ type: "string" }) };
}

function writeOperation(object: object): object {
  const requestBody = { required: true, content: { "application/json": { schema: object } } };
  const parameters = [QUERY.dryRun, IF_MATCH, IF_NONE_MATCH];
  return { summary: "Creates or replaces", parameters, requestBody, responses: responses(object) };
}

function patchOperation(object: object, schema: object = { type: "object" }): object {
  const requestBody = { required: true, content: { "application/merge-patch+json": { schema } } };
  const parameters = [QUERY.dryRun, IF_MATCH];
  return { summary: "Changes single members", parameters, requestBody, responses: responses(object) };
}

function responses(schema: object, others: object = {}): object {
  return {
    200: { description: "Done", content: { "application/json": { schema }, ...others } },
    default: { description: "Error", content: { "application/problem+json": { schema: PROBLEM } } },
  };
}

function problemSchema(): object {
  const text = { type: "string" };
  const properties = { type: text, title: text, status: { type: "integer" }, detail: text, instance: text, code: text };
  const optional = { field: text, blockers: { type: "array", items: text } };
  return { type: "object", required: Object.keys(properties), properties: { ...properties, ...optional } };
}
