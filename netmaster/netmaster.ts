import { randomBytes } from "node:crypto";
import type { ServerOptions as TlsServerOptions } from "node:https";
import type { FastifyInstance } from "fastify";
import type { Logger } from "pino";
import { Certificates } from "../state/certificates.ts";
import { type NetError, STORE_FULL, textOf } from "../state/errors.ts";
import { LossLog } from "../state/loss-log.ts";
import type { Store, StoreReport } from "../state/store/store.ts";
import { systemClock } from "../state/waiting/clock.ts";
import type { BuildInfo } from "./build-info.ts";
import { AddressHold } from "./commit/address-hold.ts";
import { type Committer, createCommitter } from "./commit/committer.ts";
import type { NetmasterConfig } from "./config.ts";
import { createDoor, type Door } from "./http/door.ts";
import { type Listener, listen } from "./http/listener.ts";
import type { TlsFiles } from "./http/tls-files.ts";
import { type Candidate, type LeaderEvent, startCandidate } from "./leader/candidate.ts";
import { watchLiveness } from "./leader/liveness.ts";
import { createMetrics, type NetmasterMetrics } from "./metrics/cluster.ts";
import { addReportMetrics } from "./metrics/node-reports.ts";
import { createNodeCalls } from "./node-api/calls.ts";
import { forwardCall } from "./node-api/forward.ts";
import { ScopeHub } from "./node-api/scope-hub.ts";
import { BODY_LIMIT_BYTES, createNodeApi } from "./node-api/server.ts";
import { Heartbeats } from "./node-reports/heartbeats.ts";
import { HitCounters } from "./node-reports/hit-counters.ts";
import { PolicyRevisions } from "./node-reports/policy-revisions.ts";
import { followLeader, type LeaderDirectory, type LeaderInfo } from "./peers/leader-info.ts";
import { announceNetmaster, followNetmasters, type Netmasters } from "./peers/netmasters.ts";
import { NetmasterReadiness } from "./readiness.ts";
import { createRestApp } from "./rest/app.ts";
import type { RestServices } from "./rest/services.ts";
import type { Condition } from "./store/condition.ts";
import { StoreLog } from "./store/store-log.ts";
import { StoreMembers } from "./store/store-members.ts";
import { StoreSpace } from "./store/store-space.ts";
import { startViewCache, type ViewCache } from "./view/cache.ts";

/** Of the secret by which netmasters know each other (HMAC-SHA256 takes as much). */
const PROOF_KEY_BYTES = 32;
/** A watch stream tells of itself this often, and is dead after three times as long. */
const BOOKMARK_INTERVAL_MS = 3_000;
const WATCH_IDLE_TIMEOUT_MS = 3 * BOOKMARK_INTERVAL_MS;
/** How long running requests may take to end when netmaster ends. */
const CLOSE_GRACE_MS = 1_500;

export interface NetmasterParts {
  readonly config: NetmasterConfig;
  readonly build: BuildInfo;
  readonly log: Logger;
  /** Opens the store; its reports go to the first function, and to the second one why it does not answer yet. */
  readonly openStore: (report: (report: StoreReport) => void, onAway: (error: NetError) => void) => Promise<Store>;
}

/** A running netmaster. */
export interface Netmaster {
  /** The REST addresses, with the ports they really have. */
  readonly addresses: readonly string[];
  readonly nodeApiAddress: string;
  /** Ends within a few seconds: finishes requests, gives up the leadership, closes the store. */
  close(): Promise<void>;
}

interface Core {
  readonly config: NetmasterConfig;
  readonly build: BuildInfo;
  readonly log: Logger;
  readonly self: LeaderInfo;
  readonly store: Store;
  readonly cache: ViewCache;
  readonly directory: LeaderDirectory;
  readonly committer: Committer;
  readonly addressHold: AddressHold;
  readonly hub: ScopeHub;
  readonly heartbeats: Heartbeats;
  readonly hits: HitCounters;
  readonly policyRevisions: PolicyRevisions;
  readonly metrics: NetmasterMetrics;
  readonly space: StoreSpace;
  readonly members: StoreMembers;
  readonly storeLog: StoreLog;
  readonly netmasters: Netmasters;
  readonly readiness: NetmasterReadiness;
  readonly certificates: Certificates;
}

/**
 * Listens at once, and serves when the store has been opened; it is ready once its view is complete and a leader is known. Throws
 * what stands in the way for good.
 */
