import type { EndpointRecord } from "../../state/kinds/endpoint.ts";
import { KINDS, type Kind, type RecordOf } from "../../state/records.ts";
import { compareText, type SortedMap, sortedMap } from "../../state/sorted-map.ts";
import { INDEX_NAMES, type IndexName, UNIQUE_INDEX_NAMES, type UniqueIndexName } from "./indexes.ts";
import type { ObjectId, PutMessage } from "./messages.ts";

/** Keys of objects, in their order. */
export type KeySet = SortedMap<string, true>;

/** One object that the view holds. */
export interface Held<R = RecordOf<Kind>> {
  readonly record: R;
  /** Store revision of the version at hand. */
  readonly modRevision: bigint;
  /** The object was in this node's scope at this revision, perhaps later too: only what is newer can take it away. */
  readonly asOf: bigint;
}

/** A list that has begun with a (new) watch stream and has not been compared yet with what the view holds. */
export interface Listing {
  /** Epoch of the store that is listed; undefined where netmaster does not name it. */
  readonly epoch: string | undefined;
  /** Objects that the stream has sent so far. */
  readonly sent: SortedMap<ObjectId, true>;
  /**
   * Objects sent that the view does not hold and that are no newer than it: they have come (back) into scope, or the stream is older
   * than the view and does not know yet that they have gone. Taken in once the stream has caught up.
   */
  readonly doubtful: SortedMap<ObjectId, PutMessage>;
  /** `synced` has come, but of a revision older than the view: the comparison waits until the stream has caught up. */
  readonly synced: boolean;
}

/** The stream said since its last bookmark that an object is out of scope; a reply under way may say otherwise, and be newer or older. */
export interface Tombstone extends ObjectRef {
  readonly modRevision: bigint;
}

/**
 * What this node knows of the cluster: one immutable value. The next view shares with it everything that has not changed.
 * Read it with the functions of query.ts.
 */
export interface NodeView {
  /** Epoch of the store that was listed completely last: revisions of different epochs say nothing about each other. */
  readonly epoch: string | undefined;
  /** Everything up to this store revision has been delivered; never decreases (but for `rebaseView`). */
  readonly revision: bigint;
  /** A first complete list has been received: what is not in the view does not exist (for this node). */
  readonly complete: boolean;
  readonly tables: ReadonlyMap<Kind, SortedMap<string, Held>>;
  readonly indexes: ReadonlyMap<IndexName, SortedMap<string, KeySet>>;
  readonly uniqueIndexes: ReadonlyMap<UniqueIndexName, SortedMap<string, string>>;
  /** Objects that this release cannot read, with the reason. A last good version stays in the view. */
  readonly quarantined: SortedMap<ObjectId, string>;
  /** Leases of this node that were ended here and that netmaster still shows: to be released (again). */
  readonly released: SortedMap<string, Held<EndpointRecord>>;
  /** Revision that the present stream has reached: what it says next was true then, or later. */
  readonly position: bigint;
  readonly tombstones: SortedMap<ObjectId, Tombstone>;
  readonly listing: Listing | undefined;
}

/** One object that differs (or may differ) between two views: appeared, changed or went. */
export interface ObjectRef {
  readonly kind: Kind;
  readonly key: string;
}

/** Objects touched between two views. */
export type Changes = ReadonlyMap<ObjectId, ObjectRef>;

export interface ViewStep {
  readonly view: NodeView;
  readonly changes: Changes;
}

export const NO_CHANGES: Changes = new Map();

/** Touched by either: for whoever skips views. */
export function mergeChanges(earlier: Changes, later: Changes): Changes {
  if (earlier.size === 0) return later;
  return new Map([...earlier, ...later]);
}

/** The view of a node that has heard nothing yet; its first stream may begin at once. */
export function emptyView(): NodeView {
  return Object.freeze({
    epoch: undefined,
    revision: 0n,
    complete: false,
    tables: new Map(KINDS.map((kind) => [kind, sortedMap<string, Held>(compareText)])),
    indexes: new Map(INDEX_NAMES.map((name) => [name, sortedMap<string, KeySet>(compareText)])),
    uniqueIndexes: new Map(UNIQUE_INDEX_NAMES.map((name) => [name, sortedMap<string, string>(compareText)])),
    quarantined: sortedMap<ObjectId, string>(compareText),
    released: sortedMap<string, Held<EndpointRecord>>(compareText),
    position: 0n,
    tombstones: sortedMap<ObjectId, Tombstone>(compareText),
    listing: newListing(),
  });
}

export function newListing(epoch?: string): Listing {
  return { epoch, sent: sortedMap(compareText), doubtful: sortedMap(compareText), synced: false };
}
