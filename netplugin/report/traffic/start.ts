import type { PortLimiter } from "../../../drivers/ovs/pod-ports/port-limiter.ts";
import type { OpenOvsDriver } from "../../../drivers/ovs/switch.ts";
import type { BandwidthReport, CeilingReport } from "../../../state/bandwidth/report.ts";
import type { NetError } from "../../../state/errors.ts";
import { neighbourMeterId } from "../../desired/pipeline/neighbour-limit.ts";
import type { Attachment } from "../../machine/attachment.ts";
import type { NodeLimits } from "../../reconcile/limits/node-limits.ts";
import { startTrafficSampler, type TrafficSampler } from "./traffic-sampler.ts";
import { createReportTurns, isWorthTelling } from "./turns.ts";

export interface NodeTrafficOptions {
  readonly driver: OpenOvsDriver;
  readonly limits: NodeLimits;
  /** The counters of what limits the ports. */
  readonly limiter: Pick<PortLimiter, "queues">;
  readonly attachments: () => ReadonlyMap<string, Attachment>;
  /** Flows have gone together with a meter that somebody deleted. */
  readonly onFlowsLost: () => void;
  readonly signal: AbortSignal;
  readonly report: (error: NetError) => void;
}

/** What the pods of this node receive and send, and the measurements for the next heartbeat. */
export interface NodeTraffic extends TrafficSampler {
  nextReports(): readonly BandwidthReport[];
  nextCeilings(): readonly CeilingReport[];
}

/** Limits, and what passes them. */
export interface MeasuredLimits {
  readonly limits: NodeLimits;
  readonly traffic: NodeTraffic;
}

/** Begins to measure; ends with the signal. */
export function startTraffic(options: NodeTrafficOptions): NodeTraffic {
  const { driver, limiter, limits, attachments, onFlowsLost, signal, report } = options;
  const sampler = startTrafficSampler({
    connection: driver.flowConnection.connection,
    limiter,
    attachments,
    statuses: () => limits.keeper.statuses(),
    isConnected: () => driver.connected,
    hasMeters: () => limits.means()?.meters === true,
    neighbourMeterId: (ofport) => neighbourMeterId(driver, ofport),
    onMissingMeter: onFlowsLost,
    signal,
    report,
  });
  return {
    ...sampler,
    nextReports: createReportTurns(() => [...sampler.reports().values()].filter(isWorthTelling)),
    nextCeilings: createReportTurns(() => [...sampler.ceilingReports().values()]),
  };
}
