import { complaintOf, type LimitStatus } from "../../reconcile/limits/limit-keeper.ts";
import type { MeasuredLimits } from "../traffic/start.ts";

/**
 * Every pod of this node that is limited or was measured: limits with source and mechanism, what is wrong, and what passed; and the
 * ceilings over them.
 */
export function inspectBandwidth({ limits: { keeper, means }, traffic }: MeasuredLimits) {
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
