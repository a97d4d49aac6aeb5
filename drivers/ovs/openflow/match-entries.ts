import { NetError } from "../../../state/errors.ts";
import { type FieldSpec, fieldByName } from "./fields.ts";
import type { Match } from "./flow.ts";

/** One field of a match with its value as the API has it. */
export interface MatchEntry {
  readonly spec: FieldSpec;
  readonly value: unknown;
}

/** The fields that a match names, in the order in which they are written. */
export function matchEntries(match: Match): MatchEntry[] {
  const entries: MatchEntry[] = [];
  for (const name in match) {
    const value: unknown = match[name as keyof Match];
    if (value === undefined || name === "unknown") continue;
    const spec = fieldByName(name);
    if (spec === undefined || spec.isForActions) {
      throw new NetError("INVALID", `Cannot match field "${name}": there is no such field`, { field: name });
    }
    entries.push({ spec, value });
  }
  return entries.sort(byOrder);
}

function byOrder(a: MatchEntry, b: MatchEntry): number {
  return a.spec.order - b.spec.order;
}

/** The same with the fields that others presuppose. */
export function completeEntries(entries: readonly MatchEntry[]): readonly MatchEntry[] {
  const complete = [...entries];
  for (const { spec } of entries) {
    for (const { name, value } of spec.implies) {
      const implied = fieldByName(name);
      if (implied !== undefined && valueIn(complete, name) === undefined) complete.push({ spec: implied, value });
    }
  }
  return complete.length === entries.length ? entries : complete.sort(byOrder);
}

function valueIn(entries: readonly MatchEntry[], name: string): unknown {
  for (const entry of entries) if (entry.spec.name === name) return entry.value;
  return undefined;
}

/** Refuses a match whose given fields contradict each other, or leave open what cannot be guessed. */
export function checkEntries(given: readonly MatchEntry[], complete: readonly MatchEntry[]): void {
  for (const { spec } of given) {
    for (const { name, value, isLoose } of spec.implies) {
      const actual = valueIn(complete, name);
      if (actual !== value && !isLoose) throw contradiction(spec, `${name} is ${actual}: it needs ${value}`);
    }
    if (spec.isOverIp) {
      const ethType = valueIn(complete, "ethType");
      if (ethType !== 0x0800 && ethType !== 0x86dd) throw contradiction(spec, "ethType is neither 0x0800 nor 0x86dd");
    }
    if (spec.isOfNd) {
      const type = valueIn(complete, "icmpv6Type");
      if (type !== 135 && type !== 136) throw contradiction(spec, "icmpv6Type is neither 135 nor 136");
    }
  }
}

function contradiction(spec: FieldSpec, details: string): NetError {
  return new NetError("INVALID", `Cannot match ${spec.name} where ${details}`, { field: spec.name });
}

/** The match with the fields that others presuppose, unchecked. */
export function completeMatch(match: Match): Match {
  const entries = completeEntries(matchEntries(match));
  const complete = Object.fromEntries(entries.map(({ spec, value }) => [spec.name, value]));
  return match.unknown === undefined ? complete : { ...complete, unknown: match.unknown };
}
