/** Id of a lease in the store: a decimal of up to 64 bits, kept as text because it does not fit a JavaScript number. */
export type LeaseId = string & { readonly __brand: "LeaseId" };

/** One key as it was at some revision. */
export interface StoredValue {
  readonly key: string;
  readonly value: string;
  /** Revision of the last write of this key. */
  readonly modRevision: bigint;
  /** Revision of the write which created this key; a key that is deleted and made again has a new one. */
  readonly createRevision: bigint;
  /** 1 for a new key, one more for every write since. */
  readonly version: number;
}

/**
 * What must hold for a commit to happen. `created-at` is the fence of leaders: it compares the epoch. `value` is the only one that a store
 * restored from a backup cannot fulfil by chance, where the value is unique.
 */
export type Guard =
  | { readonly key: string; readonly is: "absent" }
  | { readonly key: string; readonly is: "present" }
  | { readonly key: string; readonly is: "at"; readonly modRevision: bigint }
  | { readonly key: string; readonly is: "value"; readonly value: string }
  | { readonly key: string; readonly is: "created-at"; readonly createRevision: bigint };

export interface Put {
  readonly key: string;
  readonly value: string;
  /** The key vanishes with this lease. */
  readonly lease?: LeaseId;
}

/** Most puts and deletes together, and most guards, of one commit (etcd refuses 129 at its defaults; we add two of our own). */
export const MAX_COMMIT_OPERATIONS = 100;

/** One atomic change: all of it at one revision, or nothing. No key may be written twice. */
export interface Commit {
  /** Unique per intended change; it tells after a lost answer whether the change was made. */
  readonly requestId: string;
  readonly guards: readonly Guard[];
  readonly puts: readonly Put[];
  readonly deletes: readonly string[];
}

export type CommitResult =
  | { readonly committed: true; readonly revision: bigint }
  /** Nothing was changed nor will be. `failed`: the guards that did not hold. */
  | { readonly committed: false; readonly failed: readonly Guard[] };

export interface Snapshot {
  /** All values are those of this revision. */
  readonly revision: bigint;
  /** In the order of their keys' bytes. */
  readonly values: readonly StoredValue[];
}

export type WatchEvent =
  | { readonly kind: "put"; readonly value: StoredValue }
  /** `modRevision` is that of the deletion, or of the list that found the key gone. */
  | { readonly kind: "delete"; readonly key: string; readonly modRevision: bigint }
  /** Everything delivered so far equals the prefix at `revision`. Comes after each complete list: at first, and after a gap. */
  | { readonly kind: "synced"; readonly revision: bigint }
  /** The store has been restored, emptied or replaced: nothing delivered so far holds any more. A complete list follows. */
  | { readonly kind: "reset"; readonly cause: string };

/**
 * Takes events in order, never two batches at a time; the next batch waits for the promise. Events of one revision come in one
 * batch, except within a list (everything before the next `synced`). When it throws, the batch is delivered again after
 * a back-off, so consumers must be idempotent.
 */
export type WatchConsumer = (events: readonly WatchEvent[]) => void | Promise<void>;

export interface Watch extends AsyncDisposable {
  /** Settles with the first `synced`; rejects with CLOSED when the watch ends before. */
  readonly synced: Promise<void>;
  /** Ends the watch; afterwards the consumer is not called any more. */
  close(): Promise<void>;
}

/** A lease with its keys, kept alive by this process until it is closed, lost or fenced by its own clock. */
export interface Lease extends AsyncDisposable {
  readonly id: LeaseId;
  /** What the store granted, which may be more than was asked for. */
  readonly ttlMs: number;
  /** True until the monotonic clock passes (send time of the last answered keepalive + TTL − margin). */
  valid(): boolean;
  /** Aborts once, with a NetError, when the lease is no longer valid for whatever reason. */
  readonly lost: AbortSignal;
  /** Stops the keepalives and deletes the keys of the lease now; failure to do so is left to the TTL. */
  revoke(): Promise<void>;
}

/** The proof of being the one leader, for as long as `valid()` says so. */
export interface Leadership extends AsyncDisposable {
  readonly key: string;
  /** `create_revision` of the leader key: grows with every new leader. */
  readonly epoch: bigint;
  /** To be put into every commit made as leader: it fails once somebody else has taken over. */
  readonly guard: Guard;
  valid(): boolean;
  /** Aborts once, with a NetError, on expiry, deletion of the key, `resign` or close of the store. It is final. */
  readonly lost: AbortSignal;
  /** Frees the leader key at once, so that another candidate can take over without waiting for the TTL. */
  resign(): Promise<void>;
}

