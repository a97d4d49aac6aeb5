import { NetError } from "../../state/errors.ts";
import { nearestName } from "../../state/near-name.ts";
import { invalid, printable } from "../intents/errors.ts";

/** The query parameters that this release knows besides those of explain; v1 had none. */
export type QueryParameter = "limit" | "continue" | "watch" | "revision" | "dryRun";

const KNOWN: readonly QueryParameter[] = ["limit", "continue", "watch", "revision", "dryRun"];

/** Longest part of a client's parameter that an error repeats, in characters. */
const SHOWN_MAX_LENGTH = 40;

/** What a route takes. */
interface Offer {
  readonly parameters?: readonly string[];
  /** v1 did not have this route, so that nobody sends it what is unknown here. */
  readonly isOurs?: boolean;
}

/**
 * Reads the query of a route. What a client may have meant is never ignored: a parameter that comes twice, one of ours where it has
 * no effect, and one that is spelled almost like ours are refused; on our own routes everything that is unknown.
 */
export function readQuery(query: unknown, offer: Offer): Readonly<Record<string, string>> {
  const given = Object.entries(Object(query) as Record<string, unknown>);
  for (const [name, value] of given) {
    if (Array.isArray(value)) throw invalid(shown(name), `is given ${value.length} times; give it once`);
    checkName(name, offer);
  }
  return Object.fromEntries(given.map(([name, value]) => [name, String(value ?? "")]));
}

function checkName(name: string, { parameters: offered = [], isOurs = false }: Offer): void {
  if (offered.includes(name)) return;
  if (KNOWN.some((known) => known === name)) {
    throw invalid(name, `has no effect on this request; leave it out${listOf(offered)}`);
  }
  const near = nearestName(name, [...new Set([...offered, ...KNOWN])]);
  if (near !== undefined) throw invalid(shown(name), `is unknown; the parameter is called ${near}`);
  if (isOurs) throw invalid(printable(shown(name)), `is unknown; leave it out${listOf(offered)}`);
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
