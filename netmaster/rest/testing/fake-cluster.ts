import { isDeepStrictEqual } from "node:util";
import { pino } from "pino";
import { Registry } from "prom-client";
import type { BandwidthReport, CeilingReport } from "../../../state/bandwidth/report.ts";
import { NetError } from "../../../state/errors.ts";
import type { Epoch } from "../../../state/ids.ts";
import { objectKey } from "../../../state/keys.ts";
import type { Receipt } from "../../../state/node-api.ts";
import { READY } from "../../../state/readiness.ts";
import { type Kind, RECORDS } from "../../../state/records.ts";
import { bootstrap } from "../../intents/global.ts";
import { HitCounters } from "../../node-reports/hit-counters.ts";
import { PolicyRevisions } from "../../node-reports/policy-revisions.ts";
import { applyChanges, emptyView, type FrozenView, ViewDraft } from "../../view/cluster-view.ts";
import {
  type Intent,
  type IntentContext,
  MAX_PLAN_OPERATIONS,
  type ObjectChange,
  type Plan,
  type ViewChange,
} from "../../view/types.ts";
import type { LeaderInfo, RestServices } from "../services.ts";

/** For tests: a leader with its store in memory, which refuses what the real store would refuse. */
export interface FakeCluster extends RestServices {
  /** Plans and commits at once. */
  run<Request, Reply>(intent: Intent<Request, Reply>, request: Request): Reply;
  /** Store keys of all claims, sorted. */
  claims(): readonly string[];
  readonly audits: readonly object[];
  leaderInfo: LeaderInfo;
  readonly receipts: Map<string, Receipt>;
  readonly hits: HitCounters;
  /** By endpoint. */
  readonly measured: Map<string, BandwidthReport>;
  /** By node and group or tenant, with a blank between. */
  readonly ceilings: Map<string, CeilingReport>;
  /** Forgets the changes that watches could begin from. */
  forgetChanges(): void;
  /** The store is another one from now on, with the same objects at the same revisions. */
  restore(epoch: string): void;
}

const LEADER: LeaderInfo = {
  isLeader: true,
  self: "127.0.0.1:9999",
  leaderUrl: "http://127.0.0.1:9999",
  netmasters: ["127.0.0.1:9999"],
};

/** Of the store at first. */
export const FIRST_EPOCH = "1-00000001";

/** Objects, claims and the changes that led to them. */
class FakeStore {
  view: FrozenView = inEpoch(emptyView(), FIRST_EPOCH);
  readonly claimed = new Map<string, string>();
  readonly listeners = new Set<(change: ViewChange) => void>();
  #journal: ObjectChange[] = [];
  #forgottenTo = 0n;

  commit(plan: Plan<unknown>): void {
    checkPlan(plan, this.claimed);
    const { puts, deletes, claims, releases } = plan;
    if (puts.length + deletes.length + claims.length + releases.length === 0) return;
    const revision = this.view.revision + 1n;
    const changes = [...deletes.map(({ kind, key }) => ({ kind, key, record: undefined })), ...puts].map(
      ({ kind, key, record }) =>
        ({ kind, key, record, previous: this.view.records(kind).get(key), modRevision: revision }) as ObjectChange,
    );
    for (const key of releases) this.claimed.delete(key);
    for (const { storeKey, owner } of claims) this.claimed.set(storeKey, owner);
    this.view = applyChanges(this.view, changes, revision);
    this.#journal.push(...changes);
    for (const listener of [...this.listeners]) listener({ view: this.view, changes });
  }

