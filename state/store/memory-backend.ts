import { NetError, storeFull } from "../errors.ts";
import { type Clock, systemClock } from "../waiting/clock.ts";
import { checkCommit, guardHolds } from "./commit-check.ts";
import type { Commit, CommitResult, LeaseId, Put, Snapshot, StoredValue, WatchEvent } from "./store.ts";
import { revisionOf } from "./watch-progress.ts";

const MAX_HISTORY_EVENTS = 20_000;

interface MemoryLease {
  readonly ttlMs: number;
  readonly keys: Set<string>;
  cancelExpiry: () => void;
}

/** What several memory stores of one process share, as etcd members' clients share etcd: keys, history, leases. */
export class MemoryBackend {
  readonly clock: Clock;
  /** Refuses every write, as etcd does at its quota. */
  isFull = false;
  /** Grows with every restore. */
  generation = 0;
  #revision = 1n;
  readonly #values = new Map<string, StoredValue>();
  readonly #leaseOfKey = new Map<string, LeaseId>();
  readonly #leases = new Map<LeaseId, MemoryLease>();
  #history: WatchEvent[] = [];
  #compactedUpTo = 0n;
  #leaseCount = 0;
  readonly #listeners = new Set<() => void>();

  constructor(clock: Clock = systemClock) {
    this.clock = clock;
  }

  get(key: string): StoredValue | undefined {
    return this.#values.get(key);
  }

  list(prefix: string): Snapshot {
    const values = [...this.#values.values()].filter((value) => value.key.startsWith(prefix));
    return { revision: this.#revision, values: inByteOrder(values) };
  }

  commit(commit: Commit): CommitResult {
    checkCommit(commit);
    const failed = commit.guards.filter((guard) => !guardHolds(guard, this.#values.get(guard.key)));
    if (failed.length > 0) return { committed: false, failed };
    if (this.isFull) throw storeFull(`commit ${commit.requestId}`);
    for (const put of commit.puts) this.#requireLease(put.lease);
    this.#revision += 1n;
    for (const put of commit.puts) this.#put(put);
    for (const key of commit.deletes) this.#delete(key);
    this.#notify();
    return { committed: true, revision: this.#revision };
  }

  /** Events with `revision >= from`, oldest first; "compacted" when some of them are no longer known. */
  eventsFrom(from: bigint, prefix: string): readonly WatchEvent[] | "compacted" {
    if (from <= this.#compactedUpTo) return "compacted";
    let start = this.#history.length;
    for (let event = this.#history[start - 1]; event !== undefined; event = this.#history[start - 1]) {
      if (revisionOf(event) < from) break;
      start -= 1;
    }
    return this.#history.slice(start).filter((event) => {
      if (event.kind === "put") return event.value.key.startsWith(prefix);
      return event.kind === "delete" && event.key.startsWith(prefix);
    });
  }

  /** Forgets the history; watches that lag behind list anew. */
  compact(): void {
    this.#history = [];
    this.#compactedUpTo = this.#revision;
  }

  /** All keys as they are now, for `restore`. */
  backup(): Snapshot {
    return this.list("");
  }

  /** Goes back to a backup, with its revision, as an operator restores etcd; leases and history are gone. */
  restore({ revision, values }: Snapshot): void {
    this.#values.clear();
    this.#leaseOfKey.clear();
    this.#leases.clear();
    for (const value of values) this.#values.set(value.key, value);
    this.#revision = revision;
    this.#history = [];
    this.#compactedUpTo = revision;
    this.generation += 1;
    this.#notify();
  }

  /** Calls after every change until the result is called. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  grant(ttlMs: number): LeaseId {
    this.#leaseCount += 1;
    const id = String(this.#leaseCount) as LeaseId;
    this.#leases.set(id, { ttlMs, keys: new Set(), cancelExpiry: this.#expireAfter(id, ttlMs) });
    return id;
  }

  /** The renewed TTL, 0 when the lease is gone. */
  keepAlive(id: LeaseId): number {
    const lease = this.#leases.get(id);
    if (lease === undefined) return 0;
    lease.cancelExpiry();
    lease.cancelExpiry = this.#expireAfter(id, lease.ttlMs);
    return lease.ttlMs;
  }

  revoke(id: LeaseId): void {
    const lease = this.#leases.get(id);
    if (lease === undefined) return;
    lease.cancelExpiry();
    this.#leases.delete(id);
    if (lease.keys.size === 0) return;
    this.#revision += 1n;
    for (const key of [...lease.keys]) this.#delete(key);
    this.#notify();
  }

  #expireAfter(id: LeaseId, ttlMs: number): () => void {
    return this.clock.after(ttlMs, () => this.revoke(id));
  }

  #requireLease(id: LeaseId | undefined): void {
    if (id === undefined || this.#leases.has(id)) return;
    throw new NetError("PRECONDITION", `Cannot commit: lease ${id} is gone`, { reason: "lease-gone" });
  }

  #put({ key, value, lease }: Put): void {
    const before = this.#values.get(key);
    const modRevision = this.#revision;
    const createRevision = before?.createRevision ?? modRevision;
    const stored = Object.freeze({ key, value, modRevision, createRevision, version: (before?.version ?? 0) + 1 });
    this.#values.set(key, stored);
    this.#attach(key, lease);
    this.#remember({ kind: "put", value: stored });
  }

  #delete(key: string): void {
    if (!this.#values.delete(key)) return;
    this.#attach(key, undefined);
    this.#remember({ kind: "delete", key, modRevision: this.#revision });
  }

  /** A key belongs to the lease of its last put alone. */
  #attach(key: string, lease: LeaseId | undefined): void {
    const before = this.#leaseOfKey.get(key);
    if (before !== undefined) this.#leases.get(before)?.keys.delete(key);
    this.#leaseOfKey.delete(key);
    if (lease === undefined) return;
    this.#leaseOfKey.set(key, lease);
    this.#leases.get(lease)?.keys.add(key);
  }

  #remember(event: WatchEvent): void {
    this.#history.push(event);
    if (this.#history.length <= MAX_HISTORY_EVENTS) return;
    const dropped = this.#history.splice(0, MAX_HISTORY_EVENTS / 2).at(-1);
    if (dropped !== undefined) this.#compactedUpTo = revisionOf(dropped);
  }

  #notify(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}

/** JavaScript compares UTF-16 units, which is the order of UTF-8 bytes except where surrogates meet U+E000 and above. */
function inByteOrder(values: StoredValue[]): StoredValue[] {
  const hasOddOrder = values.some((value) => /[\ud800-\uffff]/.test(value.key));
  if (hasOddOrder) return values.sort((a, b) => Buffer.compare(Buffer.from(a.key), Buffer.from(b.key)));
  return values.sort((a, b) => (a.key < b.key ? -1 : 1));
}
