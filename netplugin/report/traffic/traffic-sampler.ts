import type { QueueStatistics } from "../../../drivers/netlink/queue-statistics.ts";
import type { SwitchConnection } from "../../../drivers/ovs/openflow/connection.ts";
import type { MeterStats } from "../../../drivers/ovs/openflow/meter.ts";
import type { PortStats } from "../../../drivers/ovs/openflow/port.ts";
import type { PortLimiter, PortQueues } from "../../../drivers/ovs/pod-ports/port-limiter.ts";
import type { BandwidthReport, CeilingReport, DirectionTraffic } from "../../../state/bandwidth/report.ts";
import type { NetError } from "../../../state/errors.ts";
import { repeat } from "../../../state/waiting/repeat.ts";
import { meterIdOf, metersOfPlan } from "../../desired/limits/limit-plan.ts";
import { newConnectionsMeterId } from "../../desired/pipeline/connection-limit.ts";
import { type Attachment, POD_ROLE } from "../../machine/attachment.ts";
import { complaintOf, type LimitStatus } from "../../reconcile/limits/limit-keeper.ts";
import { createCeilingMeasurer } from "./ceiling-traffic.ts";
import { addSample, ratesOf, type TrafficSample } from "./traffic-window.ts";

export interface TrafficSamplerOptions {
  readonly connection: () => Pick<SwitchConnection, "portStats" | "meterStats">;
  readonly limiter: Pick<PortLimiter, "queues">;
  readonly attachments: () => ReadonlyMap<string, Attachment>;
  readonly statuses: () => ReadonlyMap<string, LimitStatus>;
  readonly isConnected: () => boolean;
  /** The switch has meters: those of new connections are read even when no pod is limited otherwise. */
  readonly hasMeters: () => boolean;
  /** Number of the meter of a port's ARP and neighbour discovery. */
  readonly neighbourMeterId: (ofport: number) => number;
  /** Somebody has deleted a meter, and with it the flows that name it. */
  readonly onMissingMeter: () => void;
  readonly signal: AbortSignal;
  readonly report: (error: NetError) => void;
}

/** Measures what the pods of this node receive and send. */
export interface TrafficSampler {
  /** The latest measurements, by endpoint key. */
  reports(): ReadonlyMap<string, BandwidthReport>;
  /** The same of the ceilings over them, by the key of their group or tenant. */
  ceilingReports(): ReadonlyMap<string, CeilingReport>;
  readonly ended: Promise<void>;
}

const INTERVAL_MS = 2_000;
const COMPLAINT_MAX_LENGTH = 500;

/** Begins at once; ends with the signal. */
export function startTrafficSampler(options: TrafficSamplerOptions): TrafficSampler {
  const { signal } = options;
  /** By endpoint and epoch: a port may serve another endpoint later. */
  let windows = new Map<string, readonly TrafficSample[]>();
  let reports: ReadonlyMap<string, BandwidthReport> = new Map();
  const ceilings = createCeilingMeasurer();

  async function sample(): Promise<void> {
    const pods = [...options.attachments().values()].filter(({ role }) => role === POD_ROLE);
    if (pods.length === 0 || !options.isConnected()) {
      reports = new Map();
      ceilings.note({ atMs: performance.now(), meters: new Map(), statuses: new Map() });
      return;
    }
    const counters = await readCounters(options, pods);
    const [nextWindows, nextReports] = [
      new Map<string, readonly TrafficSample[]>(),
      new Map<string, BandwidthReport>(),
    ];
    for (const pod of pods) {
      const window = `${pod.endpointKey} ${pod.epoch}`;
      const traffic = trafficOf(pod, counters);
      if (traffic === undefined) continue;
      const samples = addSample(windows.get(window) ?? [], traffic);
      nextWindows.set(window, samples);
      nextReports.set(
        pod.endpointKey,
        reportOf(pod, {
          ...{ counters, samples, status: options.statuses().get(pod.endpointKey) },
          neighbourMeterId: options.neighbourMeterId(pod.ofport ?? 0),
        }),
      );
    }
    windows = nextWindows;
    reports = nextReports;
    ceilings.note({ ...counters, statuses: options.statuses() });
    if (isMeterMissing(options.statuses(), counters.meters)) options.onMissingMeter();
  }

  const ended = repeat(sample, { everyMs: INTERVAL_MS, doing: "measure bandwidth", signal, report: options.report });
  return { reports: () => reports, ceilingReports: ceilings.reports, ended };
}

interface Counters {
  readonly atMs: number;
  readonly ports: ReadonlyMap<number, PortStats>;
  readonly meters: ReadonlyMap<number, MeterStats>;
  /** Of the limited pods' ports, by name. */
  readonly queues: ReadonlyMap<string, PortQueues>;
}

