import type { EndpointRecord } from "../../state/kinds/endpoint.ts";
import { KINDS } from "../../state/records.ts";
import {
  addressRivals,
  beginDraft,
  confirmHeld,
  type Draft,
  dropHeld,
  finishDraft,
  heldIn,
  restartListing,
  setHeld,
} from "./draft.ts";
import { type DeleteMessage, objectId, type PutMessage, type ViewMessage } from "./messages.ts";
import { type Held, NO_CHANGES, type NodeView, type ViewStep } from "./node-view.ts";

/**
 * To be called when a new watch stream is opened, before its first message: `synced` will then remove what this stream did not
 * send. (The first stream after `emptyView` needs no call.)
 */
export function beginStream(view: NodeView, epoch: string | undefined = view.epoch): NodeView {
  const draft = beginDraft(view);
  restartListing(draft, epoch);
  return finishDraft(draft).view;
}

/** One message of the watch stream. */
export function applyMessage(view: NodeView, message: ViewMessage): ViewStep {
  return applyBatch(view, [message]);
}

/** Messages of the watch stream in their order; one new view for all. An older version never replaces a newer one. */
export function applyBatch(view: NodeView, messages: readonly ViewMessage[]): ViewStep {
  if (messages.length === 0) return { view, changes: NO_CHANGES };
  const draft = beginDraft(view);
  for (const message of messages) applyToDraft(draft, message);
  return finishDraft(draft);
}

function applyToDraft(draft: Draft, message: ViewMessage): void {
  switch (message.type) {
    case "put":
      applyStreamPut(draft, message);
      break;
    case "delete":
      applyDelete(draft, message);
      break;
    case "quarantine":
      draft.quarantined.set(objectId(message.kind, message.key), message.reason);
      draft.listing?.sent.set(objectId(message.kind, message.key), true);
      break;
    case "synced":
      applySynced(draft, message.revision);
      break;
    case "bookmark":
      applyBookmark(draft, message.revision);
      break;
    default:
      message satisfies never;
  }
}

/** Objects of a list come in no order of revisions; what comes after `synced` does. */
function isOrdered({ listing }: Draft): boolean {
  return listing === undefined || listing.synced;
}

/** The revision that the stream has reached with a message of that revision; within a list, just that. */
function reach(draft: Draft, modRevision: bigint): bigint {
  if (!isOrdered(draft)) return modRevision;
  if (draft.position < modRevision) draft.position = modRevision;
  return draft.position;
}

function applyStreamPut(draft: Draft, message: PutMessage): void {
  const asOf = reach(draft, message.modRevision);
  const id = objectId(message.kind, message.key);
  draft.listing?.sent.set(id, true);
  draft.listing?.doubtful.delete(id);
  draft.tombstones.delete(id);
  if (message.kind === "endpoint" && isReleased(draft, message as PutMessage<"endpoint">, asOf)) return;
  if (isDoubtful(draft, message)) draft.listing?.doubtful.set(id, message);
  else applyPut(draft, message, asOf);
}

function isDoubtful(draft: Draft, { kind, key, modRevision }: PutMessage): boolean {
  return draft.listing !== undefined && modRevision <= draft.revision && heldIn(draft, kind, key) === undefined;
}

/** A lease that was ended here stays ended, whatever older news the stream brings; another epoch is another lease. */
function isReleased(draft: Draft, { key, modRevision, record }: PutMessage<"endpoint">, asOf: bigint): boolean {
  const released = draft.released.get(key);
  if (released === undefined) return false;
  if (released.record.epoch === record.epoch) {
    draft.released.set(key, { record, modRevision, asOf });
    return true;
  }
  if (modRevision < released.modRevision) return true;
  draft.released.delete(key);
  return false;
}

/** Revision of what was held when the store became another one: every version of the new store replaces it, an equal one without a change. */
const REBASED = -1n;

/** Puts a version unless a newer one is held. Used for the stream's objects and for those of a reply (early.ts). */
export function applyPut(draft: Draft, { kind, key, modRevision, record }: PutMessage, asOf: bigint): void {
  const present = heldIn(draft, kind, key);
  if (present !== undefined && present.modRevision > modRevision) return;
  draft.quarantined.delete(objectId(kind, key));
  if (present?.modRevision === modRevision) {
    confirmHeld(draft, kind, key, asOf);
    return;
  }
  if (present?.modRevision === REBASED && JSON.stringify(present.record) === JSON.stringify(record)) {
    draft.tables.get(kind)?.set(key, { record: present.record, modRevision, asOf });
    return;
  }
  const held: Held = { record, modRevision, asOf: present !== undefined && present.asOf > asOf ? present.asOf : asOf };
  if (kind === "endpoint" && !takeAddresses(draft, held as Held<EndpointRecord>)) return;
  setHeld(draft, kind, key, held);
}

