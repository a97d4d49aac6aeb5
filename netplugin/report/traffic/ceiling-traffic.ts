import type { MeterStats } from "../../../drivers/ovs/openflow/meter.ts";
import type { PodLimits } from "../../../state/bandwidth/limits.ts";
import type { CeilingReport, CeilingTraffic } from "../../../state/bandwidth/report.ts";
import { ceilingNotes, ceilingShortfall, type PlannedCeiling } from "../../desired/limits/ceilings.ts";
import type { LimitStatus } from "../../reconcile/limits/limit-keeper.ts";
import { addSample, ratesOf, type TrafficRates, type TrafficSample } from "./traffic-window.ts";

/** What the meters counted at one moment. */
export interface MeterCounts {
  readonly atMs: number;
  readonly meters: ReadonlyMap<number, MeterStats>;
  /** Limits of this node's endpoints, by endpoint key. */
  readonly statuses: ReadonlyMap<string, LimitStatus>;
}

/** What passed the ceilings of groups and tenants on this node. */
export interface CeilingMeasurer {
  note(counts: MeterCounts): void;
  /** The latest, by key: a group's and a tenant's are never the same. */
  reports(): ReadonlyMap<string, CeilingReport>;
}

const COMPLAINT_MAX_LENGTH = 500;

export function createCeilingMeasurer(): CeilingMeasurer {
  let windows = new Map<string, readonly TrafficSample[]>();
  let reports: ReadonlyMap<string, CeilingReport> = new Map();
  return {
    note: (counts) => {
      const [nextWindows, nextReports] = [
        new Map<string, readonly TrafficSample[]>(),
        new Map<string, CeilingReport>(),
      ];
      for (const [key, ceilings] of ceilingsByKey(counts.statuses)) {
        const samples = addSample(windows.get(key) ?? [], sampleOf(ceilings, counts));
        nextWindows.set(key, samples);
        nextReports.set(key, reportOf(ceilings, { rates: ratesOf(samples), counts }));
      }
      windows = nextWindows;
      reports = nextReports;
    },
    reports: () => reports,
  };
}

/** One or two directions of one group or tenant. */
type Ceilings = readonly [PlannedCeiling, ...PlannedCeiling[]];

/** All endpoints of a group say the same of it. */
function ceilingsByKey(statuses: ReadonlyMap<string, LimitStatus>): ReadonlyMap<string, Ceilings> {
  const byKey = new Map<string, Ceilings>();
  for (const { plan } of statuses.values()) {
    for (const key of new Set(plan.ceilings.map((each) => each.key))) {
      const [first, ...more] = plan.ceilings.filter((each) => each.key === key);
      if (first !== undefined && !byKey.has(key)) byKey.set(key, [first, ...more]);
    }
  }
  return byKey;
}

function sampleOf(ceilings: Ceilings, { atMs, meters }: MeterCounts): TrafficSample {
  const passed = (direction: keyof PodLimits) =>
    passedBytes(meters.get(ceilings.find((each) => each.direction === direction)?.meterId ?? 0));
  return { atMs, ingressBytes: passed("podIngress"), egressBytes: passed("podEgress") };
}

/** A meter counts what comes to it, its band what it dropped of that. */
function passedBytes(stats: MeterStats | undefined): number {
  if (stats === undefined) return 0;
  return Math.max(Number(stats.byteInCount - (stats.bands[0]?.byteCount ?? 0n)), 0);
}

interface ReportParts {
  readonly rates: TrafficRates | undefined;
  readonly counts: MeterCounts;
}

function reportOf(ceilings: Ceilings, { rates, counts }: ReportParts): CeilingReport {
  const { kind, key } = ceilings[0];
  const traffic = ceilings.map((each) => [each.direction, trafficOf(each, { rates, counts })] as const);
  const complaints = ceilings.flatMap((each) => complaintsOf(each, counts));
  return {
    ...{ kind, key, overMs: rates?.overMs ?? 0 },
    ...Object.fromEntries(traffic),
    ...(complaints.length === 0 ? {} : { complaint: complaints.join("; ").slice(0, COMPLAINT_MAX_LENGTH) }),
  };
}

function complaintsOf(ceiling: PlannedCeiling, { meters }: MeterCounts): readonly string[] {
  const { meterId } = ceiling;
  const isMissing = meterId !== undefined && !meters.has(meterId);
  const missing = isMissing ? ["the switch has no meter for it (yet)"] : [];
  return [...missing, ...ceilingShortfall(ceiling), ...ceilingNotes(ceiling)];
}

function trafficOf(ceiling: PlannedCeiling, { rates, counts }: ReportParts): CeilingTraffic {
  const { rateBitPerSecond, burstBits, direction, meterId } = ceiling;
  const stats = meterId === undefined ? undefined : counts.meters.get(meterId);
  const measured = direction === "podIngress" ? rates?.ingressBitPerSecond : rates?.egressBitPerSecond;
  const [band] = stats?.bands ?? [];
  return {
    ...{ rateBitPerSecond, burstBits, bitPerSecond: measured ?? 0, totalBytes: passedBytes(stats) },
    ...(stats === undefined ? {} : { mechanism: "meter" }),
    ...(band === undefined ? {} : { droppedPackets: Number(band.packetCount), droppedBytes: Number(band.byteCount) }),
  };
}
