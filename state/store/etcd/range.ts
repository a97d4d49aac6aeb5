import type { IKeyValue, IRangeResponse } from "etcd3";
import { NetError } from "../../errors.ts";
import { nextTurn } from "../../waiting/pause.ts";
import type { StoredValue } from "../store.ts";
import { type EtcdLink, read } from "./calls.ts";
import { failureOf } from "./failures.ts";

/** The end of the range of all keys with this prefix: the prefix with its last byte below 255 raised by one. */
export function prefixEnd(prefix: Uint8Array): Buffer {
  for (let index = prefix.length - 1; index >= 0; index -= 1) {
    const byte = prefix[index] ?? 255;
    if (byte === 255) continue;
    return Buffer.concat([prefix.subarray(0, index), Buffer.of(byte + 1)]);
  }
  return Buffer.of(0); // etcd: all keys from `key` on
}

/** The key range of a prefix; an empty one means every key. */
export function prefixRange(prefix: string): { readonly key: Buffer; readonly range_end: Buffer } {
  const key = Buffer.from(prefix);
  return key.length === 0 ? { key: Buffer.of(0), range_end: Buffer.of(0) } : { key, range_end: prefixEnd(key) };
}

export function storedValue(kv: IKeyValue): StoredValue {
  return {
    key: kv.key.toString("utf8"),
    value: kv.value.toString("utf8"),
    modRevision: BigInt(kv.mod_revision),
    createRevision: BigInt(kv.create_revision),
    version: Number(kv.version),
  };
}

export interface Page {
  /** The same for all pages of one list. */
  readonly revision: bigint;
  readonly kvs: readonly IKeyValue[];
}

const VALUES_PER_TURN = 256;

/** The values of a page in slices, with a turn of the event loop between them. */
export async function* valuesInTurns(page: Page): AsyncGenerator<readonly StoredValue[]> {
  for (let start = 0; start < page.kvs.length; start += VALUES_PER_TURN) {
    yield page.kvs.slice(start, start + VALUES_PER_TURN).map(storedValue);
    await nextTurn();
  }
}

export interface PageOptions {
  readonly signal?: AbortSignal | undefined;
  readonly keysOnly?: boolean;
}

/**
 * Reads a prefix in pages, all at the revision of the first. The next page is asked for while the caller works on this one.
 * Throws COMPACTED when the revision is gone before the last page: begin anew.
 */
export async function* listPages(link: EtcdLink, prefix: string, options: PageOptions = {}): AsyncGenerator<Page> {
  const { key, range_end } = prefixRange(prefix);
  let answer = await readPage(link, prefix, { key, range_end }, options);
  const { revision } = answer.header;
  for (;;) {
    const last = answer.kvs.at(-1);
    const more = answer.more && last !== undefined;
    const from = more ? Buffer.concat([last.key, Buffer.of(0)]) : key;
    const following = more ? readPage(link, prefix, { key: from, range_end, revision }, options) : undefined;
    following?.catch(() => undefined);
    yield { revision: BigInt(revision), kvs: answer.kvs };
    if (following === undefined) return;
    answer = await following;
  }
}

function readPage(
  link: EtcdLink,
  prefix: string,
  range: { readonly key: Buffer; readonly range_end: Buffer; readonly revision?: string },
  options: PageOptions,
): Promise<IRangeResponse> {
  const { listPageKeys, listPageTimeoutMs } = link.timings;
  const request = { ...range, limit: listPageKeys, keys_only: options.keysOnly ?? false };
  const reading = {
    doing: `list "${prefix}"`,
    signal: options.signal,
    attemptTimeoutMs: listPageTimeoutMs,
    totalTimeoutMs: 2 * listPageTimeoutMs,
  };
  return read(link, reading, (client, callOptions) => client.kv.range(request, callOptions));
}

const MAX_LIST_RESTARTS = 5;

/** Runs `list`, again from the start when its revision was compacted under way. */
export async function restartCompacted<T>(prefix: string, list: () => Promise<T>): Promise<T> {
  for (let restarts = 0; ; restarts += 1) {
    try {
      return await list();
    } catch (error) {
      if (failureOf(error).kind !== "compacted") throw error;
      if (restarts < MAX_LIST_RESTARTS) continue;
      const text = `Cannot list "${prefix}": its revision was compacted ${restarts + 1} times under way`;
      throw new NetError("UNAVAILABLE", text, { cause: error });
    }
  }
}
