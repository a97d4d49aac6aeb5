import { NetError } from "../../state/errors.ts";
import { parseObjectKey } from "../../state/keys.ts";
import type { Kind, RecordOf } from "../../state/records.ts";
import type { WatchEvent } from "../../state/store/store.ts";
import { type Interner, parseObject } from "./parse.ts";
import type { ObjectChange } from "./types.ts";

/** What one event of the store says of an object. */
export type ReadEvent =
  | { readonly is: "object"; readonly kind: Kind; readonly key: string; readonly record: RecordOf<Kind> | undefined }
  /** The value cannot be read: the object is treated as absent. */
  | { readonly is: "unreadable"; readonly kind: Kind; readonly key: string; readonly error: NetError }
  /** Not an object: a barrier, or a key of another release. */
  | { readonly is: "foreign" };

/** An event about one key. */
export type KeyEvent = Extract<WatchEvent, { kind: "put" | "delete" }>;

export function readEvent(event: KeyEvent, interner: Interner): ReadEvent {
  const storeKey = event.kind === "put" ? event.value.key : event.key;
  const place = placeOf(storeKey);
  if (place === undefined) return { is: "foreign" };
  if (event.kind === "delete") return { is: "object", ...place, record: undefined };
  try {
    const { record } = parseObject(storeKey, event.value.value, interner);
    return { is: "object", kind: place.kind, key: record.key, record };
  } catch (error) {
    if (error instanceof NetError && error.code === "PROTOCOL") return { is: "unreadable", ...place, error };
    throw error;
  }
}

function placeOf(storeKey: string): { readonly kind: Kind; readonly key: string } | undefined {
  try {
    return parseObjectKey(storeKey);
  } catch {
    return undefined;
  }
}

/** The change of one object; undefined when nothing was there and nothing is. */
export function changeOf<K extends Kind>(
  kind: K,
  key: string,
  versions: { readonly record: RecordOf<K> | undefined; readonly previous: RecordOf<K> | undefined },
  modRevision: bigint,
): ObjectChange | undefined {
  if (versions.record === undefined && versions.previous === undefined) return undefined;
  return { kind, key, ...versions, modRevision } as ObjectChange;
}
