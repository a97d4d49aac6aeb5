import { z } from "zod";
import { NetError } from "../../state/errors.ts";
import { KINDS, type Kind, RECORDS, type RecordOf } from "../../state/records.ts";

/** `kind/key`: names one object in changes, failures and the quarantine. Never taken apart again. */
export type ObjectId = string;

export function objectId(kind: string, key: string): ObjectId {
  return `${kind}/${key}`;
}

/** One object with the schema of its kind applied. */
export interface PutMessage<K extends Kind = Kind> {
  readonly type: "put";
  readonly kind: K;
  readonly key: string;
  readonly modRevision: bigint;
  readonly record: RecordOf<K>;
}

export interface DeleteMessage {
  readonly type: "delete";
  /** A kind that this release does not know is kept as text: it can only end a quarantine. */
  readonly kind: string;
  readonly key: string;
  readonly modRevision: bigint;
}

/** A WatchMessage after parsing; revisions are numbers, objects have their kind's schema applied. */
export type ViewMessage =
  | PutMessage
  | DeleteMessage
  | { readonly type: "synced" | "bookmark"; readonly revision: bigint }
  /** This release cannot read the object: it is kept aside and reported. */
  | { readonly type: "quarantine"; readonly kind: string; readonly key: string; readonly reason: string };

/** Revisions are positive 63-bit numbers of etcd, as decimal text. */
const Revision = z
  .string()
  .regex(/^[0-9]{1,19}$/)
  .transform(BigInt);

/** As `WatchEnvelope` of state/node-api.ts, but kinds of a newer release pass, to be quarantined one by one. */
const Envelope = z.discriminatedUnion("type", [
  z.object({ type: z.literal("put"), kind: z.string(), key: z.string(), modRevision: Revision, object: z.unknown() }),
  z.object({ type: z.literal("delete"), kind: z.string(), key: z.string(), modRevision: Revision }),
  z.object({ type: z.literal("synced"), revision: Revision }),
  z.object({ type: z.literal("bookmark"), revision: Revision }),
]);
type PutEnvelope = Extract<z.infer<typeof Envelope>, { type: "put" }>;

/**
 * Reads one message of the watch stream (already JSON-parsed). An object that its schema refuses, or of an unknown kind, becomes a
 * `quarantine` message. What is no message at all throws PROTOCOL: the stream cannot be trusted and should be opened anew.
 */
export function parseMessage(json: unknown): ViewMessage {
  const envelope = Envelope.safeParse(json);
  if (!envelope.success) {
    throw new NetError("PROTOCOL", `Cannot read a watch message: ${z.prettifyError(envelope.error)}`);
  }
  return envelope.data.type === "put" ? parsePut(envelope.data) : envelope.data;
}

function parsePut({ kind: kindText, key, modRevision, object }: PutEnvelope): ViewMessage {
  const kind = KINDS.find((candidate) => candidate === kindText);
  const refuse = (reason: string): ViewMessage => ({ type: "quarantine", kind: kindText, key, reason });
  if (kind === undefined) return refuse(`Kind "${kindText}" is not known to this release`);
  const record = RECORDS[kind].safeParse(object);
  if (!record.success) return refuse(`This release cannot read it: ${z.prettifyError(record.error)}`);
  if (record.data.key !== key) return refuse(`It says of itself that its key is "${record.data.key}"`);
  return { type: "put", kind, key, modRevision, record: record.data };
}

/** The decimal text of a revision (`EndpointReply.revision`). */
export function parseRevision(text: string): bigint {
  const revision = Revision.safeParse(text);
  if (!revision.success) throw new NetError("PROTOCOL", `"${text}" is not a revision`);
  return revision.data;
}
