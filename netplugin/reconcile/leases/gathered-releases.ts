import { createAlarm } from "../../../state/waiting/alarm.ts";
import type { EndedLease } from "../../machine/ended-leases.ts";

export interface GatheredReleasesOptions {
  /** Ends leases in one call; never rejects. */
  readonly release: (leases: readonly EndedLease[]) => Promise<void>;
  readonly signal: AbortSignal;
}

/**
 * Longer than the ADD that often follows a DEL takes: its way to netmaster stays free. Whoever asks for an address waits for it to pass
 * (`netplugin/attach/lease-request.ts`), and so does whoever deletes what endpoints use (`netmaster/rest/write.ts`).
 */
const GATHER_MS = 100;
/** More than one node's pods that end at once usually are; netmaster takes 128. */
const MOST = 100;

/**
 * Leases of pods that are off the network, given back a moment later, several in one call. What a process that is killed meanwhile has not
 * given back has no port when it starts again, and is released then (`LeaseKeeper.repair`).
 */
export class GatheredReleases {
  readonly #options: GatheredReleasesOptions;
  readonly #alarm: { soon(delayMs: number): void };
  #waiting: EndedLease[] = [];
  /** Calls under way. */
  readonly #sent = new Map<Promise<void>, readonly EndedLease[]>();

  constructor(options: GatheredReleasesOptions) {
    this.#options = options;
    this.#alarm = createAlarm(() => this.#send(), options.signal);
  }

  add(lease: EndedLease): void {
    this.#waiting.push(lease);
    if (this.#waiting.length >= MOST) this.#send();
    else this.#alarm.soon(GATHER_MS);
  }

  /** The release of a lease of this endpoint waits or is under way. */
  holds(endpointKey: string): boolean {
    return [this.#waiting, ...this.#sent.values()].some((leases) => leases.some(({ key }) => key === endpointKey));
  }

  /** Sends what waits; resolves when all that was sent has been answered, or given up. */
  async flush(): Promise<void> {
    this.#send();
    await Promise.all(this.#sent.keys());
  }

  #send(): void {
    if (this.#waiting.length === 0) return;
    const leases = this.#waiting;
    this.#waiting = [];
    const call = this.#options.release(leases).finally(() => this.#sent.delete(call));
    this.#sent.set(call, leases);
  }
}
