import type { EndpointRecord } from "../../state/kinds/endpoint.ts";
import type { EndpointReply } from "../../state/node-api.ts";
import { KINDS } from "../../state/records.ts";
import { applyPut } from "./apply.ts";
import { beginDraft, type Draft, dropHeld, finishDraft, heldIn, setHeld } from "./draft.ts";
import { objectId, type PutMessage, parseMessage, parseRevision } from "./messages.ts";
import { type Held, NO_CHANGES, type NodeView, type ViewStep } from "./node-view.ts";

/**
 * The objects that came with an endpoint reply, before the watch delivers them. `reply` has passed its schema; its objects are
 * parsed here, and quarantined when this release cannot read them.
 *
 * A reply that is older than what the stream has delivered is not applied: everything in it has been told already, and what is absent
 * has gone since (look the endpoint up in the returned view to learn that). A lease that had been ended here and was asked for again
 * is taken back. Nor is one of another epoch than the stream's: its revision says nothing here.
 */
export function applyEndpointReply(view: NodeView, reply: EndpointReply): ViewStep {
  const draft = beginDraft(view);
  takeBack(draft, reply.endpoint);
  const revision = parseRevision(reply.revision);
  if (revision > view.revision && isOfStream(view, reply)) applyReply(draft, reply, revision);
  return finishDraft(draft);
}

/** Epoch of the store that the present stream tells of. */
export function streamEpochOf({ listing, epoch }: NodeView): string | undefined {
  return listing?.epoch ?? epoch;
}

function isOfStream(view: NodeView, { storeEpoch }: EndpointReply): boolean {
  const epoch = streamEpochOf(view);
  return storeEpoch === undefined || epoch === undefined || storeEpoch === epoch;
}

function takeBack(draft: Draft, { key, epoch }: EndpointRecord): void {
  const released = draft.released.get(key);
  if (released?.record.epoch !== epoch) return;
  draft.released.delete(key);
  setHeld(draft, "endpoint", key, released);
}

function applyReply(draft: Draft, { endpoint, objects }: EndpointReply, revision: bigint): void {
  const { key, epoch } = endpoint;
  for (const object of objects) {
    const message = parseMessage(object);
    if (message.type === "quarantine") quarantineEarly(draft, message);
    if (message.type === "put") applyEarly(draft, message, revision);
  }
  draft.released.delete(key);
  if (epochOf(draft, key) === epoch) return;
  applyEarly(draft, { type: "put", kind: "endpoint", key, modRevision: revision, record: endpoint }, revision);
}

/** Not what the stream has seen deleted since; it may have told that without having told everything up to then. */
function applyEarly(draft: Draft, message: PutMessage, revision: bigint): void {
  const tombstone = draft.tombstones.get(objectId(message.kind, message.key));
  if (tombstone === undefined || tombstone.modRevision < revision) applyPut(draft, message, revision);
}

/** A last good version, which may be newer than the reply, stays without blame. */
function quarantineEarly(draft: Draft, refused: { kind: string; key: string; reason: string }): void {
  const kind = KINDS.find((candidate) => candidate === refused.kind);
  if (kind !== undefined && heldIn(draft, kind, refused.key) !== undefined) return;
  draft.quarantined.set(objectId(refused.kind, refused.key), refused.reason);
}

function epochOf(draft: Draft, key: string): string | undefined {
  return (heldIn(draft, "endpoint", key) as Held<EndpointRecord> | undefined)?.record.epoch;
}

/**
 * A pod has been taken off the network: its endpoint leaves the view at once, so that its flows go before its addresses are free.
 * The lease is kept under `released` until the stream shows that netmaster has ended it. Of another epoch nothing is removed.
 */
export function releaseEarly(view: NodeView, key: string, epoch: string): ViewStep {
  const held = view.tables.get("endpoint")?.get(key) as Held<EndpointRecord> | undefined;
  if (held?.record.epoch !== epoch) return { view, changes: NO_CHANGES };
  const draft = beginDraft(view);
  dropHeld(draft, "endpoint", key);
  draft.released.set(key, held);
  return finishDraft(draft);
}
