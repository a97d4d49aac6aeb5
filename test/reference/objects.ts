import type { Change, Writes } from "../../netmaster/rest/collection.ts";
import { COLLECTIONS } from "../../netmaster/rest/collections.ts";
import { ENDPOINT_WRITES } from "../../netmaster/rest/openapi/objects.ts";
import { OPER_SCHEMAS } from "../../netmaster/rest/openapi/oper.ts";
import { type Members, membersOf, requestSchema, type Schema } from "../../netmaster/rest/openapi/schema.ts";
import { SHARED_SCHEMAS } from "../../netmaster/rest/openapi/shared.ts";
import type { Kind } from "../../state/records.ts";
import { code, plain, table } from "./table.ts";

/** From what stands alone to what names others. */
const ORDER: readonly Kind[] = [
  ...(["tenant", "network", "endpointGroup", "policy", "rule", "netprofile", "appProfile", "global"] as const),
];

const CHANGES: Readonly<Record<Change, string>> = {
  replaced: "yes",
  kept: "yes; a POST or PUT without it leaves it as it is",
  "kept-without-networks": "while there are no networks; a POST or PUT without it leaves it as it is",
  patched: "by PATCH only",
};

/** A table for each object, in the order in which an admin makes them. */
export function objectTables(): string {
  const written = ORDER.map((kind) => {
    const writes = COLLECTIONS.find((collection) => collection.kind === kind)?.writes;
    if (writes === undefined) throw new Error(`Clients do not write objects of kind ${kind}`);
    return `### ${kind}\n\n${writtenTable(writes)}`;
  });
  return [...written, `### endpoint\n\n${ENDPOINT}`, `### node\n\n${shownTable("node")}`].join("\n\n");
}

const ENDPOINT = `An admin can set these, by PATCH:

${writtenTable(ENDPOINT_WRITES)}

Shown:

${shownTable("endpoint")}`;

function writtenTable({ schema, changes }: Pick<Writes, "schema" | "changes">): string {
  const request = requestSchema(schema);
  const required = (request.required ?? []) as readonly string[];
  const members = Object.entries(membersOf(request)).sort(([left], [right]) => {
    return Number(required.includes(right)) - Number(required.includes(left));
  });
  const rows = members.map(([name, member]) => [
    code(name),
    plain(String(member.description)),
    valuesOf(member),
    required.includes(name) ? "required" : defaultOf(member),
    changeOf(changes[name]),
  ]);
  return table(["member", "meaning", "values", "default", "change"], rows);
}

function changeOf(change: Change | undefined): string {
  return change === undefined ? "no" : CHANGES[change];
}

function shownTable(kind: "endpoint" | "node"): string {
  const rows = Object.entries(membersOf(OPER_SCHEMAS[kind] as Schema)).map(([name, member]) => [
    code(name),
    plain(String(member.description ?? referred(member)?.description)),
    valuesOf(member),
  ]);
  return table(["member", "meaning", "values"], rows);
}

function referred({ $ref }: Schema): Schema | undefined {
  const schemas = { ...OPER_SCHEMAS, ...SHARED_SCHEMAS } as Members;
  return schemas[String($ref).split("/").at(-1) ?? ""];
}

function valuesOf(member: Schema): string {
  const { type, enum: choices, const: only, minimum, maximum, maxLength, items } = member;
  if (only !== undefined) return code(String(only));
  if (Array.isArray(choices))
    return choices.map((choice) => (choice === "" ? "empty" : code(String(choice)))).join(", ");
  if (type === "integer") return isBounded(maximum) ? `${minimum ?? 0} to ${maximum}` : "number";
  if (type === "array") return `list of ${valuesOf((items ?? {}) as Schema)}`;
  if (type === "string" && typeof maxLength === "number") return `text, ${maxLength} characters`;
  if (type === "string" || Array.isArray(member.anyOf)) return "text";
  if (type === "boolean") return "`true`, `false`";
  return "object";
}

/** Integers of JSON Schema that have no bound of ours end where JavaScript's do. */
function isBounded(maximum: unknown): maximum is number {
  return typeof maximum === "number" && maximum < Number.MAX_SAFE_INTEGER;
}

function defaultOf(member: Schema): string {
  if (!("default" in member)) return "–";
  const value = member.default;
  if (value === "" || (Array.isArray(value) && value.length === 0)) return "empty";
  return code(String(value));
}
