import { asNetError, NetError } from "../../errors.ts";
import { systemClock } from "../../waiting/clock.ts";
import { linkSignals, onAbort, throwIfAborted } from "../../waiting/signals.ts";
import { runCampaign } from "../election.ts";
import { holdLease, type LeaseKeeper } from "../lease.ts";
import type { LeaseDriver } from "../lease-driver.ts";
import type {
  Campaign,
  Commit,
  CommitResult,
  GetOptions,
  Leadership,
  Lease,
  ReadOptions,
  Snapshot,
  Store,
  StoredValue,
  Watch,
  WatchConsumer,
  WatchOptions,
} from "../store.ts";
import { startWatch } from "../watch-handle.ts";
import { attempt, type EtcdLink, read } from "./calls.ts";
import { commitOnce } from "./commit.ts";
import { Endpoints } from "./endpoints.ts";
import { etcdLeaseDriver } from "./lease-driver.ts";
import { LeaseThread } from "./lease-thread.ts";
import type { LeaseWorkerData } from "./lease-worker.ts";
import { MemberWatch } from "./member-watch.ts";
import {
  checkEndpoints,
  closeWatchTimings,
  DEFAULT_REQUEST_PREFIX,
  DEFAULT_TIMINGS,
  type EtcdOptions,
  type EtcdTimings,
} from "./options.ts";
import { listPages, restartCompacted, storedValue, valuesInTurns } from "./range.ts";
import { RequestSlots } from "./request-slots.ts";
import { diagnoseTls, loadTls, type TlsMaterial } from "./tls.ts";
import { followEtcd } from "./watch.ts";

/**
 * Opens a store on etcd v3.4 or later. Throws INVALID for wrong options, files or certificates, FORBIDDEN for a refused user,
 * UNAVAILABLE when no endpoint answers in time.
 */
export async function openEtcdStore(options: EtcdOptions): Promise<Store> {
  const urls = checkEndpoints(options.endpoints, options.tls !== undefined);
  const tls = options.tls === undefined ? undefined : await loadTls(options.tls);
  const timings = { ...DEFAULT_TIMINGS, ...options.timings };
  const clientOptions = { tls, auth: options.auth, callTimeoutMs: timings.callTimeoutMs };
  const requestPrefix = options.requestPrefix ?? DEFAULT_REQUEST_PREFIX;
  const report = options.report ?? (() => undefined);
  const link = { endpoints: new Endpoints(urls, clientOptions), timings, report };
  const members = new MemberWatch({ link, clock: systemClock });
  try {
    await firstContact(link, requestPrefix, { tls, members, signal: options.signal });
  } catch (error) {
    link.endpoints.close();
    throw error;
  }
  return new EtcdStore({ link, requestPrefix, members }, { urls, clientOptions, timings });
}

const FIRST_LOOK_MS = 1_000;

/** The first comparison of the members may keep the opening waiting for so long. */
const FIRST_COMPARISON_MS = 4_000;

interface FirstContactOptions {
  readonly tls: TlsMaterial | undefined;
  readonly members: MemberWatch;
  readonly signal: AbortSignal | undefined;
}

/** One linearizable read; where it fails, says what is wrong with TLS, which gRPC calls "unavailable". */
async function firstContact(link: EtcdLink, key: string, { tls, members, signal }: FirstContactOptions): Promise<void> {
  const request = { key: Buffer.from(key), limit: 1, keys_only: true };
  const contact = (totalTimeoutMs: number) =>
    read(link, { doing: "open the store", signal, totalTimeoutMs }, (client, options) =>
      client.kv.range(request, options),
    );
  if (link.endpoints.all.length > 1) {
    await learnClusters(link, signal);
    using patience = linkSignals(signal, AbortSignal.timeout(FIRST_COMPARISON_MS));
    await members.look(patience.signal);
  }
  try {
    await contact(tls === undefined ? link.timings.operationTimeoutMs : FIRST_LOOK_MS);
  } catch (error) {
    const failure = asNetError(error, "open the store", "UNAVAILABLE");
    if (tls === undefined || failure.code !== "UNAVAILABLE") throw failure;
    await refuseBadTls(link, tls, failure);
    await contact(link.timings.operationTimeoutMs);
  }
}

/** Asks every member which cluster it belongs to and who else does, so that one of another cluster is not believed because it answers first. */
async function learnClusters(link: EtcdLink, signal: AbortSignal | undefined): Promise<void> {
  const options = { doing: "learn the cluster", signal, timeoutMs: FIRST_LOOK_MS };
  await Promise.allSettled(
    link.endpoints.all.map((endpoint) =>
      attempt(link, endpoint, options, async (client, callOptions) => {
        const answer = await client.cluster.memberList({}, callOptions);
        link.endpoints.learnMembers(answer.header.cluster_id, answer.members.length);
        return answer;
      }),
    ),
  );
}

async function refuseBadTls(link: EtcdLink, tls: TlsMaterial, cause: NetError): Promise<void> {
  const findings = await Promise.all(
    link.endpoints.all.map(async ({ url }) => ({ url, text: await diagnoseTls(url, tls, FIRST_LOOK_MS) })),
  );
  for (const { url, text } of findings) {
    if (text === undefined) continue;
    throw new NetError("INVALID", `Cannot open the store: TLS to etcd ${url} fails: ${text}`, { cause });
  }
}

interface StoreParts {
  readonly link: EtcdLink;
  readonly requestPrefix: string;
  readonly members: MemberWatch;
}

