import { asNetError, NetError } from "../errors.ts";
import type { Clock } from "./clock.ts";
import type { Lease, LeaseId, Reporter } from "./store.ts";
import { pause, throwIfAborted } from "./waiting.ts";

/** What a backend must do for leases; validity and keepalives are decided here, the same for all. */
export interface LeaseDriver {
  /** Grants a lease; the answer's TTL may exceed the one asked for. */
  grant(ttlS: number, signal?: AbortSignal): Promise<{ readonly id: LeaseId; readonly ttlMs: number }>;
  /** One keepalive. Resolves with the renewed TTL, 0 when the lease is gone; rejects when there was no answer. */
  keepAlive(id: LeaseId, options: BeatOptions): Promise<number>;
  /** Deletes the lease with its keys; has a deadline. A lease that is gone is no error. */
  revoke(id: LeaseId): Promise<void>;
}

export interface BeatOptions {
  /** After this the next beat is sent, which must go to another member, while this one may still be answered. */
  readonly patienceMs: number;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

export interface HoldOptions {
  readonly ttlS: number;
  readonly clock: Clock;
  readonly report: Reporter;
  readonly signal?: AbortSignal | undefined;
  /** How long before the server's expiry the owner stops. Default: 2 s, at most a quarter of the TTL. */
  readonly marginMs?: number | undefined;
}

const MAX_MARGIN_MS = 2_000;
const MAX_PATIENCE_MS = 1_000;
const BEAT_RETRY_MS = 100;

/** Grants a lease and keeps it until it is revoked, lost, or its own clock says that it may be gone. */
export async function holdLease(driver: LeaseDriver, options: HoldOptions): Promise<Lease> {
  throwIfAborted(options.signal, "grant a lease");
  const sentAtMs = options.clock.nowMs();
  const granted = await driver.grant(options.ttlS, options.signal);
  const held = new HeldLease(driver, granted, options);
  held.renew(sentAtMs, granted.ttlMs);
  void held.beat(sentAtMs);
  return held;
}

class HeldLease implements Lease {
  readonly id: LeaseId;
  readonly ttlMs: number;
  readonly #driver: LeaseDriver;
  readonly #clock: Clock;
  readonly #report: Reporter;
  readonly #marginMs: number;
  readonly #lost = new AbortController();
  #validUntilMs = 0;
  #cancelExpiry: () => void = () => undefined;
  #ending: Promise<void> = Promise.resolve();

  constructor(driver: LeaseDriver, granted: { id: LeaseId; ttlMs: number }, options: HoldOptions) {
    this.id = granted.id;
    this.ttlMs = granted.ttlMs;
    this.#driver = driver;
    this.#clock = options.clock;
    this.#report = options.report;
    this.#marginMs = options.marginMs ?? Math.min(MAX_MARGIN_MS, granted.ttlMs / 4);
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  valid(): boolean {
    return !this.#lost.signal.aborted && this.#clock.nowMs() < this.#validUntilMs;
  }

  /** An answered keepalive proves the lease from the moment the question was sent, not from the answer. */
  renew(sentAtMs: number, ttlMs: number): void {
    const validUntilMs = sentAtMs + ttlMs - this.#marginMs;
    if (validUntilMs <= this.#validUntilMs) return;
    this.#validUntilMs = validUntilMs;
    this.#cancelExpiry();
    this.#cancelExpiry = this.#clock.after(validUntilMs - this.#clock.nowMs(), () => this.#expire());
  }

  /**
   * Beats every third of the TTL. A member without a leader holds a beat back for seconds: the next one is then sent without
   * waiting, and any answer counts from when its question was sent.
   */
  async beat(sentAtMs: number): Promise<void> {
    const patienceMs = Math.min(MAX_PATIENCE_MS, this.ttlMs / 6);
    let nextBeatMs = sentAtMs + this.ttlMs / 3;
    while (!this.#lost.signal.aborted) {
      await pause(nextBeatMs - this.#clock.nowMs(), this.#lost.signal, this.#clock);
      if (this.#lost.signal.aborted) return;
      const beatAtMs = this.#clock.nowMs();
      const ended = new AbortController();
      let isAnswered = false;
      void this.#beatOnce(beatAtMs, patienceMs).then((answered) => {
        isAnswered = answered;
        ended.abort();
      });
      await pause(patienceMs + 1, ended.signal, this.#clock);
      nextBeatMs = isAnswered ? beatAtMs + this.ttlMs / 3 : Math.max(this.#clock.nowMs(), beatAtMs + BEAT_RETRY_MS);
    }
  }

  /** Whether an answer came; never rejects. */
  async #beatOnce(sentAtMs: number, patienceMs: number): Promise<boolean> {
    const timeoutMs = this.ttlMs - this.#marginMs;
    try {
      const ttlMs = await this.#driver.keepAlive(this.id, { patienceMs, timeoutMs, signal: this.#lost.signal });
      if (this.#lost.signal.aborted) return true;
      if (ttlMs <= 0) this.#end(new NetError("PRECONDITION", `Lease ${this.id} is gone: the store has expired it`));
      else if (!this.valid()) this.#expire();
      else this.renew(sentAtMs, ttlMs);
      return true;
    } catch {
      return false;
    }
  }

  #expire(): void {
    const text = `Lease ${this.id} may be gone: no keepalive was answered in ${this.ttlMs - this.#marginMs} ms`;
    this.#end(new NetError("TIMEOUT", text));
  }

  /** Final. What the server may still hold is given back, unless the server says that it holds nothing. */
  #end(cause: NetError): void {
    if (this.#lost.signal.aborted) return;
    this.#cancelExpiry();
    if (cause.code !== "PRECONDITION") this.#ending = this.#giveBack();
    this.#lost.abort(cause);
    if (cause.code !== "CLOSED") this.#report({ kind: "lease-lost", id: this.id, cause });
  }

  async #giveBack(): Promise<void> {
    try {
      await this.#driver.revoke(this.id);
    } catch (error) {
      const cause = asNetError(error, `revoke lease ${this.id}`);
      this.#report({ kind: "lease-lost", id: this.id, cause });
    }
  }

  async revoke(): Promise<void> {
    this.#end(new NetError("CLOSED", `Lease ${this.id} was given back`));
    await this.#ending;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.revoke();
  }
}