async function readCounters(options: TrafficSamplerOptions, pods: readonly Attachment[]): Promise<Counters> {
  const { signal, statuses, limiter } = options;
  const limited = pods.filter(({ endpointKey }) => statuses().has(endpointKey)).map(({ portName }) => portName);
  const connection = options.connection();
  const [ports, meters, queues] = await Promise.all([
    connection.portStats(undefined, { signal }),
    limited.length === 0 && !options.hasMeters() ? [] : connection.meterStats(undefined, { signal }),
    limited.length === 0 ? new Map<string, PortQueues>() : limiter.queues(limited, signal),
  ]);
  const numbered = ports.flatMap((row) => (typeof row.port === "number" ? [[row.port, row] as const] : []));
  return {
    atMs: performance.now(),
    ports: new Map(numbered),
    meters: new Map(meters.map((row) => [row.id, row])),
    queues,
  };
}

/** What the switch received from the port is what the pod sent; what the meter took of it did not get through. */
function trafficOf({ ofport }: Attachment, { atMs, ports, meters }: Counters): TrafficSample | undefined {
  const port = ports.get(ofport ?? 0);
  if (ofport === undefined || port === undefined) return undefined;
  const metered = meters.get(meterIdOf(ofport))?.bands[0]?.byteCount ?? 0n;
  const egressBytes = Number((port.rxBytes ?? 0n) - metered);
  return { atMs, ingressBytes: Number(port.txBytes ?? 0n), egressBytes: Math.max(egressBytes, 0) };
}

interface ReportParts {
  readonly counters: Counters;
  readonly samples: readonly TrafficSample[];
  readonly status: LimitStatus | undefined;
  readonly neighbourMeterId: number;
}

function reportOf(
  { endpointKey, portName, ofport }: Attachment,
  { counters, samples, status, neighbourMeterId }: ReportParts,
): BandwidthReport {
  const rates = ratesOf(samples);
  const last = samples.at(-1);
  const queues = counters.queues.get(portName);
  const mechanism = status?.plan.podEgress?.mechanism;
  const metered = mechanism === "meter" ? counters.meters.get(meterIdOf(ofport ?? 0)) : undefined;
  const complaint = status && complaintOf(status)?.slice(0, COMPLAINT_MAX_LENGTH);
  const droppedBy = (meter: number) => Number(counters.meters.get(meter)?.bands[0]?.packetCount ?? 0n);
  const [refused, unasked] = [droppedBy(newConnectionsMeterId(ofport ?? 0)), droppedBy(neighbourMeterId)];
  const outward = mechanism === "panel-tbf" ? queues?.far : mechanism === "ifb-tbf" ? queues?.ifb : undefined;
  return {
    key: endpointKey,
    overMs: rates?.overMs ?? 0,
    podIngress: {
      bitPerSecond: rates?.ingressBitPerSecond ?? 0,
      totalBytes: last?.ingressBytes ?? 0,
      ...queueMembers(status?.plan.podIngress === undefined ? undefined : queues?.near),
      ...(status?.plan.podIngress === undefined ? {} : { mechanism: status.plan.podIngress.mechanism }),
    },
    podEgress: {
      bitPerSecond: rates?.egressBitPerSecond ?? 0,
      totalBytes: last?.egressBytes ?? 0,
      ...queueMembers(outward),
      ...(metered === undefined ? {} : { droppedPackets: Number(metered.bands[0]?.packetCount ?? 0n) }),
      ...(mechanism === "police" && queues?.ingress !== undefined
        ? { droppedPackets: queues.ingress.droppedPackets }
        : {}),
      ...(mechanism === undefined ? {} : { mechanism }),
    },
    ...(refused === 0 ? {} : { droppedNewConnections: refused }),
    ...(unasked === 0 ? {} : { droppedNeighbourMessages: unasked }),
    ...(complaint === undefined ? {} : { complaint }),
  };
}

function queueMembers(queue: QueueStatistics | undefined): Pick<DirectionTraffic, "droppedPackets" | "backlogBytes"> {
  return queue === undefined ? {} : { droppedPackets: queue.droppedPackets, backlogBytes: queue.backlogBytes };
}

function isMeterMissing(statuses: ReadonlyMap<string, LimitStatus>, meters: ReadonlyMap<number, MeterStats>): boolean {
  return [...statuses.values()].some(
    ({ plan, ofport, failure }) =>
      failure === undefined && metersOfPlan(plan, ofport).some(({ id }) => !meters.has(id)),
  );
}
