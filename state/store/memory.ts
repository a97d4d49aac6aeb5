import { NetError } from "../errors.ts";
import { onAbort, throwIfAborted } from "../waiting/signals.ts";
import { runCampaign } from "./election.ts";
import { holdLease } from "./lease.ts";
import type { LeaseDriver } from "./lease-driver.ts";
import { MemoryBackend } from "./memory-backend.ts";
import { followMemory } from "./memory-watch.ts";
import type {
  Campaign,
  Commit,
  CommitResult,
  GetOptions,
  Leadership,
  Lease,
  ReadOptions,
  Reporter,
  Snapshot,
  Store,
  StoredValue,
  Watch,
  WatchConsumer,
  WatchOptions,
} from "./store.ts";
import { startWatch } from "./watch-handle.ts";

export interface MemoryStoreOptions {
  /** Stores on the same backend see each other's writes. Default: a backend of its own. */
  readonly backend?: MemoryBackend;
  readonly report?: Reporter;
}

/** A store without a server, for tests and trials: the same contract, and a link that can be cut. */
export interface MemoryStore extends Store {
  readonly backend: MemoryBackend;
  /** Unreachable: calls fail with UNAVAILABLE, watches stand still, leases run out. Reachable again: all goes on. */
  setReachable(reachable: boolean): void;
}

export function openMemoryStore(options: MemoryStoreOptions = {}): MemoryStore {
  return new InMemoryStore(options.backend ?? new MemoryBackend(), options.report ?? (() => undefined));
}

class InMemoryStore implements MemoryStore {
  readonly backend: MemoryBackend;
  readonly #report: Reporter;
  readonly #closed = new AbortController();
  readonly #open = new Set<AsyncDisposable>();
  #reachable = true;
  readonly #linkListeners = new Set<() => void>();

  constructor(backend: MemoryBackend, report: Reporter) {
    this.backend = backend;
    this.#report = report;
  }

  setReachable(reachable: boolean): void {
    this.#reachable = reachable;
    for (const listener of [...this.#linkListeners]) listener();
  }

  async list(prefix: string, options: ReadOptions = {}): Promise<Snapshot> {
    await this.#cross(`list "${prefix}"`, options.signal);
    return this.backend.list(prefix);
  }

  async get(key: string, options: GetOptions = {}): Promise<StoredValue | undefined> {
    await this.#cross(`get "${key}"`, options.signal);
    return this.backend.get(key);
  }

  async commit(commit: Commit, options: ReadOptions = {}): Promise<CommitResult> {
    await this.#cross(`commit ${commit.requestId}`, options.signal);
    return this.backend.commit(commit);
  }

  async hasSpace({ signal }: ReadOptions = {}): Promise<boolean> {
    await this.#cross("ask for alarms", signal);
    return !this.backend.isFull;
  }

  watch(prefix: string, consumer: WatchConsumer, options: WatchOptions = {}): Watch {
    const followed = {
      backend: this.backend,
      prefix,
      consumer,
      report: this.#report,
      reachable: () => this.#reachable,
      onLink: (listener: () => void) => {
        this.#linkListeners.add(listener);
        return () => this.#linkListeners.delete(listener);
      },
    };
    const watch = startWatch({
      prefix,
      signal: this.#closed.signal.aborted ? this.#closed.signal : options.signal,
      run: (signal, onSynced) => followMemory(followed, signal, onSynced),
      onEnd: () => this.#open.delete(watch),
    });
    this.#open.add(watch);
    return watch;
  }

  async lease(options: { readonly ttlS: number; readonly signal?: AbortSignal }): Promise<Lease> {
    await this.#cross("grant a lease", options.signal);
    const lease = await holdLease(this.#leaseDriver(), { ...options, clock: this.backend.clock, report: this.#report });
    this.#open.add(lease);
    onAbort(lease.lost, () => void lease.revoke().then(() => this.#open.delete(lease)));
    return lease;
  }

  campaign(campaign: Campaign): Promise<Leadership> {
    const ground = {
      commit: this.commit.bind(this),
      get: this.get.bind(this),
      lease: this.lease.bind(this),
      watchClosely: this.watch.bind(this),
      clock: this.backend.clock,
      closed: this.#closed.signal,
    };
    return runCampaign(ground, campaign);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort(new NetError("CLOSED", "The memory store was closed"));
    await Promise.all([...this.#open].map((open) => open[Symbol.asyncDispose]()));
  }

  /** One trip to the backend: asynchronous, and only where the link is up. */
  async #cross(doing: string, signal: AbortSignal | undefined): Promise<void> {
    throwIfAborted(this.#closed.signal, doing);
    throwIfAborted(signal, doing);
    await Promise.resolve();
    if (!this.#reachable) throw new NetError("UNAVAILABLE", `Cannot ${doing}: the store is unreachable`);
  }

  #leaseDriver(): LeaseDriver {
    return {
      grant: async (ttlS) => ({ id: this.backend.grant(ttlS * 1_000), ttlMs: ttlS * 1_000 }),
      keepAlive: async (id) => {
        if (!this.#reachable) throw new NetError("UNAVAILABLE", `Cannot keep lease ${id}: the store is unreachable`);
        return this.backend.keepAlive(id);
      },
      revoke: async (id) => {
        if (this.#reachable) this.backend.revoke(id);
      },
    };
  }
}