export interface Campaign {
  /** The leader key. Its value tells who leads; watch it to follow the leader. */
  readonly key: string;
  readonly value: string;
  /** Default `DEFAULT_LEADER_TTL_S`. */
  readonly ttlS?: number;
  /** Ends the candidacy, not a leadership that was won. */
  readonly signal?: AbortSignal;
}

/** See docs/decisions/leader-lease.md. */
export const DEFAULT_LEADER_TTL_S = 4;

export interface ReadOptions {
  readonly signal?: AbortSignal;
}

export interface GetOptions extends ReadOptions {
  /** Answer from the member at hand without asking the quorum: quicker, perhaps stale. */
  readonly serializable?: boolean;
}

export interface WatchOptions extends ReadOptions {
  /**
   * A key within the prefix whose every write has a unique value, such as the leader's mark. After each break of the link it must prove
   * that the store is still the one that was listed; otherwise the consumer is told `reset`.
   */
  readonly anchor?: string;
  /** After each break everything is listed and delivered anew; for prefixes of few keys that have no anchor. */
  readonly relists?: boolean;
}

/**
 * A consistent, watchable map from keys to texts. Every method ends by a deadline of its own; errors are NetErrors:
 * UNAVAILABLE (nothing was done), TIMEOUT (a commit whose outcome is unknown), CLOSED, FORBIDDEN, REJECTED, INVALID.
 */
export interface Store extends AsyncDisposable {
  /** All keys with the prefix, at one revision. Linearizable. */
  list(prefix: string, options?: ReadOptions): Promise<Snapshot>;
  /** Linearizable unless told otherwise. */
  get(key: string, options?: GetOptions): Promise<StoredValue | undefined>;
  /** Lists the prefix and follows it until `signal` or `close()`; see `WatchConsumer`. Never ends by itself. */
  watch(prefix: string, consumer: WatchConsumer, options?: WatchOptions): Watch;
  /** Makes the change exactly once or tells which guards failed. TIMEOUT: it may have been made, or be made within seconds. */
  commit(commit: Commit, options?: ReadOptions): Promise<CommitResult>;
  /** Whether the store has room for writes, as far as it tells: while it is full they fail with UNAVAILABLE, reason "store-full". */
  hasSpace(options?: ReadOptions): Promise<boolean>;
  /** Grants a lease and keeps it alive; `signal` ends the granting, not the lease. */
  lease(options: { readonly ttlS: number; readonly signal?: AbortSignal }): Promise<Lease>;
  /** Resolves once this process is the leader; rejects with CLOSED on abort or close. */
  campaign(campaign: Campaign): Promise<Leadership>;
}

/** What a store tells about its own troubles, for logs and metrics; never needed for correctness. */
export type StoreReport =
  | { readonly kind: "watch-live"; readonly prefix: string; readonly endpoint: string }
  | { readonly kind: "watch-down"; readonly prefix: string; readonly endpoint: string; readonly cause: unknown }
  | { readonly kind: "watch-listed"; readonly prefix: string; readonly revision: bigint; readonly keyCount: number }
  /** The store is not the one that it was: restored from a backup, emptied or replaced. */
  | { readonly kind: "store-replaced"; readonly prefix: string; readonly cause: string }
  | { readonly kind: "watch-drift"; readonly prefix: string; readonly keys: readonly string[] }
  | { readonly kind: "consumer-failed"; readonly prefix: string; readonly cause: unknown }
  | { readonly kind: "call-failed"; readonly call: string; readonly endpoint: string; readonly cause: unknown }
  | { readonly kind: "lease-lost"; readonly id: LeaseId; readonly cause: unknown }
  /** The thread that beats for the leader's lease could not start or has ended; the main thread beats until there is a new one. */
  | { readonly kind: "lease-thread-failed"; readonly cause: unknown }
  /** A member of the store holds other data than most others: it is not used any more. */
  | { readonly kind: "member-diverged"; readonly endpoint: string; readonly cause: string }
  /** These hold different data, and none has most members on its side: all of them are used, though some are wrong. */
  | { readonly kind: "members-undecided"; readonly endpoints: readonly string[] }
  /** A member agrees with most others, for the first time or after one of these: it is used. */
  | { readonly kind: "member-agrees"; readonly endpoint: string }
  /** The members cannot be asked what they hold; told once. */
  | { readonly kind: "members-not-compared"; readonly cause: unknown };

export type Reporter = (report: StoreReport) => void;
