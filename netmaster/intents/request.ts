import { z } from "zod";
import { NetError } from "../../state/errors.ts";
import { nearestName, nearHint } from "../../state/near-name.ts";
import { compareText } from "../../state/sorted-map.ts";
import { invalid, printable } from "./errors.ts";

type Shape = z.ZodObject;
type JsonType = "text" | "a whole number" | "true or false" | "a list" | "an object" | "null" | "a number";

/** The JSON type that each member must have, from the schema. */
const expectedBySchema = new WeakMap<Shape, ReadonlyMap<string, JsonType>>();

const TYPE_NAMES: Readonly<Record<string, JsonType>> = {
  string: "text",
  integer: "a whole number",
  number: "a number",
  boolean: "true or false",
  array: "a list",
  object: "an object",
};

/**
 * Reads a request body by its schema. As for the clients of contract §3, a member that is null, "" or 0 counts as absent; unknown
 * members are ignored. The first wrong member in alphabetical order is the one that is reported (§4).
 */
export function parseRequest<S extends Shape>(schema: S, body: unknown): z.infer<S> {
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw new NetError("INVALID", `The body must be a JSON object, not ${typeName(body)}`, {
      reason: "malformed-body",
    });
  }
  const given = presentMembers(expectedTypes(schema), body as Readonly<Record<string, unknown>>);
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  const [issue] = [...result.error.issues].sort((left, right) => compareText(fieldOf(left), fieldOf(right)));
  if (issue === undefined) throw new NetError("INTERNAL", "The schema refused the body without a reason");
  throw fieldError(fieldOf(issue), issue, memberAt(given, issue.path));
}

/** Members of a reply that the server computes (contract §3); a client may send them back. */
const COMPUTED_MEMBERS: readonly string[] = ["key", "link-sets", "links"];

/** Refuses members that would change nothing. `noun` completes "… is not a member of a …". */
export function refuseUnknownMembers(noun: string, names: readonly string[], body: unknown): void {
  if (typeof body !== "object" || body === null || Array.isArray(body)) return;
  const unknown = Object.keys(body).find((name) => !names.includes(name) && !COMPUTED_MEMBERS.includes(name));
  if (unknown === undefined) return;
  const hint = nearHint(unknown, [...names].sort(compareText));
  throw invalid(printable(unknown.slice(0, SHOWN_MAX_LENGTH)), `is not a member of ${articleOf(noun)} ${noun}${hint}`);
}

/** A member that a body has in vain, and the one that it is almost. */
export interface Misspelled {
  readonly name: string;
  readonly near: string;
}

/** Unknown members that are almost one of `names`. */
export function misspelledMembers(names: readonly string[], body: unknown): readonly Misspelled[] {
  if (typeof body !== "object" || body === null || Array.isArray(body)) return [];
  const unknown = Object.keys(body).filter((name) => !names.includes(name) && !COMPUTED_MEMBERS.includes(name));
  return unknown.slice(0, COMPARED_MAX).flatMap((name) => {
    const near = nearestName(name, names);
    return near === undefined ? [] : { name: printable(name.slice(0, SHOWN_MAX_LENGTH)), near };
  });
}

/**
 * Refuses members that are almost one of `ours`, which v1 did not have. Those that are almost v1's are v1's business: it ignores what it
 * does not know (contract §1).
 */
export function refuseAlmostOurs(noun: string, { names, ours }: OwnMembers, body: unknown): void {
  const [first] = misspelledMembers(names, body).filter(({ near }) => ours.includes(near));
  if (first === undefined) return;
  throw invalid(first.name, `is not a member of ${articleOf(noun)} ${noun}; did you mean ${first.near}?`);
}

interface OwnMembers {
  readonly names: readonly string[];
  readonly ours: readonly string[];
}

/** Most unknown members of one body that are looked at: a client with more has not misspelled them. */
const COMPARED_MAX = 50;

function articleOf(noun: string): string {
  return /^[aeiou]/.test(noun) ? "an" : "a";
}

function presentMembers(expected: ReadonlyMap<string, JsonType>, body: Readonly<Record<string, unknown>>): object {
  const present: Record<string, unknown> = {};
  for (const [name, type] of expected) {
    if (!Object.hasOwn(body, name)) continue;
    const value = body[name];
    const isEmpty = value === null || (value === "" && type === "text") || (value === 0 && type === "a whole number");
    if (!isEmpty) present[name] = value;
  }
  return present;
}

function expectedTypes(schema: Shape): ReadonlyMap<string, JsonType> {
  const known = expectedBySchema.get(schema);
  if (known !== undefined) return known;
  const document = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });
  const types = new Map<string, JsonType>();
  for (const [name, member] of Object.entries(document.properties ?? {})) types.set(name, memberType(member));
  expectedBySchema.set(schema, types);
  return types;
}

function memberType(member: z.core.JSONSchema._JSONSchema): JsonType {
  if (typeof member === "boolean") return "an object";
  return typeof member.type === "string" ? (TYPE_NAMES[member.type] ?? "text") : "text";
}

function fieldOf(issue: z.core.$ZodIssue): string {
  return issue.path.map(String).join(".");
}

function memberAt(root: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (value, part) => (typeof value === "object" && value !== null ? Reflect.get(value, part) : undefined),
    root,
  );
}

function fieldError(field: string, issue: z.core.$ZodIssue, value: unknown): NetError {
  if (value === undefined) {
    return new NetError("INVALID", `${field} is required`, { reason: "missing-field", field });
  }
  return invalid(field, describe(issue, value));
}

/** What is wrong with a value; completes "<field> …". */
function describe(issue: z.core.$ZodIssue, value: unknown): string {
  switch (issue.code) {
    case "invalid_type":
      return `must be ${TYPE_NAMES[issue.expected === "int" ? "integer" : issue.expected] ?? issue.expected}, not ${typeOrNumber(value)}`;
    case "too_big":
      return isText(value)
        ? `is longer than ${issue.maximum} characters`
        : `must be at most ${issue.maximum}${of(value)}`;
    case "too_small":
      return isText(value)
        ? `is shorter than ${issue.minimum} characters`
        : `must be at least ${issue.minimum}${of(value)}`;
    case "invalid_value":
      return `must be ${issue.values.map((choice) => `"${String(choice)}"`).join(" or ")}, not ${shown(value)}`;
    case "invalid_format":
    case "invalid_union":
      return issue.message.startsWith("Invalid ")
        ? `has the wrong format: ${shown(value)}`
        : withValue(issue.message, shown(value));
    default:
      return withValue(issue.message, shown(value));
  }
}

/** A schema's own reason; one that says what must be gets what is. */
function withValue(reason: string, value: string): string {
  if (reason.startsWith("must be ")) return `${reason}, not ${value}`;
  return reason.startsWith("must ") ? reason : `${reason}: ${value}`;
}

function typeOrNumber(value: unknown): string {
  return typeof value === "number" && !Number.isInteger(value) ? shown(value) : typeName(value);
}

function of(value: unknown): string {
  return Array.isArray(value) ? " entries long" : `, not ${shown(value)}`;
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

/** Longest part of a wrong value that an error repeats, in characters. */
const SHOWN_MAX_LENGTH = 80;

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length <= SHOWN_MAX_LENGTH ? text : `${text.slice(0, SHOWN_MAX_LENGTH)}…`;
}

function typeName(value: unknown): JsonType {
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "number") return Number.isInteger(value) ? "a whole number" : "a number";
  return TYPE_NAMES[typeof value] ?? "an object";
}
