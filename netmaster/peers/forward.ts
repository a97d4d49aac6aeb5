import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import { request as httpsRequest, type RequestOptions } from "node:https";
import { NetError } from "../../state/errors.ts";
import { nameLookup } from "../../state/name-lookup.ts";
import { deadline } from "../../state/waiting/deadline.ts";
import { forwardProof } from "./forward-proof.ts";

/** Set on forwarded requests: the netmaster that forwarded, so that a request is forwarded once at most. */
export const FORWARDED_HEADER = "contiv-forwarded-by";
/** The client of a forwarded request, for the audit record. */
export const CLIENT_HEADER = "contiv-client";
/** Proof that a netmaster says so (`forwardProof`). */
export const PROOF_HEADER = "contiv-forward-proof";

/** Longest wait for the leader's answer, in milliseconds. */
const LEADER_TIMEOUT_MS = 15_000;
/** Largest answer to a write that is carried back, in bytes. */
const MAX_ANSWER_BYTES = 16_777_216;

/** Headers that belong to one connection (RFC 9110 §7.6.1), and those that we set anew. */
const NOT_CARRIED = new Set([
  "connection",
  "keep-alive",
  "transfer-encoding",
  "upgrade",
  "te",
  "trailer",
  "host",
  "content-length",
  FORWARDED_HEADER,
  CLIENT_HEADER,
  PROOF_HEADER,
]);

export interface Forwarded {
  readonly method: string;
  /** Path and query as they were sent. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Uint8Array | undefined;
  readonly self: string;
  readonly client: string;
  /** The leader's key; undefined: it is of a release that has none, and believes without proof. */
  readonly proofKey?: string | undefined;
  /** Gives up: the leader that is asked leads no longer. */
  readonly signal?: AbortSignal;
}

export interface LeaderAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** How to reach other netmasters over TLS. */
export type ForwardTls = Pick<RequestOptions, "ca" | "cert" | "key">;

/** Carries a write to the leader and its answer back, unchanged. */
export async function forwardToLeader(
  leaderUrl: string,
  forwarded: Forwarded,
  tls: ForwardTls = {},
): Promise<LeaderAnswer> {
  using limit = deadline(LEADER_TIMEOUT_MS, forwarded.signal);
  const target = new URL(leaderUrl);
  const send = target.protocol === "https:" ? httpsRequest : httpRequest;
  return await new Promise((resolve, reject) => {
    const options = {
      ...tls,
      host: target.hostname.replace(/^\[|\]$/g, ""),
      port: target.port,
      path: forwarded.url,
      method: forwarded.method,
      headers: carriedHeaders(forwarded),
      signal: limit.signal,
      lookup: nameLookup,
    };
    const outgoing = send(options, (answer) =>
      collect(answer).then(resolve, (error: unknown) => reject(unreachable(leaderUrl, error))),
    );
    outgoing.on("error", (error) => reject(unreachable(leaderUrl, error)));
    outgoing.end(forwarded.body);
  });
}

/** Ours come last: what a client sent under their names does not count. */
function carriedHeaders(forwarded: Forwarded): Record<string, string | string[]> {
  const { headers, body, self, proofKey } = forwarded;
  const carried: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined && !NOT_CARRIED.has(name)) carried[name] = value;
  }
  const client = encodeURIComponent(forwarded.client); // a certificate's name may hold what no header can
  return {
    ...carried,
    ...{ [FORWARDED_HEADER]: self, [CLIENT_HEADER]: client, "content-length": String(body?.length ?? 0) },
    ...(proofKey === undefined ? {} : { [PROOF_HEADER]: forwardProof(proofKey, { ...forwarded, client }) }),
  };
}

async function collect(answer: IncomingMessage): Promise<LeaderAnswer> {
  const parts: Buffer[] = [];
  let lengthBytes = 0;
  for await (const part of answer) {
    lengthBytes += part.length;
    if (lengthBytes > MAX_ANSWER_BYTES)
      throw new NetError("PROTOCOL", `The leader's answer is larger than ${MAX_ANSWER_BYTES} bytes`);
    parts.push(part);
  }
  const headers = Object.fromEntries(Object.entries(answer.headers).filter(([name]) => !NOT_CARRIED.has(name)));
  return { status: answer.statusCode ?? 502, headers, body: Buffer.concat(parts) };
}

function unreachable(leaderUrl: string, cause: unknown): NetError {
  const text = cause instanceof Error ? cause.message : String(cause);
  const message = `Cannot reach the leader at ${leaderUrl}: ${text}; whether the change was made is unknown, look before repeating it`;
  return new NetError("UNAVAILABLE", message, { cause, reason: "leader-unreachable" });
}
