import { NetError } from "../../errors.ts";
import { ROOT } from "../../keys.ts";
import type { BackOffBounds } from "../../waiting/back-off.ts";
import type { Reporter } from "../store.ts";

/** Files of TLS towards etcd, PEM. `cert` and `key` together make it mutual. */
export interface EtcdTlsOptions {
  readonly caFile: string;
  readonly certFile?: string;
  readonly keyFile?: string;
  /** Name to look for in the servers' certificates; needed where endpoints are IP addresses. */
  readonly serverName?: string;
}

export interface EtcdOptions {
  /** `http://host:port` or `https://host:port`, all of one scheme. */
  readonly endpoints: readonly string[];
  readonly tls?: EtcdTlsOptions;
  readonly auth?: { readonly username: string; readonly password: string };
  /** Where request records lie; see docs/decisions/request-records.md. Default: below the release's root. */
  readonly requestPrefix?: string;
  readonly report?: Reporter;
  readonly timings?: Partial<EtcdTimings>;
  /** Gives up the opening. */
  readonly signal?: AbortSignal;
}

/** Deadlines and limits; the defaults are for production, tests shorten them. */
export interface EtcdTimings {
  /** One attempt of a unary call. */
  readonly callTimeoutMs: number;
  /** A whole read or commit with its retries on other endpoints. */
  readonly operationTimeoutMs: number;
  readonly retryBackoff: BackOffBounds;
  readonly listPageKeys: number;
  readonly listPageTimeoutMs: number;
  /** The watch stream and its `created` answer, and the answer to a probe. */
  readonly watchAnswerTimeoutMs: number;
  /** Silence after which a watch is probed. */
  readonly watchProbeAfterMs: number;
  readonly watchBackoff: BackOffBounds;
  /** Undelivered events of one watch. */
  readonly queueEvents: number;
  readonly queueBytes: number;
  /** How long a queue may stay full before the watch gives up history and lists anew. */
  readonly queueFullMs: number;
  /** Time between two comparisons of a live watch with a list; a jitter of 0.75 to 1.25 is applied. */
  readonly verifyEveryMs: number;
  /** How long a difference may last before it counts as a lost event. */
  readonly verifyGraceMs: number;
  /** Time between two comparisons of what the members hold, where nothing has happened to them; the same jitter. */
  readonly compareEveryMs: number;
  /** TTL of the lease on request records. */
  readonly requestTtlS: number;
}

export const DEFAULT_TIMINGS: EtcdTimings = {
  callTimeoutMs: 3_000,
  operationTimeoutMs: 8_000,
  retryBackoff: { firstMs: 25, maxMs: 1_000 },
  listPageKeys: 2_000,
  listPageTimeoutMs: 10_000,
  watchAnswerTimeoutMs: 5_000,
  watchProbeAfterMs: 30_000,
  watchBackoff: { firstMs: 50, maxMs: 5_000 },
  queueEvents: 10_000,
  queueBytes: 32 * 1024 * 1024,
  queueFullMs: 30_000,
  verifyEveryMs: 400_000,
  verifyGraceMs: 5_000,
  compareEveryMs: 60_000,
  requestTtlS: 600,
};

/** Timings of the watch on a leader key: a dead link must show within the time a leader's lease lasts. */
export function closeWatchTimings(timings: EtcdTimings): EtcdTimings {
  return {
    ...timings,
    watchProbeAfterMs: Math.min(timings.watchProbeAfterMs, 1_000),
    watchAnswerTimeoutMs: Math.min(timings.watchAnswerTimeoutMs, 1_000),
    watchBackoff: { firstMs: 50, maxMs: 500 },
  };
}

export const DEFAULT_REQUEST_PREFIX = `${ROOT}requests/`;

/** Checks the endpoint list; the result has no trailing slashes. */
export function checkEndpoints(endpoints: readonly string[], hasTls: boolean): readonly string[] {
  if (endpoints.length === 0) throw new NetError("INVALID", "Cannot open the store: no etcd endpoint is given");
  return endpoints.map((endpoint) => checkEndpoint(endpoint, hasTls));
}

const ENDPOINT = /^(https?:)\/\/([^\s/@?#]+:\d{1,5})\/?$/;

function checkEndpoint(endpoint: string, hasTls: boolean): string {
  const [, scheme, host] = ENDPOINT.exec(endpoint) ?? [];
  const wanted = hasTls ? "https:" : "http:";
  if (scheme === undefined || host === undefined) {
    throw new NetError("INVALID", `Cannot open the store: etcd endpoint "${endpoint}" is not ${wanted}//host:port`);
  }
  if (scheme !== wanted) {
    const why = hasTls ? "TLS files are given" : "no TLS files are given";
    throw new NetError(
      "INVALID",
      `Cannot open the store: etcd endpoint "${endpoint}" must be ${wanted}// since ${why}`,
    );
  }
  return `${scheme}//${host}`;
}