class EtcdStore implements Store {
  readonly #link: EtcdLink;
  readonly #slots: RequestSlots;
  readonly #leases: LeaseDriver;
  readonly #leaseThread: LeaseThread;
  readonly #closed = new AbortController();
  readonly #open = new Set<AsyncDisposable>();

  readonly #watchesMembers: Promise<void>;

  constructor({ link, requestPrefix, members }: StoreParts, data: LeaseWorkerData) {
    this.#link = link;
    this.#leases = etcdLeaseDriver(link);
    this.#leaseThread = new LeaseThread({
      ...{ data, driver: this.#leases, report: link.report },
      clusterId: () => link.endpoints.clusterId,
    });
    this.#slots = new RequestSlots({
      prefix: requestPrefix,
      ttlS: link.timings.requestTtlS,
      grant: (ttlS) => this.#leases.grant(ttlS, this.#closed.signal),
      nowMs: systemClock.nowMs,
    });
    this.#leaseThread.distrust(link.endpoints.diverged);
    members.onTrust = (diverged) => this.#leaseThread.distrust(diverged);
    this.#watchesMembers = link.endpoints.all.length > 1 ? members.run(this.#closed.signal) : Promise.resolve();
  }

  list(prefix: string, options: ReadOptions = {}): Promise<Snapshot> {
    return restartCompacted(prefix, async () => {
      throwIfAborted(this.#closed.signal, `list "${prefix}"`);
      const values: StoredValue[] = [];
      let revision = 0n;
      for await (const page of listPages(this.#link, prefix, options)) {
        revision = page.revision;
        for await (const slice of valuesInTurns(page)) values.push(...slice);
      }
      return { revision, values };
    });
  }

  async get(key: string, { signal, serializable = false }: GetOptions = {}): Promise<StoredValue | undefined> {
    const doing = `get "${key}"`;
    throwIfAborted(this.#closed.signal, doing);
    const request = { key: Buffer.from(key), serializable };
    const answer = await read(this.#link, { doing, signal }, (client, options) => client.kv.range(request, options));
    const kv = answer.kvs[0];
    return kv === undefined ? undefined : storedValue(kv);
  }

  watch(prefix: string, consumer: WatchConsumer, options: WatchOptions = {}): Watch {
    return this.#watch(prefix, consumer, options, this.#link.timings);
  }

  async commit(commit: Commit, options: ReadOptions = {}): Promise<CommitResult> {
    throwIfAborted(this.#closed.signal, `commit ${commit.requestId}`);
    return await commitOnce(this.#link, this.#slots, commit, options.signal);
  }

  /** An etcd user without the right to ask for alarms is told nothing: then the writes themselves must show it. */
  async hasSpace({ signal }: ReadOptions = {}): Promise<boolean> {
    const doing = "ask for alarms";
    throwIfAborted(this.#closed.signal, doing);
    try {
      const answer = await read(this.#link, { doing, signal }, (client, options) =>
        client.maintenance.alarm({ action: "Get", alarm: "None" }, options),
      );
      return answer.alarms.every((member) => String(member.alarm).toUpperCase() !== "NOSPACE");
    } catch (error) {
      if (error instanceof NetError && error.code === "FORBIDDEN") return true;
      throw error;
    }
  }

  lease(options: { readonly ttlS: number; readonly signal?: AbortSignal }): Promise<Lease> {
    return this.#lease(options, undefined);
  }

  async #lease(options: Parameters<Store["lease"]>[0], keeper: LeaseKeeper | undefined): Promise<Lease> {
    throwIfAborted(this.#closed.signal, "grant a lease");
    const { report } = this.#link;
    const lease = await holdLease(this.#leases, { ...options, clock: systemClock, report, keeper });
    this.#open.add(lease);
    onAbort(lease.lost, () => void lease.revoke().then(() => this.#open.delete(lease)));
    return lease;
  }

  campaign(campaign: Campaign): Promise<Leadership> {
    this.#leaseThread.start();
    const keeper: LeaseKeeper = (lease, signal) => this.#leaseThread.keep(lease, signal);
    const timings = closeWatchTimings(this.#link.timings);
    const ground = {
      commit: this.commit.bind(this),
      get: this.get.bind(this),
      lease: (options: Parameters<Store["lease"]>[0]) => this.#lease(options, keeper),
      watchClosely: (prefix: string, consumer: WatchConsumer) =>
        this.#watch(prefix, consumer, { relists: true }, timings),
      clock: systemClock,
      closed: this.#closed.signal,
    };
    return runCampaign(ground, campaign);
  }

  #watch(prefix: string, consumer: WatchConsumer, options: WatchOptions, timings: EtcdTimings): Watch {
    const { signal, anchor, relists } = options;
    const followed = { link: { ...this.#link, timings }, prefix, consumer, anchor, relists };
    const watch = startWatch({
      prefix,
      signal: this.#closed.signal.aborted ? this.#closed.signal : signal,
      run: (ended, onSynced) => followEtcd(followed, ended, onSynced),
      onEnd: () => this.#open.delete(watch),
    });
    this.#open.add(watch);
    return watch;
  }

  /** Ends watches, gives leases back, then closes the clients: a client closed first would leave its streams retrying. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed.signal.aborted) return;
    this.#closed.abort(new NetError("CLOSED", "The store was closed"));
    await Promise.all([...this.#open].map((open) => open[Symbol.asyncDispose]()));
    await Promise.all([this.#leaseThread.close(), this.#watchesMembers]);
    this.#link.endpoints.close();
  }
}
