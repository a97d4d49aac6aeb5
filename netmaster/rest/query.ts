import { NetError } from "../../state/errors.ts";
import { nearestName } from "../../state/near-name.ts";
import { invalid } from "../intents/errors.ts";

/** The query parameters that this release knows besides those of explain; v1 had none, and others are ignored as in v1. */
export type QueryParameter = "limit" | "continue" | "watch" | "revision" | "dryRun";

const KNOWN: readonly QueryParameter[] = ["limit", "continue", "watch", "revision", "dryRun"];

/** Longest part of a client's parameter that an error repeats, in characters. */
const SHOWN_MAX_LENGTH = 40;

/**
 * Reads the query of a route. What a client may have meant is never ignored: a parameter that comes twice, one of ours where it has
 * no effect, and one that is spelled almost like ours are refused.
 */
export function readQuery(query: unknown, offered: readonly string[]): Readonly<Record<string, string>> {
  const given = Object.entries(Object(query) as Record<string, unknown>);
  for (const [name, value] of given) {
    if (Array.isArray(value)) throw invalid(shown(name), `is given ${value.length} times; give it once`);
    checkName(name, offered);
  }
  return Object.fromEntries(given.map(([name, value]) => [name, String(value ?? "")]));
}

function checkName(name: string, offered: readonly string[]): void {
  if (offered.includes(name)) return;
  if (KNOWN.some((known) => known === name)) {
    throw invalid(name, `has no effect on this request; leave it out${listOf(offered)}`);
  }
  const near = nearestName(name, [...new Set([...offered, ...KNOWN])]);
  if (near !== undefined) throw invalid(shown(name), `is unknown; the parameter is called ${near}`);
}

function listOf(offered: readonly string[]): string {
  return offered.length === 0 ? "" : ` (this request takes ${offered.join(", ")})`;
}

function shown(name: string): string {
  return name.slice(0, SHOWN_MAX_LENGTH);
}

/** Parameters that contradict each other: pages are of lists, and revisions of watches. */
export function refuseContradiction(query: Readonly<Record<string, string>>, isWatch: boolean): void {
  const wrong = (isWatch ? ["limit", "continue"] : ["revision"]).find((name) => query[name] !== undefined);
  if (wrong === undefined) return;
  const message = isWatch ? "cannot be combined with watch=true" : "needs watch=true";
  throw new NetError("INVALID", `${wrong} ${message}`, { reason: "invalid-field", field: wrong });
}