  since(revision: bigint): readonly ObjectChange[] | undefined {
    if (revision < this.#forgottenTo) return undefined;
    return this.#journal.filter((change) => change.modRevision > revision);
  }

  forget(): void {
    this.#journal = [];
    this.#forgottenTo = this.view.revision;
  }
}

function inEpoch(view: FrozenView, epoch: string): FrozenView {
  const draft = new ViewDraft(view);
  draft.epoch = epoch;
  return draft.freeze(view.revision);
}

/** Time stands still, epochs are counted. */
function countingContext(): IntentContext {
  let epochCount = 0;
  return {
    now: "2026-01-01T00:00:00.000Z",
    newEpoch: () => {
      epochCount += 1;
      return `epoch-${epochCount}` as Epoch;
    },
  };
}

/** @param isEmpty leave out what every leader bootstraps */
export function fakeCluster({ isEmpty = false } = {}): FakeCluster {
  const store = new FakeStore();
  const context = countingContext();
  const audits: object[] = [];
  const receipts = new Map<string, Receipt>();
  const hits = new HitCounters();
  const policyRevisions = new PolicyRevisions();
  store.listeners.add((change) => {
    hits.follow(change);
    policyRevisions.follow(change);
  });
  const measured = new Map<string, BandwidthReport>();
  const ceilings = new Map<string, CeilingReport>();
  function run<Request, Reply>(intent: Intent<Request, Reply>, request: Request): Reply {
    const plan = intent(store.view, request, context);
    store.commit(plan);
    return plan.reply;
  }
  const cluster: FakeCluster = {
    run,
    audits,
    receipts,
    hits,
    measured,
    ceilings,
    claims: () => [...store.claimed.keys()].sort(),
    leaderInfo: LEADER,
    forgetChanges: () => store.forget(),
    restore: (epoch) => {
      store.view = inEpoch(store.view, epoch);
      store.forget();
    },
    view: () => store.view,
    unreadable: () => [],
    onChange(listener) {
      store.listeners.add(listener);
      return () => store.listeners.delete(listener);
    },
    changesSince: (revision) => store.since(revision),
    waitForRevision: async (revision) => {
      if (revision > store.view.revision) throw new NetError("TIMEOUT", `Revision ${revision} did not come`);
      return store.view;
    },
    async submit(intent, request) {
      if (!cluster.leaderInfo.isLeader) throw new NetError("UNAVAILABLE", "Not the leader", { reason: "no-leader" });
      return { reply: run(intent, request), revision: store.view.revision };
    },
    leader: () => cluster.leaderInfo,
    readiness: () => ({ ...READY, reasons: [], since: "2026-01-01T00:00:00.000Z" }),
    conditions: () => [],
    reports: {
      ...{ hits, policyRevisions },
      receipt: (name) => receipts.get(name),
      ceiling: (nodeName, key) => ceilings.get(`${nodeName} ${key}`),
    },
    bandwidthReport: (_nodeName, key) => measured.get(key),
    metrics: new Registry(),
    log: pino({ level: "info" }, { write: (line: string) => void audits.push(JSON.parse(line)) }),
    build: { gitCommit: "abc", version: "0.1.0", buildTime: "today" },
    clusterMode: "test",
  };
  if (!isEmpty) run(bootstrap, { fwdMode: "bridge" });
  return cluster;
}

/** What every plan must hold to, whoever made it. */
function checkPlan({ puts, deletes, claims, releases }: Plan<unknown>, claimed: ReadonlyMap<string, string>): void {
  const written = [...puts, ...deletes].map(({ kind, key }) => objectKey(kind, key));
  const all = [...written, ...claims.map(({ storeKey }) => storeKey), ...releases];
  if (new Set(all).size !== all.length) throw new Error(`A plan writes a key twice: ${all.join(" ")}`);
  if (all.length > MAX_PLAN_OPERATIONS) throw new Error(`A plan has ${all.length} operations`);
  for (const { storeKey, replaces = false } of claims) {
    if (claimed.has(storeKey) !== replaces) throw new Error(`Claim ${storeKey} is ${replaces ? "absent" : "taken"}`);
  }
  for (const storeKey of releases) if (!claimed.has(storeKey)) throw new Error(`Claim ${storeKey} was never made`);
  for (const { kind, key, record } of puts) checkRecord(kind, key, record);
}

/** A record must come out of its own schema unchanged, and know its key. */
function checkRecord(kind: Kind, key: string, record: { readonly key: string }): void {
  const parsed = RECORDS[kind].parse(JSON.parse(JSON.stringify(record)));
  if (!isDeepStrictEqual(parsed, JSON.parse(JSON.stringify(record))))
    throw new Error(`${kind} ${key} changes in its schema`);
  if (record.key !== key) throw new Error(`${kind} ${key} says that its key is ${record.key}`);
}
