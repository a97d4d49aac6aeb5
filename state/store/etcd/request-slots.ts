import { randomBytes } from "node:crypto";
import type { LeaseId } from "../store.ts";

/** A key in which one commit at a time leaves its request id; see docs/decisions/request-records.md. */
export interface RequestSlot {
  readonly key: string;
  /** mod_revision that the key has unless our commit happened; "0": it does not exist. */
  readonly modRevision: string;
  /** When the key vanishes unless written again, in the clock of `nowMs`. */
  readonly expiresAtMs: number;
  readonly lease: LeaseId;
}

export interface SlotOptions {
  readonly prefix: string;
  readonly ttlS: number;
  readonly grant: (ttlS: number) => Promise<{ readonly id: LeaseId; readonly ttlMs: number }>;
  readonly nowMs: () => number;
}

interface SlotLease {
  readonly id: LeaseId;
  readonly expiresAtMs: number;
  readonly renewAtMs: number;
}

const MAX_FREE_SLOTS = 256;

/** The request slots of this process and the lease under which they live, which is replaced at half its life. */
export class RequestSlots {
  readonly #options: SlotOptions;
  readonly #process = randomBytes(8).toString("hex");
  #free: RequestSlot[] = [];
  #count = 0;
  #lease: SlotLease | undefined;
  #granting: Promise<SlotLease> | undefined;

  constructor(options: SlotOptions) {
    this.#options = options;
  }

  /** A slot that no other commit uses, to be written under a lease that lasts. */
  async take(): Promise<RequestSlot> {
    const lease = await this.#presentLease();
    const nowMs = this.#options.nowMs();
    let slot = this.#free.pop();
    while (slot !== undefined && slot.expiresAtMs - this.#marginMs() < nowMs) slot = this.#free.pop();
    if (slot !== undefined) return { ...slot, lease: lease.id };
    this.#count += 1;
    const key = `${this.#options.prefix}${this.#process}/${this.#count}`;
    return { key, modRevision: "0", expiresAtMs: lease.expiresAtMs, lease: lease.id };
  }

  /** Gives back a slot that our commit has written, or one that it certainly will not write any more. */
  release(slot: RequestSlot, writtenAt?: string): void {
    const isWritten = writtenAt !== undefined;
    if (this.#free.length >= MAX_FREE_SLOTS || (!isWritten && slot.modRevision === "0")) return;
    const expiresAtMs = slot.lease === this.#lease?.id ? this.#lease.expiresAtMs : slot.expiresAtMs;
    this.#free.push(isWritten ? { ...slot, modRevision: writtenAt, expiresAtMs } : slot);
  }

  /** The server does not know the lease any more: nothing that lived under it exists. */
  forgetLease(id: LeaseId): void {
    if (this.#lease?.id === id) this.#lease = undefined;
    this.#free = [];
  }

  /** A slot nearer to its end than this is not used: no commit may take that long. */
  #marginMs(): number {
    return (this.#options.ttlS * 1_000) / 10;
  }

  async #presentLease(): Promise<SlotLease> {
    const lease = this.#lease;
    const nowMs = this.#options.nowMs();
    if (lease === undefined || lease.expiresAtMs - this.#marginMs() < nowMs) return await this.#grant();
    if (lease.renewAtMs < nowMs) this.#grant().catch(() => undefined); // the present one serves until the margin
    return lease;
  }

  #grant(): Promise<SlotLease> {
    this.#granting ??= this.#grantNow().finally(() => {
      this.#granting = undefined;
    });
    return this.#granting;
  }

  async #grantNow(): Promise<SlotLease> {
    const sentAtMs = this.#options.nowMs();
    const { id, ttlMs } = await this.#options.grant(this.#options.ttlS);
    this.#lease = { id, expiresAtMs: sentAtMs + ttlMs, renewAtMs: sentAtMs + ttlMs / 2 };
    return this.#lease;
  }
}
