import { randomUUID } from "node:crypto";
import { asNetError, NetError } from "../../state/errors.ts";
import { LEADER_KEY, MARK_KEY } from "../../state/keys.ts";
import type { Global } from "../../state/kinds/global.ts";
import type { Guard, Leadership, Store } from "../../state/store/store.ts";
import { BackOff } from "../../state/waiting/back-off.ts";
import { within } from "../../state/waiting/limit.ts";
import { pause } from "../../state/waiting/pause.ts";
import { aborted } from "../../state/waiting/signals.ts";
import type { AddressHold } from "../commit/address-hold.ts";
import type { Committer } from "../commit/committer.ts";
import { LeaderPen } from "../commit/pen.ts";
import { bootstrap } from "../intents/global.ts";
import type { LeaderInfo } from "../peers/leader-info.ts";
import type { ViewCache } from "../view/cache.ts";
import { newMark, nextEpoch, readMark } from "../view/mark.ts";

export interface CandidateOptions {
  readonly store: Store;
  readonly cache: ViewCache;
  readonly committer: Committer;
  readonly addressHold: Pick<AddressHold, "begin">;
  readonly self: LeaderInfo;
  /** Forwarding mode of a cluster that has no settings yet. */
  readonly fwdMode: Global["fwdMode"];
  readonly leaderTtlS?: number;
  readonly onEvent: (event: LeaderEvent) => void;
}

export type LeaderEvent =
  | { readonly is: "elected"; readonly epoch: bigint }
  | { readonly is: "leading"; readonly epoch: bigint }
  | { readonly is: "lost"; readonly epoch: bigint; readonly cause: unknown }
  | { readonly is: "failed"; readonly cause: NetError };

const CATCH_UP_TIMEOUT_MS = 15_000;
const BACKOFF = { firstMs: 100, maxMs: 3_000 };
/** Most time that giving up the leadership may take at the end. */
const RESIGN_TIMEOUT_MS = 2_000;

export interface Candidate extends AsyncDisposable {
  /** Ends the candidacy and gives up the leadership, so that another takes over at once. */
  close(): Promise<void>;
}

/** Runs for leader again and again; whenever it is won, the committer leads. */
export function startCandidate(options: CandidateOptions): Candidate {
  const ended = new AbortController();
  const done = candidacy(options, ended.signal);
  async function close(): Promise<void> {
    ended.abort(new NetError("CLOSED", "This netmaster ends"));
    await done;
  }
  return { close, [Symbol.asyncDispose]: close };
}

async function candidacy(options: CandidateOptions, ended: AbortSignal): Promise<void> {
  const { cache, onEvent } = options;
  await Promise.race([cache.synced.catch(() => undefined), aborted(ended)]);
  const backOff = new BackOff(BACKOFF);
  while (!ended.aborted) {
    try {
      await leadOnce(options, ended);
      backOff.reset();
    } catch (error) {
      if (ended.aborted) return;
      onEvent({ is: "failed", cause: asNetError(error, "lead") });
      await pause(backOff.nextMs(), ended);
    }
  }
}

async function leadOnce(options: CandidateOptions, ended: AbortSignal): Promise<void> {
  const { store, committer, self, leaderTtlS, onEvent } = options;
  const ttl = leaderTtlS === undefined ? {} : { ttlS: leaderTtlS };
  const leadership = await store.campaign({ key: LEADER_KEY, value: JSON.stringify(self), signal: ended, ...ttl });
  const { epoch } = leadership;
  try {
    onEvent({ is: "elected", epoch });
    const pen = await takePen(options, leadership);
    options.addressHold.begin(pen, options.cache.view());
    committer.lead(pen);
    await committer.submit(bootstrap, { fwdMode: options.fwdMode });
    onEvent({ is: "leading", epoch });
    await aborted(AbortSignal.any([leadership.lost, ended]));
  } finally {
    committer.stepDown();
    onEvent({ is: "lost", epoch, cause: leadership.lost.reason ?? ended.reason });
    await within(leadership.resign(), { timeoutMs: RESIGN_TIMEOUT_MS, doing: "resign" }).catch(() => undefined);
  }
}

/**
 * Leaves the first mark of this leadership and waits until our view shows it, and with it everything that was written before. The epoch goes on
 * only where this process has seen another leader write it: otherwise nobody can say whether the store was restored in between.
 */
async function takePen({ store, cache }: CandidateOptions, leadership: Leadership): Promise<LeaderPen> {
  const { guard, epoch, lost } = leadership;
  const stored = await store.get(MARK_KEY, { signal: lost });
  const known = cache.mark();
  const isProven = stored !== undefined && known?.value === stored.value && cache.hasWitnessedLeader();
  const last = stored === undefined ? undefined : readMark(stored);
  const mark =
    isProven && last !== undefined
      ? newMark(last.epoch, last.isOpen)
      : newMark(nextEpoch(last?.epoch, known?.epoch), true);
  const before: Guard =
    stored === undefined ? { key: MARK_KEY, is: "absent" } : { key: MARK_KEY, is: "value", value: stored.value };
  const puts = [{ key: MARK_KEY, value: mark.value }];
  const commit = { requestId: randomUUID(), guards: [guard, before], puts, deletes: [] };
  const result = await store.commit(commit, { signal: lost });
  if (!result.committed) throw new NetError("UNAVAILABLE", `Leadership of epoch ${epoch} was lost at once`);
  await cache.waitForMark(mark.value, { timeoutMs: CATCH_UP_TIMEOUT_MS, signal: lost });
  return new LeaderPen(leadership, mark);
}
