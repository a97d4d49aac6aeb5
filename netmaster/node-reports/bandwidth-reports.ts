/** What nodes measured of objects (endpoints, or groups and tenants), in memory. */
export interface BandwidthReports<R extends Keyed> {
  note(nodeName: string, reports: readonly R[], nowMs: number): void;
  /** Undefined when the node has told nothing of it lately. */
  find(nodeName: string, key: string, nowMs: number): R | undefined;
  /** Forgets nodes that the test does not keep. */
  keep(isKnown: (nodeName: string) => boolean): void;
}

interface Keyed {
  readonly key: string;
}

interface Noted<R> {
  readonly report: R;
  readonly atMs: number;
}

/** A node with many endpoints tells them in turn; what is older than this is no measurement of now. */
const LIFETIME_MS = 30_000;

export function createBandwidthReports<R extends Keyed>(): BandwidthReports<R> {
  const byNode = new Map<string, Map<string, Noted<R>>>();
  return {
    note: (nodeName, reports, nowMs) => {
      const noted = byNode.get(nodeName) ?? new Map<string, Noted<R>>();
      for (const [key, { atMs }] of noted) if (nowMs - atMs > LIFETIME_MS) noted.delete(key);
      for (const report of reports) noted.set(report.key, { report, atMs: nowMs });
      byNode.set(nodeName, noted);
    },
    find: (nodeName, key, nowMs) => {
      const noted = byNode.get(nodeName)?.get(key);
      return noted === undefined || nowMs - noted.atMs > LIFETIME_MS ? undefined : noted.report;
    },
    keep: (isKnown) => {
      for (const nodeName of byNode.keys()) if (!isKnown(nodeName)) byNode.delete(nodeName);
    },
  };
}
