import { API_PREFIX } from "./api-prefix.ts";
import type { Route } from "./call.ts";
import { COLLECTIONS } from "./collections.ts";
import { errorResponses, errorsOf, HEADERS, headerNamed, PROBLEM_SCHEMA } from "./openapi/errors.ts";
import { EXPLANATION_SCHEMAS } from "./openapi/explain-operations.ts";
import { writableSchemas } from "./openapi/objects.ts";
import { OPER_SCHEMAS } from "./openapi/oper.ts";
import { TAGS } from "./openapi/operation.ts";
import { PARAMETERS, parameterNamed, pathParameters } from "./openapi/parameters.ts";
import { PLUGIN_SCHEMAS } from "./openapi/plugin-operations.ts";
import type { Schema } from "./openapi/schema.ts";
import { SHARED_SCHEMAS } from "./openapi/shared.ts";

const DESCRIPTION = `Tenants, networks, groups and policies over Open vSwitch.

Every success is 200. Members that are 0, "", false or empty are left out of replies. In requests a member that is null, "" or 0
counts as absent, and members that are not known are ignored. A slash at the end of a path is optional.`;

/** Client certificates are demanded when netmaster is started with --tls-client-ca, and of no use without. */
const CERTIFICATE = "clientCertificate";

/** The OpenAPI 3.1 document of the routes, made from the schemas that read the requests. */
export function openApiDocument(routes: readonly Route[], version: string): object {
  return {
    openapi: "3.1.0",
    info: {
      ...{ title: "contiv-ts", version, summary: "The REST API of netmaster", description: DESCRIPTION },
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/", description: "The netmaster that serves this document" }],
    security: [{}, { [CERTIFICATE]: [] }],
    tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
    paths: pathsOf(routes),
    components: {
      schemas: {
        ...Object.assign({}, ...COLLECTIONS.map(writableSchemas)),
        ...{ ...OPER_SCHEMAS, ...SHARED_SCHEMAS, ...EXPLANATION_SCHEMAS, ...PLUGIN_SCHEMAS },
        Problem: PROBLEM_SCHEMA,
      },
      parameters: PARAMETERS,
      headers: HEADERS,
      responses: errorResponses(),
      securitySchemes: {
        [CERTIFICATE]: {
          type: "mutualTLS",
          description: "A client certificate, when netmaster was started with --tls-client-ca.",
        },
      },
    },
  };
}

function pathsOf(routes: readonly Route[]): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const route of routes) {
    const path = documentPath(route.path);
    const parameters = pathParameters(route.path);
    paths[path] ??= parameters.length === 0 ? {} : { parameters };
    paths[path][route.method.toLowerCase()] = operationOf(route);
  }
  return paths;
}

/** Below the prefix, where v1's collections have a slash at the end, these have none. */
const WITHOUT_SLASH: readonly string[] = [`${API_PREFIX}/explain`, `${API_PREFIX}/openapi.json`];

/** `/x/:key` as `/x/{key}/`. */
function documentPath(path: string): string {
  const named = path.replace(/:([a-zA-Z]+)/g, "{$1}");
  return named.startsWith(API_PREFIX) && !WITHOUT_SLASH.includes(named) ? `${named}/` : named;
}

function operationOf(route: Route): object {
  const { id, tag, summary, description, query, body, answer, headers = [], others = {} } = route.operation;
  const preconditions = route.parameters?.includes("dryRun") ? preconditionsOf(route) : [];
  const parameters = [...(query ?? route.parameters ?? []), ...preconditions].map(parameterNamed);
  const told = Object.entries(others).map(([status, other]) => [
    status,
    { description: other.description, content: contentOf({ [other.mediaType]: { type: "string" } }) },
  ]);
  const done = answer === undefined ? {} : { 200: success(answer, headers) };
  return {
    ...{ operationId: id, tags: [tag], summary, description },
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined
      ? {}
      : { requestBody: { required: true, content: contentOf({ [body.mediaType]: body.schema }) } }),
    responses: { ...done, ...Object.fromEntries(told), ...errorsOf(route) },
  };
}

function preconditionsOf({ method }: Route): readonly string[] {
  return method === "POST" || method === "PUT" ? ["If-Match", "If-None-Match"] : ["If-Match"];
}

function success(answer: Readonly<Record<string, Schema>>, headers: readonly string[]): object {
  const shown = headers.map((name) => [name, headerNamed(name)]);
  return {
    description: "Done",
    ...(shown.length === 0 ? {} : { headers: Object.fromEntries(shown) }),
    ...(Object.keys(answer).length === 0 ? {} : { content: contentOf(answer) }),
  };
}

function contentOf(schemas: Readonly<Record<string, Schema>>): object {
  return Object.fromEntries(Object.entries(schemas).map(([mediaType, schema]) => [mediaType, { schema }]));
}
