import type { LeaseId } from "./store.ts";

/** What a backend must do for leases; validity and keepalives are decided here and in `lease-beats.ts`, the same for all. */
export interface LeaseDriver {
  /** Grants a lease; the answer's TTL may exceed the one asked for. */
  grant(ttlS: number, signal?: AbortSignal): Promise<{ readonly id: LeaseId; readonly ttlMs: number }>;
  /** One keepalive. Resolves with the renewed TTL, 0 when the lease is gone; rejects when there was no answer. */
  keepAlive(id: LeaseId, options: BeatOptions): Promise<number>;
  /** Deletes the lease with its keys; has a deadline. A lease that is gone is no error. */
  revoke(id: LeaseId): Promise<void>;
}

export interface BeatOptions {
  /** After this the next beat is sent, which must go to another member, while this one may still be answered. */
  readonly patienceMs: number;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}
