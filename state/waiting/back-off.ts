/** How the pauses between attempts grow. */
export interface BackOffBounds {
  /** Pause after the first failure. */
  readonly firstMs: number;
  /** The doubling ends there. */
  readonly maxMs: number;
  /** By chance, so that many clients do not return at once: up to half longer or shorter (unless given), or only up to half shorter. */
  readonly spread?: "around" | "under";
}

/** Numbers from 0 to 1, as of Math.random. */
export type Random = () => number;

/** The pause after so many failures in a row. */
export function backOffMs(
  { firstMs, maxMs, spread = "around" }: BackOffBounds,
  failures: number,
  random?: Random,
): number {
  const fullMs = Math.min(maxMs, firstMs * 2 ** Math.max(0, failures - 1));
  return spread === "around" ? around(fullMs, 0.5, random) : under(fullMs, random);
}

/** A time that is longer or shorter by chance, by at most that share of it. */
export function around(ms: number, share: number, random: Random = Math.random): number {
  return ms * (1 - share + 2 * share * random());
}

/** A time that is shorter by chance, by at most half of it. */
export function under(ms: number, random: Random = Math.random): number {
  return ms * (0.5 + random() / 2);
}

/** The pauses of one who tries again and again; a success begins them anew. */
export class BackOff {
  readonly #bounds: BackOffBounds;
  readonly #random: Random | undefined;
  #failures = 0;

  constructor(bounds: BackOffBounds, random?: Random) {
    this.#bounds = bounds;
    this.#random = random;
  }

  /** Counts a failure and says how long to wait after it. */
  nextMs(): number {
    this.#failures += 1;
    return backOffMs(this.#bounds, this.#failures, this.#random);
  }

  reset(): void {
    this.#failures = 0;
  }
}
