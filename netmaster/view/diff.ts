import { KINDS, type Kind } from "../../state/records.ts";
import type { FrozenView } from "./cluster-view.ts";
import type { ObjectChange } from "./types.ts";

/** The changes that lead from one view to another of which the steps between are not known. */
export function changesBetween(before: FrozenView, after: FrozenView): readonly ObjectChange[] {
  return KINDS.flatMap((kind) => [...goneOf(kind, before, after), ...newOf(kind, before, after)]);
}

function goneOf(kind: Kind, before: FrozenView, after: FrozenView): ObjectChange[] {
  const present = after.records(kind);
  return [...before.records(kind).entries()]
    .filter(([key]) => !present.has(key))
    .map(([key, previous]) => change({ kind, key, record: undefined, previous, modRevision: after.revision }));
}

function newOf(kind: Kind, before: FrozenView, after: FrozenView): ObjectChange[] {
  const earlier = before.records(kind);
  return [...after.records(kind).entries()].flatMap(([key, record]) => {
    const previous = earlier.get(key);
    if (previous !== undefined && JSON.stringify(previous) === JSON.stringify(record)) return [];
    return [change({ kind, key, record, previous, modRevision: after.modRevision(kind, key) })];
  });
}

function change(parts: object): ObjectChange {
  return parts as ObjectChange;
}
