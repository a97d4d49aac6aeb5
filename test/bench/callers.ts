/** What many callers at once came to. */
export interface LoadResult {
  readonly seconds: number;
  /** Of each call, in milliseconds. */
  readonly latenciesMs: readonly number[];
}

/** Has `callerCount` callers make `total` calls, each starting its next one when the last has ended. */
export async function load(
  total: number,
  callerCount: number,
  call: (index: number) => Promise<void>,
): Promise<LoadResult> {
  const latenciesMs: number[] = [];
  let next = 0;
  async function caller(): Promise<void> {
    while (next < total) {
      const index = next++;
      const startedMs = performance.now();
      await call(index);
      latenciesMs.push(performance.now() - startedMs);
    }
  }
  const startedMs = performance.now();
  await Promise.all(Array.from({ length: callerCount }, caller));
  return { seconds: (performance.now() - startedMs) / 1_000, latenciesMs };
}
