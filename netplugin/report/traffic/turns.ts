import { BANDWIDTH_REPORTS_MAX, type BandwidthReport } from "../../../state/bandwidth/report.ts";

/** Heartbeats may follow each other closely; measurements are made every two seconds. */
const TELL_INTERVAL_MS = 1_900;

/** What the next heartbeats tell: of many in turn, so that every heartbeat stays small. */
export function createReportTurns<R extends { readonly key: string }>(list: () => readonly R[]): () => readonly R[] {
  let last = "";
  let nextMs = 0;
  return () => {
    if (performance.now() < nextMs) return [];
    nextMs = performance.now() + TELL_INTERVAL_MS;
    const told = list();
    if (told.length <= BANDWIDTH_REPORTS_MAX) return told;
    const sorted = [...told].sort((left, right) => (left.key < right.key ? -1 : 1));
    const start = sorted.findIndex(({ key }) => key > last);
    const rotated = start < 0 ? sorted : [...sorted.slice(start), ...sorted.slice(0, start)];
    const taken = rotated.slice(0, BANDWIDTH_REPORTS_MAX);
    last = taken.at(-1)?.key ?? "";
    return taken;
  };
}

/** Those with limits or traffic only. */
export function isWorthTelling(report: BandwidthReport): boolean {
  const { podIngress, podEgress, droppedNewConnections, droppedNeighbourMessages, complaint } = report;
  const isLimited = podIngress.mechanism !== undefined || podEgress.mechanism !== undefined || complaint !== undefined;
  const hasDropped = droppedNewConnections !== undefined || droppedNeighbourMessages !== undefined;
  return isLimited || hasDropped || podIngress.bitPerSecond > 0 || podEgress.bitPerSecond > 0;
}
