import { Worker } from "node:worker_threads";
import { BackOff } from "../../waiting/back-off.ts";
import { systemClock } from "../../waiting/clock.ts";
import { pause } from "../../waiting/pause.ts";
import { onAbort } from "../../waiting/signals.ts";
import { beatLease, type KeptLease, type LeaseEnd } from "../lease-beats.ts";
import type { LeaseDriver } from "../lease-driver.ts";
import type { LeaseId, Reporter } from "../store.ts";
import type { LeaseNews, LeaseOrder, LeaseWorkerData } from "./lease-worker.ts";

type KeepOrder = Extract<LeaseOrder, { readonly is: "keep" }>;

/** Node runs the sources where it can strip types (or a loader does), and otherwise what the compiler has made of them. */
const PROGRAM = new URL(import.meta.url.endsWith(".ts") ? "./lease-worker.ts" : "./lease-worker.js", import.meta.url);

export interface LeaseThreadOptions {
  readonly data: LeaseWorkerData;
  /** Beats of this thread. */
  readonly driver: LeaseDriver;
  readonly report: Reporter;
  readonly clusterId: () => string | undefined;
}

/** A thread that stops working is replaced after this time, which grows while its successors fail as well. */
const RESTART_BACKOFF = { firstMs: 500, maxMs: 60_000 };
const MIN_PAUSE_MS = 100;
/** A thread that has worked for so long failed for a new reason. */
const STEADY_MS = 60_000;
/** An owner without life for longer than this many TTLs is left to lose its lease. */
const OWNER_SILENCE_TTLS = 3;

/**
 * Keeps leases by beats of a worker thread with a connection of its own, so that a busy event loop does not lose them. This thread
 * watches over it: it beats where the worker is late, and as ever while there is no worker.
 */
export class LeaseThread {
  readonly #options: LeaseThreadOptions;
  #worker: LeaseWorkerHandle | undefined;
  readonly #backOff = new BackOff(RESTART_BACKOFF);
  #restartAtMs = 0;
  #diverged: ReadonlyMap<string, string> = new Map();
  #isClosed = false;

  constructor(options: LeaseThreadOptions) {
    this.#options = options;
  }

  /** Starts the thread unless it runs or has just failed, so that it is ready when a lease is granted. */
  start(): LeaseWorkerHandle | undefined {
    const startedMs = systemClock.nowMs();
    if (this.#isClosed || this.#worker !== undefined || startedMs < this.#restartAtMs) return this.#worker;
    const { data, report } = this.#options;
    try {
      this.#worker = new LeaseWorkerHandle(data, report, (cause) => this.#failed(startedMs, cause));
      this.#worker.distrust(this.#diverged);
    } catch (error) {
      this.#failed(startedMs, error);
    }
    return this.#worker;
  }

  /** The thread has a connection of its own, and must not use these endpoints either. */
  distrust(diverged: ReadonlyMap<string, string>): void {
    this.#diverged = diverged;
    this.#worker?.distrust(diverged);
  }

  #failed(startedMs: number, cause: unknown): void {
    this.#worker = undefined;
    if (this.#isClosed) return;
    const nowMs = systemClock.nowMs();
    if (nowMs - startedMs > STEADY_MS) this.#backOff.reset();
    this.#restartAtMs = nowMs + this.#backOff.nextMs();
    this.#options.report({ kind: "lease-thread-failed", cause });
  }

  /** Never rejects. */
  async keep(lease: KeptLease, signal: AbortSignal): Promise<LeaseEnd> {
    const ended = new AbortController();
    const unlink = onAbort(signal, () => ended.abort());
    const intervalMs = () => (this.#worker === undefined ? lease.ttlMs / 3 : lease.ttlMs / 2);
    const beats = { clock: systemClock, signal: ended.signal, intervalMs };
    const end = await Promise.race([
      beatLease(this.#options.driver, lease, beats),
      this.#keepThere(lease, ended.signal),
    ]);
    unlink();
    ended.abort();
    return end;
  }

  /** With one worker after the other, until the lease ends. */
  async #keepThere(lease: KeptLease, signal: AbortSignal): Promise<LeaseEnd> {
    while (!signal.aborted) {
      const end = await this.start()?.keep(this.#orderFor(lease), signal);
      if (end !== undefined) return end;
      await pause(Math.max(MIN_PAUSE_MS, this.#restartAtMs - systemClock.nowMs()), signal);
    }
    return "stopped";
  }

  #orderFor({ id, ttlMs, marginMs, proof }: KeptLease): KeepOrder {
    return {
      ...{ is: "keep", id, ttlMs, marginMs, proof: proof.memory },
      intervalMs: ttlMs / 3,
      ownerSilenceMs: OWNER_SILENCE_TTLS * ttlMs,
      clusterId: this.#options.clusterId(),
    };
  }

  /** To be called when no lease is kept any more. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#worker?.terminate();
  }
}

/** One worker thread from its start to its end. */
class LeaseWorkerHandle {
  readonly #worker: Worker;
  readonly #kept = new Map<LeaseId, (end: LeaseEnd | undefined) => void>();

  constructor(data: LeaseWorkerData, report: Reporter, onFailure: (cause: unknown) => void) {
    this.#worker = new Worker(PROGRAM, { workerData: data, name: "lease" });
    this.#worker.unref(); // whoever forgets to close a store can still end
    let cause: unknown;
    this.#worker.on("message", (news: LeaseNews) => {
      if (news.is === "report") report(news.report);
      else this.#kept.get(news.id)?.(news.end);
    });
    this.#worker.on("error", (error) => {
      cause = error;
    });
    this.#worker.on("exit", (code) => {
      onFailure(cause ?? new Error(`the thread ended with code ${code}`));
      for (const settle of [...this.#kept.values()]) settle(undefined);
    });
  }

  /** Resolves with undefined when the thread ends before the lease does. */
  keep(order: KeepOrder, signal: AbortSignal): Promise<LeaseEnd | undefined> {
    const { id } = order;
    return new Promise((resolve) => {
      const unlink = onAbort(signal, () => {
        this.#send({ is: "drop", id });
        settle("stopped");
      });
      const settle = (end: LeaseEnd | undefined) => {
        this.#kept.delete(id);
        unlink();
        resolve(end);
      };
      this.#kept.set(id, settle);
      this.#send(order);
    });
  }

  distrust(diverged: ReadonlyMap<string, string>): void {
    this.#send({ is: "distrust", diverged });
  }

  #send(order: LeaseOrder): void {
    this.#worker.postMessage(order);
  }

  async terminate(): Promise<void> {
    await this.#worker.terminate();
  }
}