/**
 * An address has one holder, and the newer claim proves that the older has gone, even if word of that has not come yet.
 * False when it is this endpoint that has gone.
 */
function takeAddresses(draft: Draft, { record, modRevision }: Held<EndpointRecord>): boolean {
  const rivals = addressRivals(draft, record);
  const isOutdated = rivals.some((key) => (heldIn(draft, "endpoint", key)?.modRevision ?? 0n) > modRevision);
  if (!isOutdated) for (const key of rivals) dropHeld(draft, "endpoint", key);
  return !isOutdated;
}

/** What the view holds was in scope at its revision: a delete from before that waits until the stream has caught up. */
function applyDelete(draft: Draft, { kind: kindText, key, modRevision }: DeleteMessage): void {
  const id = objectId(kindText, key);
  const reached = reach(draft, modRevision);
  draft.listing?.sent.delete(id);
  draft.listing?.doubtful.delete(id);
  draft.quarantined.delete(id);
  const kind = KINDS.find((candidate) => candidate === kindText);
  if (kind === undefined) return;
  if (reached >= draft.revision) {
    if (kind === "endpoint" && isGone(draft.released.get(key), reached)) draft.released.delete(key);
    if (isGone(heldIn(draft, kind, key), reached)) dropHeld(draft, kind, key);
  }
  draft.tombstones.set(id, { kind, key, modRevision });
}

function isGone(held: Held | undefined, reached: bigint): boolean {
  return held !== undefined && held.asOf <= reached;
}

function applySynced(draft: Draft, revision: bigint): void {
  draft.complete = true;
  draft.position = revision;
  if (draft.listing !== undefined) draft.listing = { ...draft.listing, synced: true };
  arriveAt(draft, revision);
}

function applyBookmark(draft: Draft, revision: bigint): void {
  if (!isOrdered(draft)) return;
  if (draft.position < revision) draft.position = revision;
  arriveAt(draft, revision);
}

/** A stream of a netmaster that lags must not take away what a faster one has told: it is compared once it has caught up. */
function arriveAt(draft: Draft, revision: bigint): void {
  if (revision < draft.revision) return;
  draft.revision = revision;
  buryDead(draft, revision);
  if (draft.listing === undefined) return;
  for (const message of draft.listing.doubtful.values()) applyPut(draft, message, revision);
  removeUnsent(draft, draft.listing.sent, revision);
  draft.epoch = draft.listing.epoch;
  draft.listing = undefined;
}

/** What the stream took away and has not brought back; only a reply that is newer still keeps it. */
function buryDead(draft: Draft, revision: bigint): void {
  for (const [id, { kind, key }] of draft.tombstones.toArray()) {
    const held = heldIn(draft, kind, key);
    if (held !== undefined && held.asOf > revision) continue;
    dropHeld(draft, kind, key);
    if (kind === "endpoint" && isGone(draft.released.get(key), revision)) draft.released.delete(key);
    draft.tombstones.delete(id);
  }
}

function removeUnsent(draft: Draft, sent: { has(id: string): boolean }, revision: bigint): void {
  for (const [kind, table] of draft.tables) {
    const gone = [...table.entries()].filter(([key, held]) => !sent.has(objectId(kind, key)) && isGone(held, revision));
    for (const [key] of gone) dropHeld(draft, kind, key);
  }
  for (const id of draft.quarantined.keysArray()) if (!sent.has(id)) draft.quarantined.delete(id);
  for (const [key, held] of draft.released.toArray()) {
    if (!sent.has(objectId("endpoint", key)) && isGone(held, revision)) draft.released.delete(key);
  }
}

/**
 * The store is another one (restored, or made anew), so its revisions say nothing about ours: everything held stays in force until
 * the new stream's list is complete, but any version that it sends replaces ours.
 */
export function rebaseView(view: NodeView, epoch: string): NodeView {
  const draft = beginDraft(view);
  for (const table of draft.tables.values()) {
    for (const [key, held] of table.toArray()) table.set(key, { ...held, modRevision: REBASED, asOf: REBASED });
  }
  for (const [key, held] of draft.released.toArray()) {
    draft.released.set(key, { ...held, modRevision: REBASED, asOf: REBASED });
  }
  draft.revision = 0n;
  restartListing(draft, epoch);
  return finishDraft(draft).view;
}
