import type { Clock } from "../waiting/clock.ts";
import { pause } from "../waiting/pause.ts";
import type { LeaseDriver } from "./lease-driver.ts";
import type { LeaseProof } from "./lease-proof.ts";
import type { LeaseId } from "./store.ts";

/** A granted lease, as whoever beats for it sees it. */
export interface KeptLease {
  readonly id: LeaseId;
  readonly ttlMs: number;
  readonly marginMs: number;
  readonly proof: LeaseProof;
}

/** `gone`: the store says so. `expired`: the proof has run out. `stopped`: the signal was aborted. */
export type LeaseEnd = "gone" | "expired" | "stopped";

export interface BeatingOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Time from the last proof to the next beat. */
  readonly intervalMs: () => number;
  /** The first beat is sent without waiting for the interval. */
  readonly beatsAtOnce?: boolean;
  /** No beat is sent while the owner has shown no life for this long. Default: not looked at. */
  readonly ownerSilenceMs?: number;
}

const MAX_PATIENCE_MS = 1_000;
const BEAT_RETRY_MS = 100;

/** Beats for the lease until it ends. Several may beat for one lease: a beat is left out where another has renewed the proof meanwhile. */
export function beatLease(driver: LeaseDriver, lease: KeptLease, options: BeatingOptions): Promise<LeaseEnd> {
  return new LeaseBeats(driver, lease, options).run();
}

class LeaseBeats {
  readonly #driver: LeaseDriver;
  readonly #lease: KeptLease;
  readonly #options: BeatingOptions;
  #isGone = false;

  constructor(driver: LeaseDriver, lease: KeptLease, options: BeatingOptions) {
    this.#driver = driver;
    this.#lease = lease;
    this.#options = options;
  }

  /**
   * A member without a leader holds a beat back for seconds: the next one is then sent without waiting, and any answer counts from
   * when its question was sent.
   */
  async run(): Promise<LeaseEnd> {
    const { clock, signal, intervalMs, beatsAtOnce = false } = this.#options;
    let notBeforeMs = clock.nowMs();
    let isFirst = beatsAtOnce;
    while (!signal.aborted && !this.#isGone) {
      const nowMs = clock.nowMs();
      if (!this.#lease.proof.holds(nowMs)) break;
      const dueMs = isFirst ? nowMs : Math.max(notBeforeMs, this.#provenAtMs() + intervalMs());
      if (dueMs > nowMs) await pause(dueMs - nowMs, signal, clock);
      else if (this.#isOwnerSilent(nowMs)) notBeforeMs = nowMs + BEAT_RETRY_MS;
      else {
        isFirst = false;
        const isAnswered = await this.#beat(nowMs);
        notBeforeMs = isAnswered ? nowMs + intervalMs() : Math.max(clock.nowMs(), nowMs + BEAT_RETRY_MS);
      }
    }
    if (signal.aborted) return "stopped";
    return this.#isGone ? "gone" : "expired";
  }

  /** When the beat was sent from which the present proof counts. */
  #provenAtMs(): number {
    const { proof, ttlMs, marginMs } = this.#lease;
    return proof.untilMs - ttlMs + marginMs;
  }

  #isOwnerSilent(nowMs: number): boolean {
    const { ownerSilenceMs = Number.POSITIVE_INFINITY } = this.#options;
    return nowMs - this.#lease.proof.lifeMs > ownerSilenceMs;
  }

  /** Whether an answer came before it was time to ask another member. */
  async #beat(beatAtMs: number): Promise<boolean> {
    const patienceMs = Math.min(MAX_PATIENCE_MS, this.#lease.ttlMs / 6);
    const ended = new AbortController();
    let isAnswered = false;
    void this.#ask(beatAtMs, patienceMs).then((answered) => {
      isAnswered = answered;
      ended.abort();
    });
    await pause(patienceMs + 1, ended.signal, this.#options.clock);
    return isAnswered;
  }

  /** An answered keepalive proves the lease from the moment the question was sent, not from the answer. Never rejects. */
  async #ask(sentAtMs: number, patienceMs: number): Promise<boolean> {
    const { id, ttlMs, marginMs, proof } = this.#lease;
    const { clock, signal } = this.#options;
    try {
      const answeredMs = await this.#driver.keepAlive(id, { patienceMs, timeoutMs: ttlMs - marginMs, signal });
      if (signal.aborted) return true;
      if (answeredMs > 0) proof.renew(sentAtMs + answeredMs - marginMs, clock.nowMs());
      else {
        proof.end();
        this.#isGone = true;
      }
      return true;
    } catch {
      return false;
    }
  }
}