export async function startNetmaster(parts: NetmasterParts): Promise<Netmaster> {
  const { config, log } = parts;
  const readiness = new NetmasterReadiness(log);
  const doors = { rest: createDoor(readiness), node: createDoor(readiness) };
  const listeners: Listener[] = [];
  try {
    for (const address of config.listen) listeners.push(await listen(address, doors.rest.handler, restTls(config)));
    const nodeListener = await listen(config.nodeApi.listen, doors.node.handler, nodeTls(config.nodeApi.tls));
    const addresses = listeners.map((listener) => listener.address);
    listeners.push(nodeListener);
    const { version } = parts.build;
    log.info({ version, rest: addresses, nodeApi: nodeListener.address }, "netmaster starts and listens");
    const close = await serve(await startCore(parts, readiness), doors, listeners);
    return { addresses, nodeApiAddress: nodeListener.address, close };
  } catch (error) {
    await Promise.all(listeners.map((listener) => listener.close(0)));
    throw error;
  }
}

/** Opens the doors, runs for leader and looks after the nodes. Returns how to end all of it. */
async function serve(
  core: Core,
  doors: { readonly rest: Door; readonly node: Door },
  listeners: readonly Listener[],
): Promise<() => Promise<void>> {
  const { config } = core;
  const ended = new AbortController();
  const restApp = createRestApp(restServices(core), forwardOptions(config));
  const nodeApp = nodeApi(core, ended.signal);
  await Promise.all([restApp.ready(), nodeApp.ready()]);
  const candidate = startCandidate(candidateOptions(core));
  const liveness = watchLiveness({ ...core, reclaimAfterMs: config.reclaimAfterMs }, ended.signal);
  const spaceWatch = core.space.watch(ended.signal);
  const presence = announceNetmaster(core.store, core.self, ended.signal);
  const readinessWatch = core.readiness.watch(ended.signal);
  doors.rest.open(restApp);
  doors.node.open(nodeApp);
  return async () => {
    ended.abort();
    const closings = listeners.map((listener) => listener.close(CLOSE_GRACE_MS));
    await Promise.all([restApp.close(), ...closings]);
    await closeCore(core, { candidate, loops: [liveness, spaceWatch, readinessWatch, presence] });
  };
}

async function startCore(
  { config, build, log, openStore }: NetmasterParts,
  readiness: NetmasterReadiness,
): Promise<Core> {
  const members = new StoreMembers(log);
  const reports: ((report: StoreReport) => void)[] = [members.report];
  const store = await openStore(
    (report) => {
      for (const note of reports) note(report);
    },
    ({ message }) => readiness.opening(message),
  );
  const cache = startViewCache(store, {
    onQuarantine: ({ storeKey, reason }) =>
      log.error({ storeKey, reason }, "An object in etcd cannot be read and is ignored"),
    onListenerError: (err) => log.error({ err }, "A part of netmaster failed to process a change; this is a defect"),
  });
  const metrics = createMetrics({
    view: cache.view.bind(cache),
    isSynced: cache.isSynced.bind(cache),
    isLeading: () => committer.isLeading(),
    quarantinedCount: () => cache.quarantined().length,
    waitingRequests: () => committer.depth,
    nodeStreams: () => hub.streamCount,
    isStoreFull: () => space.isFull,
    divergedMembers: () => members.divergedCount,
    readyState: () => readiness.current().state,
  });
  const certificates = certificatesOf(config, metrics);
  const storeLog = new StoreLog(log);
  const space = new StoreSpace({ store, log });
  reports.push(cache.noteReport.bind(cache), metrics.storeReport, storeLog.report);
  const heartbeats = new Heartbeats({
    nodeTimeoutMs: config.nodeTimeoutMs,
    clock: systemClock,
    storeEpoch: () => cache.view().epoch,
  });
  const addressHold = new AddressHold({ heartbeats, nowMs: () => systemClock.nowMs() });
  const committer = openCommitter({ store, cache, addressHold, metrics, space, log });
  const hub = new ScopeHub(cache, { bookmarkIntervalMs: BOOKMARK_INTERVAL_MS });
  const hits = new HitCounters();
  const policyRevisions = new PolicyRevisions();
  cache.onChange((change) => {
    hits.follow(change);
    policyRevisions.follow(change);
  });
  addReportMetrics(metrics.registry, {
    view: cache.view.bind(cache),
    receipt: heartbeats.receipt.bind(heartbeats),
    hits,
  });
  const core: Core = {
    ...{ config, build, log, store, cache, committer, addressHold, hub, heartbeats, hits, policyRevisions },
    ...{ metrics, space, members, storeLog, readiness, certificates },
    self: selfInfo(config, build),
    directory: followLeader(store, leaderLog(log, readiness)),
    netmasters: followNetmasters(store),
  };
  readiness.opened(() => readinessFacts(core));
  return core;
}

