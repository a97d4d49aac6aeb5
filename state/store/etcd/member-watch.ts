import { around } from "../../waiting/back-off.ts";
import type { Clock } from "../../waiting/clock.ts";
import { pause } from "../../waiting/pause.ts";
import { type AttemptOptions, ask, type EtcdLink } from "./calls.ts";
import type { Endpoint } from "./endpoints.ts";
import { failureOf } from "./failures.ts";
import {
  caughtUp,
  commonRevision,
  confirmed,
  countMembers,
  judge,
  lacking,
  type MemberHash,
  type MemberStatus,
  type Statuses,
  suspicious,
  type Verdict,
} from "./member-compare.ts";
import { DEFAULT_REQUEST_PREFIX } from "./options.ts";

export interface MemberWatchOptions {
  readonly link: EtcdLink;
  readonly clock: Clock;
}

const LOOK_EVERY_MS = 2_000;
const LOOK_TIMEOUT_MS = 1_000;
const HASH_TIMEOUT_MS = 10_000;
const CONFIRM_AFTER_MS = 1_000;
/** Between two comparisons that have a reason: a member that is back must be compared soon, one that stays behind may take its time. */
const MIN_SPACING_MS = 3_000;
const MANY_TRIES = 10;
const WIDE_SPACING_MS = 30_000;
/** Comparisons without a reason may take this part of the time, those with one ten times as much. */
const SHARE = 0.01;

interface Comparison {
  readonly verdict: Verdict;
  /** Need not be compared again before something happens to them. */
  readonly done: ReadonlySet<string>;
}

/**
 * Compares what the members hold: one that was restored from a backup under the flags of the running cluster takes part in it, and answers wrongly.
 * Members are looked at every other second, which costs next to nothing; their data are compared when a member is back, and every minute.
 */
export class MemberWatch {
  /** Called after each comparison with the endpoints that must not be used. */
  onTrust: (diverged: ReadonlyMap<string, string>) => void = () => undefined;
  readonly #options: MemberWatchOptions;
  /** By endpoint: what was said of it last. */
  readonly #told = new Map<string, "agrees" | "diverged" | "undecided">();
  /** Endpoints whose data are to be compared. */
  readonly #due = new Set<string>();
  #statuses: Statuses = new Map();
  #regularAtMs = 0;
  #notBeforeMs = 0;
  /** Comparisons in a row that left members undone. */
  #fruitless = 0;
  #hasToldRefusal = false;

  constructor(options: MemberWatchOptions) {
    this.#options = options;
  }

