import { z } from "zod";
import { compareText } from "../../../state/sorted-map.ts";

/** A JSON Schema (draft 2020-12), as OpenAPI 3.1 has it. */
export type Schema = Readonly<Record<string, unknown>>;
export type Members = Readonly<Record<string, Schema>>;

export function text(description: string): Schema {
  return { type: "string", description };
}

/** A whole number that is not negative. */
export function count(description: string): Schema {
  return { type: "integer", minimum: 0, description };
}

export function flag(description: string): Schema {
  return { type: "boolean", description };
}

export function choice(values: readonly (string | number)[], description: string): Schema {
  return { type: typeof values[0] === "number" ? "integer" : "string", enum: values, description };
}

export function list(items: Schema, description: string): Schema {
  return { type: "array", items, description };
}

/** An object whose members' names are keys. */
export function byKey(values: Schema, description: string): Schema {
  return { type: "object", additionalProperties: values, description };
}

/** An object: members that are always there, and others. */
export function members(always: Members, sometimes: Members, description?: string): Schema {
  const names = Object.keys(always);
  return {
    type: "object",
    ...(description === undefined ? {} : { description }),
    ...(names.length === 0 ? {} : { required: names }),
    properties: { ...always, ...sometimes },
  };
}

/** A schema of `components.schemas`. */
export function named(name: string, description?: string): Schema {
  const $ref = `#/components/schemas/${name}`;
  return description === undefined ? { $ref } : { $ref, description };
}

/** What a client may send: members that have a default need not be there. Members stand in byte order, as replies show them. */
export function requestSchema(schema: z.ZodType): Schema {
  return shown(schema, "input");
}

/** What replies show of a schema: a member that is empty may be left out, so that nothing is required. */
export function replyMembers(schema: z.ZodObject): Members {
  return membersOf(shown(schema, "output"));
}

/** The same with the members that are always there required. */
export function replySchema(schema: z.ZodType): Schema {
  return shown(schema, "output");
}

export function membersOf({ properties }: Schema): Members {
  return (properties ?? {}) as Members;
}

function shown(schema: z.ZodType, io: "input" | "output"): Schema {
  const {
    $schema: _,
    additionalProperties,
    properties,
    ...rest
  } = z.toJSONSchema(schema, { io, unrepresentable: "any" });
  const open = additionalProperties === undefined || additionalProperties === false ? {} : { additionalProperties };
  if (properties === undefined) return { ...rest, ...open };
  const sorted = Object.entries(properties).sort(([left], [right]) => compareText(left, right));
  return { ...rest, ...open, properties: Object.fromEntries(sorted) };
}

/** A JSON merge patch (RFC 7396) of an object: every member may be absent, and null resets it. */
export function patchSchema(members: Members): Schema {
  const entries = Object.entries(members);
  const properties = entries.map(([name, { description, default: _, ...member }]) => {
    return [name, { anyOf: [member, { type: "null" }], description }] as const;
  });
  const description = "A JSON merge patch (RFC 7396): an absent member stays as it is, null resets it.";
  return { type: "object", description, properties: Object.fromEntries(properties) };
}
