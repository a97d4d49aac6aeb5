import { newCommit } from "../../state/store/contract.ts";
import type { EtcdOptions, EtcdTimings } from "../../state/store/etcd/options.ts";
import { openEtcdStore } from "../../state/store/etcd/store.ts";
import type { Store, StoreReport } from "../../state/store/store.ts";

/** Timings under which a fault test takes seconds and not minutes. */
export const QUICK_TIMINGS: Partial<EtcdTimings> = {
  callTimeoutMs: 500,
  operationTimeoutMs: 4_000,
  watchAnswerTimeoutMs: 1_000,
  watchProbeAfterMs: 1_000,
  watchBackoff: { firstMs: 20, maxMs: 300 },
};

export interface ReportedStore extends AsyncDisposable {
  readonly store: Store;
  /** Everything that the store has reported, oldest first. */
  readonly reports: StoreReport[];
}

/** Opens a store with quick timings which keeps its reports. */
export async function openReportedStore(
  options: EtcdOptions,
  timings: Partial<EtcdTimings> = {},
): Promise<ReportedStore> {
  const reports: StoreReport[] = [];
  const report = (entry: StoreReport) => void reports.push(entry);
  const store = await openEtcdStore({ ...options, timings: { ...QUICK_TIMINGS, ...timings }, report });
  return { store, reports, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() };
}

/** Writes `count` keys, each in a revision of its own, many at a time. */
export async function writeMany(
  store: Store,
  count: number,
  value: (index: number) => { readonly key: string; readonly value: string },
): Promise<void> {
  let next = 0;
  async function worker(): Promise<void> {
    while (next < count) {
      const put = value(next);
      next += 1;
      const result = await store.commit(newCommit({ puts: [put] }));
      if (!result.committed) throw new Error(`${put.key} was not written`);
    }
  }
  await Promise.all(Array.from({ length: 32 }, worker));
}

export function sleep(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}
