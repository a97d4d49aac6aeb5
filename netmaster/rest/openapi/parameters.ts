import { type ParameterName, QUESTION_PARAMETERS } from "../../explain/question.ts";
import type { QueryParameter } from "../query.ts";
import { choice, count, flag, type Schema, text } from "./schema.ts";

interface Parameter {
  readonly name: string;
  readonly in: "query" | "path" | "header";
  readonly required?: boolean;
  readonly description: string;
  readonly schema: Schema;
}

const TEXT: Schema = { type: "string" };

/** Of the questions that explain answers; the schemas are also those of the members of its body. */
export const QUESTION_SCHEMAS: Readonly<Record<ParameterName, Schema>> = {
  from: text(QUESTION_PARAMETERS.from),
  to: text(QUESTION_PARAMETERS.to),
  protocol: text(QUESTION_PARAMETERS.protocol),
  port: { ...count(QUESTION_PARAMETERS.port), minimum: 1, maximum: 65_535 },
  icmpType: { ...count(QUESTION_PARAMETERS.icmpType), maximum: 255 },
  family: choice([4, 6], QUESTION_PARAMETERS.family),
  tenant: text(QUESTION_PARAMETERS.tenant),
  network: text(QUESTION_PARAMETERS.network),
};

export const QUESTION_REQUIRED: readonly string[] = ["from", "to", "protocol"] satisfies ParameterName[];

const QUERY_SCHEMAS: Readonly<Record<QueryParameter, Schema>> = {
  limit: { ...count("Most objects of one page; absent: all objects."), minimum: 1, maximum: 10_000 },
  continue: text("The header contiv-continue of the page before; absent: the first page."),
  watch: flag("true: the reply is a stream of lines, one per change. Absent: false."),
  revision: text(
    "With watch: begin after this store revision, a contiv-revision like 42@1-3f9c2a7d; absent: begin with all objects.",
  ),
  dryRun: flag("true: make all checks and answer as the write would, but write nothing. Absent: false."),
};

/** Preconditions (RFC 9110 §13.1). */
const HEADERS: readonly Parameter[] = [
  header(
    "If-Match",
    text('ETag of the object as it must be, like "42@1-3f9c2a7d" with its quotes; *: it must exist. Absent: any.'),
  ),
  header("If-None-Match", choice(["*"], "*: the object must not exist yet. Absent: it may.")),
];

const PATH_DESCRIPTIONS: Readonly<Record<string, string>> = {
  key: "Key of the object, percent-encoded where a URL needs it.",
  tenantName: "Name of the tenant.",
  what: "What id names: a network, an endpoint group, or the id of an endpoint.",
  id: "Name of the network or group, or id of the endpoint.",
};
const PATH_CHOICES: Readonly<Record<string, readonly string[]>> = { what: ["net", "group", "ep"] };

/** Every parameter that operations share, by its place in `components.parameters`. */
export const PARAMETERS: Readonly<Record<string, Parameter>> = Object.fromEntries([
  ...Object.entries(QUERY_SCHEMAS).map(([name, schema]) => [name, query(name, schema, false)]),
  ...Object.entries(QUESTION_SCHEMAS).map(([name, schema]) => [
    name,
    query(name, schema, QUESTION_REQUIRED.includes(name)),
  ]),
  ...HEADERS.map((parameter) => [parameter.name, parameter]),
]);

function query(name: string, schema: Schema, required: boolean): Parameter {
  return described(name, "query", schema, required);
}

function header(name: string, schema: Schema): Parameter {
  return described(name, "header", schema, false);
}

function described(name: string, place: "query" | "header", schema: Schema, required: boolean): Parameter {
  const { description, ...rest } = schema;
  return { name, in: place, ...(required ? { required } : {}), description: String(description), schema: rest };
}

export function parameterNamed(name: string): Schema {
  return { $ref: `#/components/parameters/${name}` };
}

/** The parameters in a path like `/x/:key`. */
export function pathParameters(path: string): readonly Parameter[] {
  return Array.from(path.matchAll(/:([a-zA-Z]+)/g), ([, name = ""]) => {
    const choices = PATH_CHOICES[name];
    const schema = choices === undefined ? TEXT : { ...TEXT, enum: choices };
    return { name, in: "path", required: true, description: PATH_DESCRIPTIONS[name] ?? name, schema };
  });
}
