import type { EndpointRecord } from "../../state/kinds/endpoint.ts";
import type { Kind } from "../../state/records.ts";
import type { SortedMap } from "../../state/sorted-map.ts";
import { addressesOf, type IndexName, indexEntries } from "./indexes.ts";
import { type ObjectId, objectId } from "./messages.ts";
import {
  type Held,
  type Listing,
  type NodeView,
  newListing,
  type ObjectRef,
  type Tombstone,
  type ViewStep,
} from "./node-view.ts";

/**
 * A view being changed: every map in it is a copy that shares its nodes with the view it began from. Lives only within one step
 * (apply.ts, early.ts) and never leaves it.
 */
export interface Draft {
  revision: bigint;
  complete: boolean;
  position: bigint;
  listing: Listing | undefined;
  readonly tables: Map<Kind, SortedMap<string, Held>>;
  readonly indexes: Map<IndexName, SortedMap<string, string>>;
  readonly quarantined: SortedMap<ObjectId, string>;
  readonly released: SortedMap<string, Held<EndpointRecord>>;
  readonly tombstones: SortedMap<ObjectId, Tombstone>;
  readonly changes: Map<ObjectId, ObjectRef>;
}

export function beginDraft(view: NodeView): Draft {
  return {
    revision: view.revision,
    complete: view.complete,
    position: view.position,
    listing: view.listing === undefined ? undefined : cloneListing(view.listing),
    tables: cloneAll(view.tables),
    indexes: cloneAll(view.indexes),
    quarantined: view.quarantined.clone(),
    released: view.released.clone(),
    tombstones: view.tombstones.clone(),
    changes: new Map(),
  };
}

function cloneListing({ sent, doubtful, synced }: Listing): Listing {
  return { sent: sent.clone(), doubtful: doubtful.clone(), synced };
}

function cloneAll<N, K, V>(maps: ReadonlyMap<N, SortedMap<K, V>>): Map<N, SortedMap<K, V>> {
  return new Map([...maps].map(([name, map]) => [name, map.clone()]));
}

export function finishDraft({ changes, ...view }: Draft): ViewStep {
  return { view: Object.freeze(view), changes };
}

export function heldIn(draft: Draft, kind: Kind, key: string): Held | undefined {
  return draft.tables.get(kind)?.get(key);
}

/** Puts a version in the place of the present one, keeps the indexes, notes the change. */
export function setHeld(draft: Draft, kind: Kind, key: string, held: Held): void {
  const present = heldIn(draft, kind, key);
  if (present !== undefined) unindex(draft, kind, key, present);
  draft.tables.get(kind)?.set(key, held);
  for (const { index, entry } of indexEntries(kind, held.record)) draft.indexes.get(index)?.set(entry, key);
  note(draft, kind, key);
}

/** Nothing but the knowledge until when the object was in scope; no change to anybody. */
export function confirmHeld(draft: Draft, kind: Kind, key: string, asOf: bigint): void {
  const present = heldIn(draft, kind, key);
  if (present !== undefined && present.asOf < asOf) draft.tables.get(kind)?.set(key, { ...present, asOf });
}

export function dropHeld(draft: Draft, kind: Kind, key: string): void {
  const present = heldIn(draft, kind, key);
  if (present === undefined) return;
  unindex(draft, kind, key, present);
  draft.tables.get(kind)?.delete(key);
  note(draft, kind, key);
}

/** Removes index entries that point at this object; another one may hold them meanwhile. */
function unindex(draft: Draft, kind: Kind, key: string, { record }: Held): void {
  for (const { index, entry } of indexEntries(kind, record)) {
    const entries = draft.indexes.get(index);
    if (entries?.get(entry) === key) entries.delete(entry);
  }
}

function note(draft: Draft, kind: Kind, key: string): void {
  draft.changes.set(objectId(kind, key), { kind, key });
}

/** Other endpoints that hold an address of this one. */
export function addressRivals(draft: Draft, endpoint: EndpointRecord): readonly string[] {
  const holders = addressesOf(endpoint).map((entry) => draft.indexes.get("endpointByAddress")?.get(entry));
  return holders.filter((holder) => holder !== undefined).filter((holder) => holder !== endpoint.key);
}

export function restartListing(draft: Draft): void {
  draft.listing = newListing();
  draft.tombstones.clear();
  draft.position = 0n;
}
