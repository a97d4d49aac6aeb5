import { randomUUID } from "node:crypto";
import { NetError } from "../errors.ts";
import { BackOff } from "../waiting/back-off.ts";
import type { Clock } from "../waiting/clock.ts";
import { pause } from "../waiting/pause.ts";
import { linkSignals, onAbort, throwIfAborted } from "../waiting/signals.ts";
import {
  type Campaign,
  DEFAULT_LEADER_TTL_S,
  type Leadership,
  type Lease,
  type Store,
  type Watch,
  type WatchConsumer,
} from "./store.ts";

/** The few abilities of a store on which an election rests. */
export interface ElectionGround {
  readonly commit: Store["commit"];
  readonly get: Store["get"];
  readonly lease: Store["lease"];
  /** A watch that notices a dead link within about two seconds. */
  readonly watchClosely: (prefix: string, consumer: WatchConsumer) => Watch;
  readonly clock: Clock;
  /** Aborts when the store is closed. */
  readonly closed: AbortSignal;
}

const CLAIM_BACKOFF = { firstMs: 50, maxMs: 1_000 };
const UNKNOWN_POLL_MS = 200;

/**
 * Waits to become the one leader. The leader key lives under a lease and is created only where absent; its create_revision is
 * the epoch. A candidate follows the key and claims it the moment it is deleted.
 */
export async function runCampaign(ground: ElectionGround, campaign: Campaign): Promise<Leadership> {
  const ttlS = campaign.ttlS ?? DEFAULT_LEADER_TTL_S;
  const doing = `campaign for "${campaign.key}"`;
  using link = linkSignals(campaign.signal, ground.closed);
  const ended = link.signal;
  throwIfAborted(ended, doing);
  const seat = watchSeat(ground, campaign.key, ended);
  try {
    const backOff = new BackOff(CLAIM_BACKOFF);
    for (;;) {
      await seat.vacancy(ttlS * 1_000);
      throwIfAborted(ended, doing);
      try {
        const leadership = await claim(ground, { ...campaign, ttlS }, seat, ended);
        if (leadership !== undefined) return leadership;
        backOff.reset();
      } catch (error) {
        throwIfAborted(ended, doing);
        if (error instanceof NetError && (error.code === "INVALID" || error.code === "FORBIDDEN")) throw error;
        await pause(backOff.nextMs(), ended, ground.clock);
      }
    }
  } catch (error) {
    await seat.close();
    throw error;
  }
}

interface Seat {
  /** Resolves when the key is believed absent; looks for itself after `pollMs`; returns early when the campaign ends. */
  vacancy(pollMs: number): Promise<void>;
  /** The key is known to be held since this revision. */
  taken(): void;
  /** Calls once when the key created at `epoch` is gone. */
  onVacated(epoch: bigint, callback: () => void): void;
  close(): Promise<void>;
}

/** Follows who sits on the leader key. */
function watchSeat(ground: ElectionGround, key: string, ended: AbortSignal): Seat {
  let holder: bigint | "unknown" | undefined = "unknown";
  let listener: () => void = () => undefined;
  let wake = new AbortController();
  function stir(): void {
    wake.abort();
    wake = new AbortController();
  }
  function sit(next: bigint | undefined): void {
    holder = next;
    listener();
    stir();
  }
  ended.addEventListener("abort", stir, { once: true });
  const watch = ground.watchClosely(key, (events) => {
    for (const event of events) {
      if (event.kind === "put" && event.value.key === key) sit(event.value.createRevision);
      else if (event.kind === "delete" && event.key === key) sit(undefined);
      else if (event.kind === "reset") sit(undefined);
      else if (event.kind === "synced" && holder === "unknown") sit(undefined);
    }
  });
  return {
    async vacancy(pollMs) {
      while (holder !== undefined && !ended.aborted) {
        const woken = wake.signal;
        await pause(holder === "unknown" ? UNKNOWN_POLL_MS : pollMs, woken, ground.clock);
        if (woken.aborted) continue;
        const present = await ground.get(key, { signal: ended }).catch(() => "unknown" as const);
        if (present === undefined) return;
      }
    },
    taken() {
      if (holder === undefined) holder = "unknown";
    },
    onVacated(epoch, callback) {
      let seen = false;
      listener = () => {
        if (holder === epoch) seen = true;
        else if (seen || (typeof holder === "bigint" && holder > epoch)) callback();
      };
      listener();
    },
    close() {
      ended.removeEventListener("abort", stir);
      return watch.close();
    },
  };
}

async function claim(
  ground: ElectionGround,
  campaign: Required<Pick<Campaign, "key" | "value" | "ttlS">>,
  seat: Seat,
  signal: AbortSignal,
): Promise<Leadership | undefined> {
  const lease = await ground.lease({ ttlS: campaign.ttlS, signal });
  using either = linkSignals(signal, lease.lost);
  try {
    const { key, value } = campaign;
    const result = await ground.commit(
      {
        requestId: randomUUID(),
        guards: [{ key, is: "absent" }],
        puts: [{ key, value, lease: lease.id }],
        deletes: [],
      },
      { signal: either.signal },
    );
    if (result.committed && lease.valid()) return leadershipOf(ground, key, result.revision, lease, seat);
    if (!result.committed) seat.taken();
  } catch (error) {
    await lease.revoke();
    throw error;
  }
  await lease.revoke();
  return undefined;
}

function leadershipOf(ground: ElectionGround, key: string, epoch: bigint, lease: Lease, seat: Seat): Leadership {
  const lost = new AbortController();
  const unlinks: (() => void)[] = [];
  function end(cause: unknown): Promise<unknown> {
    if (!lost.signal.aborted) lost.abort(cause);
    for (const unlink of unlinks) unlink();
    return Promise.all([lease.revoke(), seat.close()]);
  }
  unlinks.push(
    onAbort(lease.lost, (cause) => void end(cause)),
    onAbort(ground.closed, (cause) => void end(cause)),
  );
  seat.onVacated(
    epoch,
    () => void end(new NetError("PRECONDITION", `Leader key "${key}" was taken from epoch ${epoch}`)),
  );
  async function resign(): Promise<void> {
    await end(new NetError("CLOSED", `Leadership of epoch ${epoch} was resigned`));
  }
  return {
    key,
    epoch,
    guard: { key, is: "created-at", createRevision: epoch },
    valid: () => !lost.signal.aborted && lease.valid(),
    lost: lost.signal,
    resign,
    [Symbol.asyncDispose]: resign,
  };
}
