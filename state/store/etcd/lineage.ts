import type { IRangeResponse } from "etcd3";
import type { StoredValue } from "../store.ts";
import { attempt, type EtcdLink } from "./calls.ts";
import type { Endpoint } from "./endpoints.ts";
import { failureOf } from "./failures.ts";
import { storedValue } from "./range.ts";

export interface Lineage {
  readonly prefix: string;
  readonly anchorKey: string | undefined;
  /** The version of the anchor that was delivered last; undefined: the list did not show one. */
  readonly anchor: StoredValue | undefined;
  /** First revision that was not delivered. */
  readonly next: bigint;
  readonly signal: AbortSignal;
}

/**
 * Why the member's store is not a continuation of what was delivered; undefined: it is. Its revision must not be lower, and the anchor
 * must have had the value that was delivered at the revision at which it was delivered.
 */
export async function brokenLineage(link: EtcdLink, endpoint: Endpoint, lineage: Lineage): Promise<string | undefined> {
  const { prefix, anchorKey, anchor, next } = lineage;
  const answer = await readAt(link, endpoint, lineage, anchorKey ?? prefix);
  const revision = BigInt(answer.header.revision);
  if (revision < next - 1n) return `its revision is ${revision}, and ${next - 1n} had been seen`;
  if (anchorKey === undefined) return undefined;
  const present = firstOf(answer);
  if (anchor === undefined) {
    const isNew = present === undefined || present.createRevision >= next;
    return isNew ? undefined : `"${anchorKey}" was not there at revision ${next - 1n}`;
  }
  if (present === undefined || present.modRevision < anchor.modRevision)
    return `"${anchorKey}" is older than it had been`;
  if (present.modRevision === anchor.modRevision) return differs(anchorKey, anchor, present);
  try {
    const past = firstOf(await readAt(link, endpoint, lineage, anchorKey, anchor.modRevision));
    return differs(anchorKey, anchor, past);
  } catch (error) {
    if (failureOf(error).kind !== "compacted") throw error;
    return `revision ${anchor.modRevision} is compacted, so that nothing proves that it is the same store`;
  }
}

function differs(anchorKey: string, anchor: StoredValue, found: StoredValue | undefined): string | undefined {
  return found?.value === anchor.value
    ? undefined
    : `"${anchorKey}" had another value at revision ${anchor.modRevision} than was seen`;
}

function firstOf({ kvs: [kv] }: IRangeResponse): StoredValue | undefined {
  return kv === undefined ? undefined : storedValue(kv);
}

function readAt(
  link: EtcdLink,
  endpoint: Endpoint,
  { prefix, signal }: Lineage,
  key: string,
  revision?: bigint,
): Promise<IRangeResponse> {
  const options = {
    doing: `verify the store behind "${prefix}"`,
    signal,
    timeoutMs: link.timings.watchAnswerTimeoutMs,
  };
  const at = revision === undefined ? {} : { revision: revision.toString() };
  return attempt(link, endpoint, options, (client, callOptions) =>
    client.kv.range({ key: Buffer.from(key), ...at }, callOptions),
  );
}
