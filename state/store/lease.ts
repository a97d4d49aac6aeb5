import { asNetError, NetError } from "../errors.ts";
import { BackOff } from "../waiting/back-off.ts";
import type { Clock } from "../waiting/clock.ts";
import { pause } from "../waiting/pause.ts";
import { throwIfAborted } from "../waiting/signals.ts";
import { beatLease, type KeptLease, type LeaseEnd } from "./lease-beats.ts";
import type { LeaseDriver } from "./lease-driver.ts";
import { LeaseProof } from "./lease-proof.ts";
import type { Lease, LeaseId, Reporter } from "./store.ts";

/** Beats for a lease until it ends or the signal aborts; never rejects. */
export type LeaseKeeper = (lease: KeptLease, signal: AbortSignal) => Promise<LeaseEnd>;

export interface HoldOptions {
  readonly ttlS: number;
  readonly clock: Clock;
  readonly report: Reporter;
  readonly signal?: AbortSignal | undefined;
  /** How long before the server's expiry the owner stops. Default: 2 s, at most a quarter of the TTL. */
  readonly marginMs?: number | undefined;
  /** Default: this thread beats. */
  readonly keeper?: LeaseKeeper | undefined;
}

const MAX_MARGIN_MS = 2_000;
/** How often the owner looks at its lease and shows life, as a part of the TTL. */
const LOOK_PART = 8;

const GIVE_BACK_BACKOFF = { firstMs: 100, maxMs: 1_000 };
/** A store that is away for longer has its own election behind it, and lets the lease expire. */
const GIVE_BACK_FOR_MS = 600_000;

/** Grants a lease and keeps it until it is revoked, lost, or its own clock says that it may be gone. */
export async function holdLease(driver: LeaseDriver, options: HoldOptions): Promise<Lease> {
  const { clock, signal, report, ttlS } = options;
  throwIfAborted(signal, "grant a lease");
  const sentAtMs = clock.nowMs();
  const granted = await driver.grant(ttlS, signal);
  const marginMs = options.marginMs ?? Math.min(MAX_MARGIN_MS, granted.ttlMs / 4);
  const proof = LeaseProof.begin(sentAtMs + granted.ttlMs - marginMs, clock.nowMs());
  const held = new HeldLease(driver, { ...granted, marginMs, proof }, { clock, report });
  held.keep(options.keeper ?? keeperHere(driver, clock));
  return held;
}

/** Keeps leases by beats of this thread, every third of the TTL. */
export function keeperHere(driver: LeaseDriver, clock: Clock): LeaseKeeper {
  return (lease, signal) => beatLease(driver, lease, { clock, signal, intervalMs: () => lease.ttlMs / 3 });
}

class HeldLease implements Lease {
  readonly #driver: LeaseDriver;
  readonly #lease: KeptLease;
  readonly #clock: Clock;
  readonly #report: Reporter;
  readonly #lost = new AbortController();
  #cancelLook: () => void = () => undefined;
  #ending: Promise<void> = Promise.resolve();

  constructor(driver: LeaseDriver, lease: KeptLease, { clock, report }: Pick<HoldOptions, "clock" | "report">) {
    this.#driver = driver;
    this.#lease = lease;
    this.#clock = clock;
    this.#report = report;
  }

  get id(): LeaseId {
    return this.#lease.id;
  }

  get ttlMs(): number {
    return this.#lease.ttlMs;
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  valid(): boolean {
    return !this.#lost.signal.aborted && this.#lease.proof.holds(this.#clock.nowMs());
  }

  keep(keeper: LeaseKeeper): void {
    this.#look(this.#clock.nowMs());
    void keeper(this.#lease, this.#lost.signal).then((end) => {
      if (end === "gone") this.#end(new NetError("PRECONDITION", `Lease ${this.id} is gone: the store has expired it`));
      else if (!this.valid()) this.#expire(0);
    });
  }

  /** Shows life, and ends the lease when its proof has run out. */
  #look(lookedAtMs: number): void {
    const nowMs = this.#clock.nowMs();
    if (!this.valid()) {
      this.#expire(nowMs - lookedAtMs);
      return;
    }
    const { proof, ttlMs } = this.#lease;
    proof.noteLife(nowMs);
    const delayMs = Math.min(ttlMs / LOOK_PART, proof.untilMs - nowMs);
    this.#cancelLook = this.#clock.after(delayMs, () => this.#look(nowMs));
  }

  #expire(standstillMs: number): void {
    const { id, ttlMs, marginMs } = this.#lease;
    const provenMs = ttlMs - marginMs;
    const cause =
      standstillMs >= provenMs
        ? `this thread stood still for ${Math.round(standstillMs)} ms`
        : `no keepalive was answered in ${provenMs} ms`;
    this.#end(new NetError("TIMEOUT", `Lease ${id} may be gone: ${cause}`));
  }

  /** Final. What the server may still hold is given back, unless the server says that it holds nothing. */
  #end(cause: NetError): void {
    if (this.#lost.signal.aborted) return;
    this.#lease.proof.end();
    this.#cancelLook();
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
      void this.#giveBackLater(cause);
    }
  }

  /**
   * Behind everybody's back, as soon as the store answers again: each election among its members would keep the lease alive for another TTL, and with
   * it a key that nobody holds any more.
   */
  async #giveBackLater(first: NetError): Promise<void> {
    const untilMs = this.#clock.nowMs() + GIVE_BACK_FOR_MS;
    const backOff = new BackOff(GIVE_BACK_BACKOFF);
    for (let failure = first; mayComeBack(failure) && this.#clock.nowMs() < untilMs; ) {
      await pause(backOff.nextMs(), undefined, this.#clock);
      const outcome = await this.#driver.revoke(this.id).catch((error: unknown) => asNetError(error, "revoke a lease"));
      if (outcome === undefined) return;
      failure = outcome;
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

/** Not when the store refuses, or was closed here. */
function mayComeBack({ code }: NetError): boolean {
  return code !== "CLOSED" && code !== "FORBIDDEN" && code !== "INVALID";
}
