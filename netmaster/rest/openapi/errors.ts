import type { Route } from "../call.ts";
import { count, list, members, named, type Schema, text } from "./schema.ts";

/** Names and meanings of the errors that operations list, as docs/rest-api.md has them. */
const ERRORS: Readonly<Record<number, { readonly name: string; readonly description: string }>> = {
  400: { name: "Invalid", description: "The request is wrong; field says where." },
  404: { name: "NotFound", description: "The object does not exist." },
  409: { name: "Conflict", description: "It does not fit to what is there; blockers names objects in the way." },
  410: {
    name: "Gone",
    description:
      "The watch begins too far in the past, or in another epoch of the store: list again and watch from there.",
  },
  412: { name: "PreconditionFailed", description: "If-Match or If-None-Match does not hold." },
  413: { name: "BodyTooLarge", description: "The body is larger than 1 MiB." },
  501: { name: "Unsupported", description: "This release cannot do it." },
  503: { name: "Unavailable", description: "No leader, or the store is away: try again." },
};

const OTHER = "OtherError";
const PROBLEM = { "application/problem+json": { schema: named("Problem") } };

/** `components.responses`. */
export function errorResponses(): Schema {
  const all = Object.entries(ERRORS).map(([status, { name, description }]) => {
    const retry = status === "503" ? { headers: { "Retry-After": headerNamed("Retry-After") } } : {};
    return [name, { description, ...retry, content: PROBLEM }];
  });
  const description =
    "Any other error. A request without an Accept header gets every error as 500 with its text alone.";
  const text = { "text/plain": { schema: { type: "string" } } };
  return Object.fromEntries([...all, [OTHER, { description, content: { ...PROBLEM, ...text } }]]);
}

/** The errors that a route can answer with, by status. */
export function errorsOf(route: Route): Schema {
  const { operation, parameters = [], isWrite = false, path, needsView = true } = route;
  const { answer, body, errors = [], others = {} } = operation;
  const statuses = new Set([
    400,
    ...errors,
    ...(path.includes(":key") && answer !== undefined ? [404] : []),
    ...(parameters.includes("watch") ? [410] : []),
    ...(isWrite ? [409] : []),
    ...(parameters.includes("dryRun") ? [412, 501] : []),
    ...(body === undefined ? [] : [413]),
    ...(needsView ? [503] : []),
  ]);
  for (const status of Object.keys(others)) statuses.delete(Number(status));
  const listed = [...statuses].sort((left, right) => left - right).map((status) => [status, responseNamed(status)]);
  return { ...Object.fromEntries(listed), default: { $ref: `#/components/responses/${OTHER}` } };
}

function responseNamed(status: number): Schema {
  return { $ref: `#/components/responses/${ERRORS[status]?.name ?? OTHER}` };
}

export function headerNamed(name: string): Schema {
  return { $ref: `#/components/headers/${name}` };
}

/** `components.headers`. */
export const HEADERS: Schema = {
  ETag: { description: "Revision and epoch of the object's own members; opaque.", schema: { type: "string" } },
  "contiv-revision": {
    description: "Store revision that the reply shows, with the epoch of the store; opaque.",
    schema: { type: "string" },
  },
  Warning: {
    description:
      "Members that are ignored, as in v1, although they are almost one of the object's: 299 and a text for each.",
    schema: { type: "string" },
  },
  "contiv-continue": { description: "There are more: what continue must say next.", schema: { type: "string" } },
  "Retry-After": { description: "Seconds after which to try again.", schema: { type: "integer" } },
};

/** RFC 9457. */
export const PROBLEM_SCHEMA: Schema = members(
  {
    type: text("Path that names the kind of error."),
    title: text("The kind of error in words."),
    status: count("HTTP status."),
    detail: text("What is wrong, with the value and what to do."),
    instance: text("Path of the request."),
    code: text("Stable name of the error."),
  },
  {
    field: text("The member or parameter at fault."),
    blockers: list({ type: "string" }, "Keys of the first objects that stand in the way."),
  },
  "An error (RFC 9457).",
);
