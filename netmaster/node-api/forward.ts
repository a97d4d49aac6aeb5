import type { IncomingMessage } from "node:http";
import { NetError, storeFull } from "../../state/errors.ts";
import { REVISION_HEADER } from "../http/headers.ts";
import { FORWARDED_HEADER, type ForwardTls, forwardToLeader, type LeaderAnswer } from "../peers/forward.ts";
import type { LeaderDirectory } from "../peers/leader-info.ts";
import type { ViewCache } from "../view/cache.ts";
import { readRevision } from "../view/store-revision.ts";

export interface CallForwarderOptions {
  readonly directory: LeaderDirectory;
  readonly cache: ViewCache;
  readonly selfId: string;
  readonly isStoreFull: () => boolean;
  /** How to reach a leader whose node API speaks TLS. */
  readonly tls?: ForwardTls;
  /** Longest body that is taken, in bytes. */
  readonly bodyLimitBytes: number;
}

/** How long our own view may take to show what the leader did. */
const VIEW_TIMEOUT_MS = 10_000;

/**
 * Has the leader do a node's call, and waits until our own view shows what it did. Throws UNAVAILABLE when there is no leader, or
 * it does not answer.
 */
export async function forwardCall(options: CallForwarderOptions, request: IncomingMessage): Promise<LeaderAnswer> {
  const leaderUrl = requireLeader(options, request);
  const answer = await forwardToLeader(
    leaderUrl,
    {
      method: request.method ?? "POST",
      url: request.url ?? "/",
      headers: request.headers,
      body: await readBody(request, options.bodyLimitBytes),
      self: options.selfId,
      signal: options.directory.term(),
      client: request.socket.remoteAddress ?? "",
    },
    options.tls,
  );
  const text = answer.headers[REVISION_HEADER];
  const told = typeof text === "string" ? readRevision(text) : undefined;
  if (told !== undefined) {
    await options.cache.waitForRevision(told.revision, { timeoutMs: VIEW_TIMEOUT_MS, epoch: told.epoch });
  }
  return answer;
}

function requireLeader({ directory, selfId, isStoreFull }: CallForwarderOptions, request: IncomingMessage): string {
  if (request.headers[FORWARDED_HEADER] !== undefined) {
    throw noLeader("This netmaster was asked as the leader and does not lead");
  }
  const leader = directory.current();
  if (leader === undefined && isStoreFull()) throw storeFull("serve the call without a leader");
  if (leader === undefined) throw noLeader("There is no leader at present");
  if (leader.id === selfId) throw noLeader("This netmaster is about to lead");
  return leader.nodeApiUrl;
}

function noLeader(message: string): NetError {
  return new NetError("UNAVAILABLE", `${message}; nothing was changed, try again shortly`, { reason: "no-leader" });
}

async function readBody(request: IncomingMessage, limitBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let lengthBytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    lengthBytes += chunk.length;
    if (lengthBytes > limitBytes) {
      throw new NetError("INVALID", `The body is longer than ${limitBytes} bytes`, { reason: "body-too-large" });
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
