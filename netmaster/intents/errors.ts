import { CREATE_IT_FIRST, NetError, UNKNOWN_REFERENCE } from "../../state/errors.ts";
import type { Kind } from "../../state/records.ts";
import type { ClusterView, KeySet } from "../view/types.ts";

/** How many keys of each kind an in-use error names. */
const BLOCKERS_SHOWN = 3;

/** Objects of one kind that stand in the way. `noun` is singular. */
export interface Use {
  readonly noun: string;
  readonly keys: KeySet;
}

const PLURALS: Readonly<Record<string, string>> = { policy: "policies" };

function counted(count: number, noun: string): string {
  return `${count} ${count === 1 ? noun : (PLURALS[noun] ?? `${noun}s`)}`;
}

/** Refuses when any of the uses is not empty, and names all kinds of users at once (contract §13 row 29). */
export function refuseInUse(what: string, uses: readonly Use[]): void {
  const found = uses.filter(({ keys }) => keys.size > 0);
  if (found.length === 0) return;
  const message = `${what} is used by ${found.map(usersOf).join("; ")}`;
  throw new NetError("IN_USE", message, { reason: "in-use", blockers: found.flatMap(shownOf) });
}

function usersOf(use: Use): string {
  const shown = shownOf(use);
  const more = use.keys.size > shown.length ? `, … (${use.keys.size - shown.length} more)` : "";
  return `${counted(use.keys.size, use.noun)}: ${shown.join(", ")}${more}`;
}

function shownOf({ keys }: Use): readonly string[] {
  return firstOf(keys, BLOCKERS_SHOWN);
}

/** The keys of all objects of a kind. */
export function allKeys(view: ClusterView, kind: Kind): KeySet {
  const records = view.records(kind);
  return {
    size: records.size,
    has: (key) => records.has(key),
    *[Symbol.iterator]() {
      for (const [key] of records.entries()) yield key;
    },
  };
}

/** The first `count` of something iterable. */
export function firstOf<T>(items: Iterable<T>, count: number): readonly T[] {
  const found: T[] = [];
  for (const item of items) {
    if (found.length === count) break;
    found.push(item);
  }
  return found;
}

/** A key that a client made up, without the control characters that would end the text or disturb a terminal. */
export function printable(key: string): string {
  return key.replaceAll(/\p{Cc}/gu, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

export function notFound(what: string, key: string): NetError {
  return new NetError("NOT_FOUND", `${what} ${printable(key)} does not exist`, { reason: "not-found" });
}

/** A reference in the request's body to something that is not there. */
export function unknownReference(field: string, what: string, key: string): NetError {
  const message = `${field}: ${what} ${key} does not exist${CREATE_IT_FIRST}`;
  return new NetError("INVALID", message, { reason: UNKNOWN_REFERENCE, field });
}

export function immutable(message: string, field?: string): NetError {
  return new NetError("IMMUTABLE", message, { reason: "immutable", ...(field === undefined ? {} : { field }) });
}

export function invalid(field: string, message: string): NetError {
  return new NetError("INVALID", `${field} ${message}`, { reason: "invalid-field", field });
}

export function conflict(reason: string, message: string, field?: string): NetError {
  return new NetError("CONFLICT", message, { reason, ...(field === undefined ? {} : { field }) });
}
