const ENDED = 0n;

/**
 * Until when a lease is proven, and when its owner last showed life, in memory that threads share. Whoever beats writes it, the owner reads
 * it: after a long standstill the owner is right at once, with no message to wait for. Once the proof has run out it stays so. All
 * times are of `Clock.nowMs`, which is the same for all threads of a process.
 */
export class LeaseProof {
  readonly memory: SharedArrayBuffer;
  readonly #untilUs: BigInt64Array;
  readonly #lifeUs: BigInt64Array;

  constructor(memory: SharedArrayBuffer) {
    this.memory = memory;
    this.#untilUs = new BigInt64Array(memory, 0, 1);
    this.#lifeUs = new BigInt64Array(memory, BigInt64Array.BYTES_PER_ELEMENT, 1);
  }

  static begin(untilMs: number, nowMs: number): LeaseProof {
    const proof = new LeaseProof(new SharedArrayBuffer(2 * BigInt64Array.BYTES_PER_ELEMENT));
    Atomics.store(proof.#untilUs, 0, toUs(untilMs));
    proof.noteLife(nowMs);
    return proof;
  }

  /** 0 once it has ended. */
  get untilMs(): number {
    return toMs(Atomics.load(this.#untilUs, 0));
  }

  /** False is final: nobody can renew the proof afterwards. */
  holds(nowMs: number): boolean {
    for (;;) {
      const untilUs = Atomics.load(this.#untilUs, 0);
      if (untilUs === ENDED) return false;
      if (toUs(nowMs) < untilUs) return true;
      if (Atomics.compareExchange(this.#untilUs, 0, untilUs, ENDED) === untilUs) return false;
    }
  }

  /** Whether the proof holds; it is never shortened. */
  renew(untilMs: number, nowMs: number): boolean {
    const wantedUs = toUs(untilMs);
    while (this.holds(nowMs)) {
      const untilUs = Atomics.load(this.#untilUs, 0);
      if (untilUs === ENDED) return false;
      if (wantedUs <= untilUs) return true;
      if (Atomics.compareExchange(this.#untilUs, 0, untilUs, wantedUs) === untilUs) return true;
    }
    return false;
  }

  end(): void {
    Atomics.store(this.#untilUs, 0, ENDED);
  }

  /** The owner's event loop turns. */
  noteLife(nowMs: number): void {
    Atomics.store(this.#lifeUs, 0, toUs(nowMs));
  }

  get lifeMs(): number {
    return toMs(Atomics.load(this.#lifeUs, 0));
  }
}

/** Rounded down: never later than proven. */
function toUs(ms: number): bigint {
  return BigInt(Math.floor(ms * 1_000));
}

function toMs(us: bigint): number {
  return Number(us) / 1_000;
}
