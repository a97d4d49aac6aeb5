import type { EndpointRecord } from "../../state/kinds/endpoint.ts";
import type { Kind } from "../../state/records.ts";
import { compareText, type SortedMap, sortedMap } from "../../state/sorted-map.ts";
import { addressesOf, type IndexName, placesOf, type UniqueIndexName, uniquePlacesOf } from "./indexes.ts";
import { type ObjectId, objectId } from "./messages.ts";
import {
  type Held,
  type KeySet,
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
  epoch: string | undefined;
  revision: bigint;
  complete: boolean;
  position: bigint;
  listing: Listing | undefined;
  readonly tables: Map<Kind, SortedMap<string, Held>>;
  readonly indexes: Map<IndexName, SortedMap<string, KeySet>>;
  readonly uniqueIndexes: Map<UniqueIndexName, SortedMap<string, string>>;
  /** Sets of the indexes that are this draft's own already: no view has them yet. */
  readonly ownSets: Set<KeySet>;
  readonly quarantined: SortedMap<ObjectId, string>;
  readonly released: SortedMap<string, Held<EndpointRecord>>;
  readonly tombstones: SortedMap<ObjectId, Tombstone>;
  readonly changes: Map<ObjectId, ObjectRef>;
}

export function beginDraft(view: NodeView): Draft {
  return {
    epoch: view.epoch,
    revision: view.revision,
    complete: view.complete,
    position: view.position,
    listing: view.listing === undefined ? undefined : cloneListing(view.listing),
    tables: cloneAll(view.tables),
    indexes: cloneAll(view.indexes),
    uniqueIndexes: cloneAll(view.uniqueIndexes),
    ownSets: new Set(),
    quarantined: view.quarantined.clone(),
    released: view.released.clone(),
    tombstones: view.tombstones.clone(),
    changes: new Map(),
  };
}

function cloneListing({ epoch, sent, doubtful, synced }: Listing): Listing {
  return { epoch, sent: sent.clone(), doubtful: doubtful.clone(), synced };
}

function cloneAll<N, K, V>(maps: ReadonlyMap<N, SortedMap<K, V>>): Map<N, SortedMap<K, V>> {
  return new Map([...maps].map(([name, map]) => [name, map.clone()]));
}

export function finishDraft({ changes, ownSets: _, ...view }: Draft): ViewStep {
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
  for (const { index, place } of placesOf(kind, held.record)) ownSet(draft, index, place)?.set(key, true);
  for (const { index, place } of uniquePlacesOf(kind, held.record)) draft.uniqueIndexes.get(index)?.set(place, key);
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

/** Takes an object out of the indexes; what it had alone, another one may hold meanwhile. */
function unindex(draft: Draft, kind: Kind, key: string, { record }: Held): void {
  for (const { index, place } of placesOf(kind, record)) {
    const keys = ownSet(draft, index, place);
    keys?.delete(key);
    if (keys?.size === 0) draft.indexes.get(index)?.delete(place);
  }
  for (const { index, place } of uniquePlacesOf(kind, record)) {
    const holders = draft.uniqueIndexes.get(index);
    if (holders?.get(place) === key) holders.delete(place);
  }
}

/** The set of keys in a place of an index, to be changed. */
function ownSet({ indexes, ownSets }: Draft, index: IndexName, place: string): KeySet | undefined {
  const places = indexes.get(index);
  const present = places?.get(place);
  if (present !== undefined && ownSets.has(present)) return present;
  const own = present?.clone() ?? sortedMap<string, true>(compareText);
  ownSets.add(own);
  places?.set(place, own);
  return own;
}

function note(draft: Draft, kind: Kind, key: string): void {
  draft.changes.set(objectId(kind, key), { kind, key });
}

/** Other endpoints that hold an address of this one. */
export function addressRivals(draft: Draft, endpoint: EndpointRecord): readonly string[] {
  const holders = addressesOf(endpoint).map((place) => draft.uniqueIndexes.get("endpointByAddress")?.get(place));
  return holders.filter((holder) => holder !== undefined).filter((holder) => holder !== endpoint.key);
}

export function restartListing(draft: Draft, epoch: string | undefined): void {
  draft.listing = newListing(epoch);
  draft.tombstones.clear();
  draft.position = 0n;
}
