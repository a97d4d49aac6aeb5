import { BANDWIDTH_REPORTS_MAX, type BandwidthReport } from "../../../state/bandwidth/report.ts";
import type { NodeCondition } from "../../../state/kinds/node.ts";
import { complaintOf, type LimitStatus } from "../../reconcile/limits/limit-keeper.ts";
import type { NodeLimits } from "../../reconcile/limits/node-limits.ts";

/**
 * Every pod of this node that is limited or was measured: limits with source and mechanism, what is wrong, and what passed; and the
 * ceilings over them.
 */
export function inspectBandwidth({ keeper, traffic, means }: NodeLimits) {
  const statuses = keeper.statuses();
  const reports = traffic.reports();
  const keys = [...new Set([...statuses.keys(), ...reports.keys()])].sort();
  return {
    means: means(),
    endpoints: keys.map((key) => ({ key, ...statusMembers(statuses.get(key)), measured: reports.get(key) })),
    ceilings: [...traffic.ceilingReports().values()],
  };
}

function statusMembers(status: LimitStatus | undefined) {
  if (status === undefined) return {};
  const { plan, portName, ofport } = status;
  return { portName, ofport, limits: plan, complaint: complaintOf(status) };
}

/** For the node's conditions: one line when limits of any pod are not in force or not as asked for. */
export function bandwidthConditions({ keeper }: Pick<NodeLimits, "keeper">): readonly NodeCondition[] {
  const complaints = [...keeper.statuses()].flatMap(([key, status]) => {
    const isAmiss = status.failure !== undefined || status.plan.shortfalls.length > 0;
    return isAmiss ? [`${key}: ${complaintOf(status)}`] : [];
  });
  if (complaints.length === 0) return [];
  const message = `Bandwidth limits of ${complaints.length} endpoints are not as asked for, first ${complaints[0]}`;
  return [{ type: "bandwidth", status: "degraded", message }];
}

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
