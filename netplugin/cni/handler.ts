import type { AddRequest, CheckRequest, DelRequest, GcRequest, StatusRequest } from "./request.ts";
import type { CniResult } from "./result.ts";

/** What a call has attached or detached, for the log. */
export interface CallFacts {
  /** `namespace/name`. */
  readonly pod?: string;
  /** `tenant:network`. */
  readonly network?: string;
  readonly addresses?: readonly string[];
}

/**
 * Does the work behind the CNI socket. Calls for one (containerId, ifName) never overlap; others do, as do GC and STATUS.
 * Throw a NetError, or `cniFault(…)` where the specification has a code of its own.
 */
export interface CniHandler {
  /**
   * Attaches and returns what it made itself; `prevResult` is merged by the server. When `signal` aborts (client gone, deadline, shutdown)
   * it undoes what it did and throws. Should it return all the same, `del` follows at once.
   */
  add(request: AddRequest, signal: AbortSignal): Promise<CniResult>;
  /** Idempotent: what is absent already is a success. `signal` aborts by deadline or shutdown only. `note` is told what is detached. */
  del(request: DelRequest, signal: AbortSignal, note?: (facts: CallFacts) => void): Promise<void>;
  /** Throws when the attachment is not as ADD left it. */
  check(request: CheckRequest, signal: AbortSignal): Promise<void>;
  /** Removes the attachments of `configName` that are not listed, all of them, and throws at the end what failed. */
  gc(request: GcRequest, signal: AbortSignal): Promise<void>;
  /** Throws when an ADD would fail now. */
  status(request: StatusRequest, signal: AbortSignal): Promise<void>;
}
