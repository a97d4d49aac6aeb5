import { z } from "zod";
import { cniFault } from "./errors.ts";

const NULLISH_TEXT_MAX = 100;

/** Parses a member of the network configuration. @throws NetError with CNI code 7 that names the member */
export function parseMember<T>(schema: z.ZodType<T>, value: unknown, member: string): T {
  const parsed = schema.safeParse(value, { reportInput: true });
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const field = [member, ...(issue?.path ?? []).map(String)].join(".").slice(0, 200);
  const problem = (issue === undefined ? "is not as it should be" : problemOf(issue)).slice(0, 300);
  throw cniFault("invalid-config", `Network configuration: "${field}" is invalid: ${problem}; correct it`, { field });
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  ...{ number: "a number", int: "a whole number", string: "text", boolean: "true or false" },
  ...{ array: "a list", object: "an object", record: "an object", map: "an object" },
};

/** What is wrong with a value: the schema's own words where it has some, else a sentence in place of the validator's. */
function problemOf(issue: z.core.$ZodIssue): string {
  if (!/^(Invalid|Too|Unrecognized) /.test(issue.message)) return issue.message;
  const found = issue.input === undefined ? "missing" : shortJson(issue.input);
  switch (issue.code) {
    case "invalid_type":
      return `must be ${TYPE_NAMES[issue.expected] ?? issue.expected}, not ${found}`;
    case "too_big":
      return `must ${boundOf(issue.origin, "at most", issue.maximum)}`;
    case "too_small":
      return `must ${boundOf(issue.origin, "at least", issue.minimum)}`;
    default:
      return `has the wrong form: ${found}`;
  }
}

function boundOf(origin: string, side: string, bound: number | bigint): string {
  if (origin === "string") return `have ${side} ${bound} characters`;
  if (origin === "array") return `have ${side} ${bound} items`;
  return `be ${side} ${bound}`;
}

/** True for a JSON object, which neither a list nor null is. */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** True for what Go prints when nothing was set: null, "", [] and {}; also 0 and false. */
export function isBlank(value: unknown): boolean {
  if (isObject(value)) return Object.keys(value).length === 0;
  return !value || (Array.isArray(value) && value.length === 0);
}

/** A value as it goes into an error message. */
export function shortJson(value: unknown): string {
  return (JSON.stringify(value) ?? "undefined").slice(0, NULLISH_TEXT_MAX);
}

/** Gives members that differ from a known name only in case that name: containerd 1.6 sends `HostPort` for `hostPort`. */
export function withCanonicalNames(names: readonly string[]): (value: unknown) => unknown {
  const byLowerCase = new Map(names.map((name) => [name.toLowerCase(), name]));
  return (value) => {
    if (!isObject(value)) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [byLowerCase.get(key.toLowerCase()) ?? key, item]),
    );
  };
}

/** A list, where Go also writes null for an empty one. */
export function listOf<T extends z.ZodType>(item: T, maxLength: number) {
  return z
    .array(item)
    .max(maxLength)
    .nullish()
    .transform((list) => list ?? []);
}

/** A map of strings, where Go also writes null for an empty one. */
export function stringMap(maxKeyLength: number, maxValueLength: number) {
  return z
    .record(z.string().min(1).max(maxKeyLength), z.string().max(maxValueLength))
    .nullish()
    .transform((map) => new Map(Object.entries(map ?? {})) as ReadonlyMap<string, string>);
}