function certificatesOf(config: NetmasterConfig, { registry }: NetmasterMetrics): Certificates {
  const certificates = new Certificates(config.certificates, { daemon: "netmaster" });
  certificates.register(registry, "contiv_netmaster_");
  return certificates;
}

/** One line when nobody leads any more, one when somebody leads again. */
function leaderLog(log: Logger, readiness: NetmasterReadiness): (leader: LeaderInfo | undefined) => void {
  const loss = new LossLog({
    log,
    lost: "No netmaster leads; changes are refused until one leads",
    back: "A netmaster leads again",
  });
  return (leader) => {
    if (leader === undefined) loss.lost("the leader gave up, or its lease in etcd has ended");
    else if (loss.isLost) loss.back({ leader: leader.id, restUrl: leader.restUrl });
    else log.info({ leader: leader.id, restUrl: leader.restUrl }, "The leading netmaster is known");
    readiness.current();
  };
}

type CommitterParts = Pick<Core, "store" | "cache" | "addressHold" | "metrics" | "space" | "log">;

function openCommitter({ store, cache, addressHold, metrics, space, log }: CommitterParts): Core["committer"] {
  return createCommitter({
    ...{ store, cache, addressHold },
    onGroup(report) {
      metrics.group(report);
      if (report.outcome === "committed" || report.error !== undefined) space.noteWrite(report.error);
    },
    onAnomaly(message) {
      metrics.anomaly();
      log.warn({ anomaly: message }, "A change met something in etcd that this netmaster did not expect");
    },
  });
}

function selfInfo(config: NetmasterConfig, build: BuildInfo): LeaderInfo {
  const id = `${config.name}-${randomBytes(4).toString("hex")}`;
  const urls = { restUrl: config.advertiseUrl, nodeApiUrl: config.nodeApi.advertiseUrl };
  return { id, ...urls, proofKey: randomBytes(PROOF_KEY_BYTES).toString("base64url"), version: build.version };
}

async function closeCore(
  { cache, directory, hub, netmasters, store, storeLog }: Core,
  running: { readonly candidate: Candidate; readonly loops: readonly Promise<void>[] },
): Promise<void> {
  storeLog.close();
  await running.candidate.close();
  hub[Symbol.dispose]();
  await Promise.all(running.loops);
  await Promise.all([cache, directory, netmasters].map((follower) => follower[Symbol.asyncDispose]()));
  await store[Symbol.asyncDispose]();
}

function candidateOptions(core: Core) {
  const { store, cache, committer, addressHold, self, config, hits } = core;
  const { leaderTtlMs, fwdMode } = config;
  return {
    ...{ store, cache, committer, addressHold, self, fwdMode },
    ...(leaderTtlMs === undefined ? {} : { leaderTtlS: Math.max(1, Math.ceil(leaderTtlMs / 1_000)) }),
    onEvent(event: LeaderEvent) {
      // Others collect from now on: what comes later would be added to old sums.
      if (event.is === "lost") hits.clear();
      logLeaderEvent(core, event);
      core.readiness.current();
    },
  };
}

/** While etcd is away it has a line of its own. */
function logLeaderEvent({ log, storeLog }: Core, event: LeaderEvent): void {
  if (event.is === "failed") {
    const { code, message } = event.cause;
    log[storeLog.isFailing ? "debug" : "warn"](
      { code, error: message },
      "This netmaster cannot become leader; it tries again",
    );
  } else if (event.is === "lost") {
    log.info({ epoch: String(event.epoch), reason: textOf(event.cause) }, "This netmaster leads no longer");
  } else {
    const text = event.is === "elected" ? "This netmaster was elected leader" : "This netmaster leads";
    log.info({ epoch: String(event.epoch) }, text);
  }
}

