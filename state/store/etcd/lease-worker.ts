import { parentPort, workerData } from "node:worker_threads";
import { systemClock } from "../../waiting/clock.ts";
import { beatLease, type LeaseEnd } from "../lease-beats.ts";
import { LeaseProof } from "../lease-proof.ts";
import type { LeaseId, StoreReport } from "../store.ts";
import { type ClientOptions, Endpoints } from "./endpoints.ts";
import { etcdLeaseDriver } from "./lease-driver.ts";
import type { EtcdTimings } from "./options.ts";

/** The thread that beats for leases whose owner's event loop may be busy; see docs/decisions/leader-lease.md. */

/** What the thread is given at its start. */
export interface LeaseWorkerData {
  readonly urls: readonly string[];
  readonly clientOptions: ClientOptions;
  readonly timings: EtcdTimings;
}

/** What the thread is told. */
export type LeaseOrder =
  | {
      readonly is: "keep";
      readonly id: LeaseId;
      readonly ttlMs: number;
      readonly marginMs: number;
      readonly proof: SharedArrayBuffer;
      readonly intervalMs: number;
      readonly ownerSilenceMs: number;
      /** The cluster that granted the lease. */
      readonly clusterId: string | undefined;
    }
  | { readonly is: "drop"; readonly id: LeaseId }
  /** By endpoint: those that must not be used, and why. */
  | { readonly is: "distrust"; readonly diverged: ReadonlyMap<string, string> };

/** What the thread tells. */
export type LeaseNews =
  | { readonly is: "ended"; readonly id: LeaseId; readonly end: LeaseEnd }
  | { readonly is: "report"; readonly report: StoreReport };

type KeepOrder = Extract<LeaseOrder, { readonly is: "keep" }>;

class LeaseWorker {
  readonly #tell: (news: LeaseNews) => void;
  readonly #link: Parameters<typeof etcdLeaseDriver>[0];
  readonly #kept = new Map<LeaseId, AbortController>();

  constructor({ urls, clientOptions, timings }: LeaseWorkerData, tell: (news: LeaseNews) => void) {
    this.#tell = tell;
    const report = (told: StoreReport) => tell({ is: "report", report: cloneable(told) });
    this.#link = { endpoints: new Endpoints(urls, withBuffers(clientOptions)), timings, report };
  }

  take(order: LeaseOrder): void {
    switch (order.is) {
      case "keep":
        void this.#keep(order);
        break;
      case "drop":
        this.#kept.get(order.id)?.abort();
        break;
      case "distrust":
        this.#link.endpoints.diverged = order.diverged;
        break;
      default:
        order satisfies never;
    }
  }

  async #keep({ id, ttlMs, marginMs, proof, intervalMs, ownerSilenceMs, clusterId }: KeepOrder): Promise<void> {
    const dropped = new AbortController();
    this.#kept.set(id, dropped);
    if (clusterId !== undefined) this.#link.endpoints.adoptCluster(clusterId);
    const lease = { id, ttlMs, marginMs, proof: new LeaseProof(proof) };
    const end = await beatLease(etcdLeaseDriver(this.#link), lease, {
      clock: systemClock,
      signal: dropped.signal,
      intervalMs: () => intervalMs,
      beatsAtOnce: true, // the first beat also opens the connection, well before it is needed
      ownerSilenceMs,
    });
    this.#kept.delete(id);
    this.#tell({ is: "ended", id, end });
  }
}

/** Buffers come over as plain byte arrays. */
function withBuffers(options: ClientOptions): ClientOptions {
  const { tls } = options;
  if (tls === undefined) return options;
  const buffer = (bytes: Uint8Array | undefined) => (bytes === undefined ? undefined : Buffer.from(bytes));
  return { ...options, tls: { ...tls, ca: Buffer.from(tls.ca), cert: buffer(tls.cert), key: buffer(tls.key) } };
}

/** gRPC's errors hold what cannot be sent to another thread. */
function cloneable(report: StoreReport): StoreReport {
  if (!("cause" in report)) return report;
  const cause = report.cause instanceof Error ? report.cause.message : String(report.cause);
  return { ...report, cause } as StoreReport;
}

const port = parentPort;
if (port === null) throw new Error("lease-worker is the program of a worker thread");
const worker = new LeaseWorker(workerData as LeaseWorkerData, (news) => port.postMessage(news));
port.on("message", (order: LeaseOrder) => worker.take(order));
