import { type MemoryStore, openMemoryStore } from "../../state/store/memory.ts";
import { MemoryBackend } from "../../state/store/memory-backend.ts";
import type { Commit, CommitResult, Store } from "../../state/store/store.ts";
import { type Committer, type CommitterOptions, createCommitter } from "../commit/committer.ts";
import { startViewCache, type ViewCache } from "../view/cache.ts";
import { type LeaderEvent, startCandidate } from "./candidate.ts";

/** The engine of one netmaster on a memory store: everything but its listeners. */
export interface TestEngine extends AsyncDisposable {
  readonly store: MemoryStore;
  readonly cache: ViewCache;
  readonly committer: Committer;
  readonly events: readonly LeaderEvent[];
  readonly anomalies: readonly string[];
  /** The commits that were sent to the store. */
  readonly commits: readonly Commit[];
  /** Settles when this engine leads. */
  leading(): Promise<void>;
}

export interface TestEngineOptions extends Pick<CommitterOptions, "queueLimit"> {
  readonly name?: string;
  readonly backend?: MemoryBackend;
  /** Stands in for the store's commit; `commit` is the real one. */
  readonly interfere?: (commit: Commit, real: (commit: Commit) => Promise<CommitResult>) => Promise<CommitResult>;
}

export function startTestEngine(options: TestEngineOptions = {}): TestEngine {
  const { name = "m1", backend = new MemoryBackend(), interfere, queueLimit } = options;
  const store = openMemoryStore({ backend });
  const commits: Commit[] = [];
  const real = store.commit.bind(store);
  const watched: Pick<Store, "get" | "commit"> = {
    get: store.get.bind(store),
    commit(commit) {
      commits.push(commit);
      return interfere === undefined ? real(commit) : interfere(commit, real);
    },
  };
  const cache = startViewCache(store);
  const anomalies: string[] = [];
  const limit = queueLimit === undefined ? {} : { queueLimit };
  const committer = createCommitter({ store: watched, cache, onAnomaly: (text) => anomalies.push(text), ...limit });
  const events: LeaderEvent[] = [];
  const listeners = new Set<() => void>();
  const self = { id: name, restUrl: `http://${name}:9999`, nodeApiUrl: `http://${name}:9001`, version: "test" };
  const onEvent = (event: LeaderEvent) => {
    events.push(event);
    for (const listener of listeners) listener();
  };
  const addressHold = { begin: () => undefined };
  const parts = { store, cache, committer, addressHold, self };
  const candidate = startCandidate({ ...parts, fwdMode: "bridge", leaderTtlS: 30, onEvent });
  return {
    ...{ store, cache, committer, events, anomalies, commits },
    leading: () =>
      new Promise((resolve) => {
        const look = () => {
          if (committer.isLeading() && events.at(-1)?.is === "leading") resolve();
        };
        listeners.add(look);
        look();
      }),
    async [Symbol.asyncDispose]() {
      await candidate.close();
      await cache[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
    },
  };
}