function nodeApi(core: Core, signal: AbortSignal): FastifyInstance {
  const { cache, committer, config, directory, heartbeats, hits, hub, log, metrics, self, space } = core;
  const { version } = core.build;
  const { heartbeatIntervalMs, nodeApi: settings } = config;
  const calls = createNodeCalls({
    ...{ cache, committer, heartbeats, hits, heartbeatIntervalMs, version },
    watchIdleTimeoutMs: WATCH_IDLE_TIMEOUT_MS,
  });
  const tls = settings.tls === undefined ? {} : { tls: peerTls(settings.tls) };
  const forwarding = {
    directory,
    cache,
    selfId: self.id,
    bodyLimitBytes: BODY_LIMIT_BYTES,
    isStoreFull: () => space.isFull,
    ...tls,
  };
  return createNodeApi({
    ...{ cache, calls, hub, log, version, signal },
    isLeading: committer.isLeading.bind(committer),
    forward: (request) => forwardCall(forwarding, request),
    onCall: metrics.nodeCall,
  });
}

function restServices(core: Core): RestServices {
  const { build, cache, committer, config, directory, heartbeats, hits, log, metrics, policyRevisions, self } = core;
  const { readiness } = core;
  return {
    ...{ build, log, clusterMode: config.clusterMode, metrics: metrics.registry },
    view: cache.view.bind(cache),
    unreadable: () => cache.quarantined().map(({ storeKey }) => storeKey),
    onChange: cache.onChange.bind(cache),
    changesSince: (revision) => cache.journal.since(revision),
    waitForRevision: cache.waitForRevision.bind(cache),
    submit: committer.submit.bind(committer),
    leader() {
      const leader = directory.current();
      const isLeader = committer.isLeading();
      const leaderUrl = leader?.id === self.id && !isLeader ? undefined : leader?.restUrl;
      const urls = new Set([
        ...core.netmasters.urls(),
        self.restUrl,
        ...(leader === undefined ? [] : [leader.restUrl]),
      ]);
      const netmasters = [...urls].map((url) => new URL(url).host).sort();
      const proofKey = leader?.proofKey;
      return { isLeader, self: new URL(self.restUrl).host, leaderUrl, proofKey, term: directory.term(), netmasters };
    },
    readiness: () => readiness.current(),
    conditions: () => conditions(core),
    reports: {
      ...{ hits, policyRevisions },
      receipt: heartbeats.receipt.bind(heartbeats),
      ceiling: heartbeats.ceilingReport.bind(heartbeats),
    },
    bandwidthReport: heartbeats.bandwidthReport.bind(heartbeats),
  };
}

function readinessFacts(core: Core) {
  const { cache, committer, directory, space, storeLog, self } = core;
  const leader = directory.current();
  return {
    isSynced: cache.isSynced(),
    deafness: storeLog.deafness,
    failure: storeLog.failure,
    isLeading: committer.isLeading(),
    isStoreFull: space.isFull,
    leader: leader === undefined ? "none" : leader.id === self.id ? "self" : "other",
    conditions: conditions(core),
  } as const;
}

/** What is wrong while reads are right. */
function conditions({ cache, space, members, certificates }: Core): readonly Condition[] {
  const found: Condition[] = cache
    .quarantined()
    .map(({ storeKey, reason }) => ({ name: "unreadable", key: storeKey, message: reason }));
  const ending = certificates.fault();
  if (ending !== undefined) found.unshift({ name: "certificates", message: ending });
  found.unshift(...members.conditions());
  if (space.isFull) {
    const message = "the store is full: it can be read, not written; make room in etcd and disarm its alarm";
    found.unshift({ name: STORE_FULL, message });
  }
  return found;
}

function restTls({ tls }: NetmasterConfig): TlsServerOptions | undefined {
  if (tls === undefined) return undefined;
  const { cert, key, ca } = tls;
  return ca === undefined ? { cert, key } : { cert, key, ca, requestCert: true, rejectUnauthorized: true };
}

function nodeTls(tls: TlsFiles | undefined): TlsServerOptions | undefined {
  return tls === undefined ? undefined : { ...peerTls(tls), requestCert: true, rejectUnauthorized: true };
}

function peerTls({ cert, key, ca }: TlsFiles) {
  return ca === undefined ? { cert, key } : { cert, key, ca };
}

/** How to reach the REST API of another netmaster: as a client with our own certificate. */
function forwardOptions({ tls, peerCa }: NetmasterConfig) {
  const ca = peerCa === undefined ? {} : { ca: peerCa };
  return { forwardTls: tls === undefined ? ca : { ...ca, cert: tls.cert, key: tls.key } };
}
