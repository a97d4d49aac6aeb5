import { z } from "zod";
import { compareText } from "../../state/sorted-map.ts";
import { type ParameterName, QUESTION_PARAMETERS } from "../explain/question.ts";
import { API_PREFIX } from "./api-prefix.ts";
import type { Collection } from "./collection.ts";
import { COLLECTIONS } from "./collections.ts";
import { PROPOSAL_MEMBERS } from "./proposal.ts";

const PROBLEM = { $ref: "#/components/schemas/Problem" };
const KEY_PARAMETER = { name: "key", in: "path", required: true, schema: { type: "string" } };
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
  const schemas = Object.fromEntries(writable.map(({ kind, schema }) => [kind, objectSchema(schema)]));
  return {
    openapi: "3.1.0",
    info: { title: "contiv-ts", version, license: { name: "Apache-2.0", identifier: "Apache-2.0" } },
    paths: { ...Object.fromEntries(COLLECTIONS.flatMap(collectionPaths)), [`${API_PREFIX}/explain`]: explainPath() },
    components: { schemas: { ...schemas, Problem: problemSchema() } },
  };
}

/** The request's members, in the order in which replies show them, and what the server adds. */
function objectSchema(schema: z.ZodObject): object {
  const { $schema: _, properties = {}, ...rest } = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });
  const sorted = Object.entries(properties).sort(([left], [right]) => compareText(left, right));
  const readOnly = { type: "object", readOnly: true };
  const added = { "link-sets": readOnly, links: readOnly };
  return { ...rest, properties: { key: { type: "string", readOnly: true }, ...Object.fromEntries(sorted), ...added } };
}

function collectionPaths(collection: Collection): readonly (readonly [string, object])[] {
  const { name, kind, writes, remove } = collection;
  const object = writes === undefined ? { type: "object" } : { $ref: `#/components/schemas/${kind}` };
  const list = { type: "array", items: object };
  const change = writes && writeOperation(object);
  return [
    [`${API_PREFIX}/${name}/`, { get: readOperation(`All ${name}`, list, ["limit", "continue", "watch", "revision"]) }],
    [
      `${API_PREFIX}/${name}/{key}/`,
      {
        parameters: [KEY_PARAMETER],
        get: readOperation(`One of ${name}`, object, ["watch", "revision"]),
        ...(change === undefined ? {} : { post: change, put: change, patch: patchOperation(object) }),
        ...(remove === undefined
          ? {}
          : { delete: readOperation(`Deletes one of ${name}`, { type: "string" }, ["dryRun"]) }),
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
  return { summary, parameters: query.map((name) => QUERY[name]), responses: responses(schema) };
}

function writeOperation(object: object): object {
  const requestBody = { required: true, content: { "application/json": { schema: object } } };
  return { summary: "Creates or replaces", parameters: [QUERY.dryRun], requestBody, responses: responses(object) };
}

function patchOperation(object: object): object {
  const requestBody = { required: true, content: { "application/merge-patch+json": { schema: { type: "object" } } } };
  return { summary: "Changes single members", parameters: [QUERY.dryRun], requestBody, responses: responses(object) };
}

function responses(schema: object): object {
  return {
    200: { description: "Done", content: { "application/json": { schema } } },
    default: { description: "Error", content: { "application/problem+json": { schema: PROBLEM } } },
  };
}

function problemSchema(): object {
  const text = { type: "string" };
  const properties = { type: text, title: text, status: { type: "integer" }, detail: text, instance: text, code: text };
  const optional = { field: text, blockers: { type: "array", items: text } };
  return { type: "object", required: Object.keys(properties), properties: { ...properties, ...optional } };
}