  /** Until the signal aborts; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.look(signal);
      await pause(around(LOOK_EVERY_MS, 0.25), signal, this.#options.clock);
    }
  }

  /** Looks once at all members, and compares them if there is a reason or it is time. Never rejects. */
  async look(signal: AbortSignal): Promise<void> {
    const { link, clock } = this.#options;
    const statuses = await this.#askAll(link.endpoints.all, signal);
    for (const endpoint of link.endpoints.all) {
      if (!statuses.has(endpoint.url)) endpoint.isCompared = false;
      if (!endpoint.isCompared) this.#due.add(endpoint.url);
    }
    for (const url of suspicious(this.#statuses, statuses)) this.#due.add(url);
    this.#statuses = statuses;
    const nowMs = clock.nowMs();
    if (nowMs >= this.#regularAtMs) for (const url of statuses.keys()) this.#due.add(url);
    const isDue = [...statuses.keys()].some((url) => this.#due.has(url));
    if (statuses.size > 1 && isDue && nowMs >= this.#notBeforeMs) await this.#compare(statuses, signal);
  }

  async #compare(statuses: Statuses, signal: AbortSignal): Promise<void> {
    const { clock, link } = this.#options;
    const startedMs = clock.nowMs();
    let tookMs = 0;
    try {
      let found = await this.#compareOnce(statuses, signal);
      tookMs = clock.nowMs() - startedMs;
      if (this.#accuses(found.verdict)) {
        await pause(CONFIRM_AFTER_MS, signal, clock);
        const { verdict, done } = await this.#compareOnce(await this.#askAll(link.endpoints.all, signal), signal);
        found = { verdict: confirmed(found.verdict, verdict), done };
      }
      if (!signal.aborted) this.#conclude(found);
    } catch (cause) {
      if (isRefusal(cause)) this.#cannotCompare(cause);
    }
    this.#fruitless = [...statuses.keys()].some((url) => this.#due.has(url)) ? this.#fruitless + 1 : 0;
    const spacingMs = this.#fruitless < MANY_TRIES ? MIN_SPACING_MS : WIDE_SPACING_MS;
    const nowMs = clock.nowMs();
    this.#notBeforeMs = nowMs + Math.max(spacingMs, tookMs / (10 * SHARE));
    if (nowMs < this.#regularAtMs) return;
    this.#regularAtMs = nowMs + around(Math.max(link.timings.compareEveryMs, tookMs / SHARE), 0.25);
  }

  /** Says something that has not been told. */
  #accuses({ diverged, undecided }: Verdict): boolean {
    return (
      [...diverged.keys()].some((url) => this.#told.get(url) !== "diverged") ||
      undecided.some((url) => this.#told.get(url) !== "undecided")
    );
  }

  /** One member after the other, so that at most one at a time keeps writes waiting. */
  async #compareOnce(first: Statuses, signal: AbortSignal): Promise<Comparison> {
    const { endpoints } = this.#options.link;
    const answering = endpoints.all.filter(({ url }) => first.has(url));
    const second = await this.#askAll(answering, signal);
    const memberCount = countMembers(second, endpoints.all.length);
    const lackingUrls = lacking(first, second, memberCount);
    const revision = commonRevision(second, lackingUrls) ?? 0n;
    const hashes = new Map<string, MemberHash>();
    for (const endpoint of answering) {
      if (!second.has(endpoint.url) || lackingUrls.has(endpoint.url)) continue;
      const hash = await this.#askHash(endpoint, revision, signal);
      if (hash !== undefined) hashes.set(endpoint.url, hash);
    }
    const distrusted = new Set(endpoints.diverged.keys());
    const verdict = judge(hashes, second, { lackingUrls, distrusted, memberCount, revision });
    const known = [...verdict.agreeing, ...verdict.diverged.keys(), ...verdict.undecided];
    const current = caughtUp(first, second);
    return { verdict, done: new Set(known.filter((url) => current.has(url))) };
  }

  #conclude({ verdict, done }: Comparison): void {
    const { endpoints } = this.#options.link;
    const { agreeing, diverged } = verdict;
    for (const endpoint of endpoints.all) {
      if (!done.has(endpoint.url)) continue;
      endpoint.isCompared = true;
      this.#due.delete(endpoint.url);
    }
    const remaining = [...endpoints.diverged].filter(([url]) => !agreeing.has(url) || !done.has(url));
    endpoints.diverged = new Map([...remaining, ...diverged]);
    this.onTrust(endpoints.diverged);
    this.#tell(verdict, done);
  }

  #tell({ agreeing, diverged, undecided }: Verdict, done: ReadonlySet<string>): void {
    const { report } = this.#options.link;
    for (const [endpoint, cause] of diverged) {
      if (this.#told.get(endpoint) !== "diverged") report({ kind: "member-diverged", endpoint, cause });
      this.#told.set(endpoint, "diverged");
    }
    if (undecided.some((url) => this.#told.get(url) !== "undecided"))
      report({ kind: "members-undecided", endpoints: undecided });
    for (const url of undecided) this.#told.set(url, "undecided");
    for (const endpoint of agreeing) {
      if (!done.has(endpoint)) continue;
      if (this.#told.get(endpoint) !== "agrees") report({ kind: "member-agrees", endpoint });
      this.#told.set(endpoint, "agrees");
    }
  }

  /** Tried again with the next regular comparison: rights may be given, and etcd be renewed. */
  #cannotCompare(cause: unknown): void {
    this.#due.clear();
    for (const endpoint of this.#options.link.endpoints.all) endpoint.isCompared = true;
    if (!this.#hasToldRefusal) this.#options.link.report({ kind: "members-not-compared", cause });
    this.#hasToldRefusal = true;
  }

  /** Those that answer, at once. */
  async #askAll(endpoints: readonly Endpoint[], signal: AbortSignal): Promise<Statuses> {
    const options = { doing: "look at a member", signal, timeoutMs: LOOK_TIMEOUT_MS };
    const found = new Map<string, MemberStatus>();
    const look = async (endpoint: Endpoint) => {
      const answer = await ask(this.#options.link, endpoint, options, (client, callOptions) =>
        client.maintenance.status(callOptions),
      );
      found.set(endpoint.url, {
        memberId: answer.header.member_id,
        version: answer.version,
        revision: BigInt(answer.header.revision),
        appliedIndex: BigInt(answer.raftAppliedIndex),
      });
    };
    await Promise.allSettled(endpoints.map(look));
    return found;
  }

  /** An expired token is renewed for calls of the key-value store only. */
  async #renewToken(endpoint: Endpoint, options: AttemptOptions): Promise<void> {
    const request = { key: Buffer.from(DEFAULT_REQUEST_PREFIX), serializable: true, keys_only: true };
    await ask(this.#options.link, endpoint, options, (client, callOptions) =>
      client.kv.range(request, callOptions),
    ).catch(() => undefined);
  }

  /** Undefined: it cannot say, since it is behind, has compacted the revision, or does not answer. */
  async #askHash(endpoint: Endpoint, revision: bigint, signal: AbortSignal): Promise<MemberHash | undefined> {
    const options = { doing: "compare the members", signal, timeoutMs: HASH_TIMEOUT_MS };
    const request = { revision: revision.toString() };
    if (this.#options.link.endpoints.hasAuth) await this.#renewToken(endpoint, options);
    try {
      const answer = await ask(this.#options.link, endpoint, options, (client, callOptions) =>
        client.hashKv(request, callOptions),
      );
      return { hash: String(answer.hash), compactRevision: answer.compact_revision };
    } catch (cause) {
      if (isRefusal(cause)) throw cause;
      return undefined;
    }
  }
}

/** The user lacks the role root, or etcd is too old. */
function isRefusal(cause: unknown): boolean {
  return failureOf(cause).kind === "refused" || (cause instanceof Error && cause.message.includes("UNIMPLEMENTED"));
}
