import type { Failures } from "../../../state/delta.ts";
import type { RefusedObject } from "../../machine/machine.ts";

/** One flow of a bundle, in the order of sending. */
export interface OfferedFlow {
  readonly key: string;
  readonly table: number;
  /** `kind/key`; undefined when it is not known. */
  readonly owner: string | undefined;
  /** The switch has no flow in its place yet. */
  readonly isNew: boolean;
}

/** The only refusal that says something of other flows, too. */
const TABLE_FULL = "OFPFMFC_TABLE_FULL";
const REFUSABLE = ["network", "node", "endpoint", "rule"] as const;

/**
 * Objects that are to go without flows, so that the switch takes the rest. The switch stops at the first flow for which a table has no
 * room: all new ones for that table that come after it would meet the same. Empty when that is no way out: without the base flows nothing
 * works.
 */
export function refusedObjects(failures: Failures, offered: Iterable<OfferedFlow>): ReadonlyMap<string, RefusedObject> {
  const refused = new Map<string, RefusedObject>();
  const full = new Set<number>();
  for (const { key, table, owner, isNew } of offered) {
    const failure = failures.get(key);
    if (failure?.reason === TABLE_FULL) full.add(table);
    const isTooMany = isNew && full.has(table);
    if (failure === undefined && !isTooMany) continue;
    const object = refusedObject(owner, failure?.reason ?? (isTooMany ? TABLE_FULL : "unknown error"));
    if (object === undefined) return new Map();
    refused.set(`${object.kind}/${object.key}`, object);
  }
  return refused;
}

function refusedObject(owner: string | undefined, errorName: string): RefusedObject | undefined {
  const kind = REFUSABLE.find((each) => owner?.startsWith(`${each}/`));
  if (owner === undefined || kind === undefined) return undefined;
  return { kind, key: owner.slice(kind.length + 1), reason: `The switch refuses flows of it: ${errorName}` };
}
