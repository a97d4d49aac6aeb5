import type { Kind, RecordOf } from "../../state/records.ts";
import type { ClusterView } from "../view/types.ts";

const MAX_LINES = 1_024;

/** Writes watch messages as lines, each object's once for all streams that need it at about the same time. */
export class WatchLines {
  #puts = new Map<object, { readonly modRevision: bigint; readonly line: string }>();

  /** The object as it is in the view. */
  put(view: ClusterView, kind: Kind, key: string, record: RecordOf<Kind>): string {
    const modRevision = view.modRevision(kind, key) ?? 0n;
    const known = this.#puts.get(record);
    if (known?.modRevision === modRevision) return known.line;
    const line = `${JSON.stringify(putMessage(view, kind, key, record))}\n`;
    if (this.#puts.size >= MAX_LINES) this.#puts = new Map();
    this.#puts.set(record, { modRevision, line });
    return line;
  }

  /**
   * The object is not in the node's scope. Where it still exists, the message carries the revision of its last write, so that a later
   * put of the same version is not taken for an older one.
   */
  delete(view: ClusterView, kind: Kind, key: string): string {
    const modRevision = String(view.modRevision(kind, key) ?? view.revision);
    return `${JSON.stringify({ type: "delete", kind, key, modRevision })}\n`;
  }

  synced(revision: bigint): string {
    return `${JSON.stringify({ type: "synced", revision: String(revision) })}\n`;
  }

  bookmark(revision: bigint): string {
    return `${JSON.stringify({ type: "bookmark", revision: String(revision) })}\n`;
  }
}

/** An object in the form of the watch's puts. */
export function putMessage(view: ClusterView, kind: Kind, key: string, record: RecordOf<Kind>) {
  return { type: "put", kind, key, modRevision: String(view.modRevision(kind, key) ?? 0n), object: record } as const;
}
