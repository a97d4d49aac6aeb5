import { z } from "zod";
import { CEILING_KINDS } from "./ceiling.ts";

const Count = z.number().nonnegative();

/** What one direction carried; ingress is what the pod received. */
export const DirectionTraffic = z.object({
  bitPerSecond: Count.describe("Mean rate of the last seconds, in bit/s."),
  totalBytes: Count.describe("Bytes since the port was made."),
  droppedPackets: Count.optional().describe("Packets dropped by the limit; absent where nothing counts them."),
  backlogBytes: Count.optional().describe("Bytes that wait now in the shaper."),
  mechanism: z.string().max(32).optional().describe("What keeps the limit; absent without one."),
});
export type DirectionTraffic = Readonly<z.infer<typeof DirectionTraffic>>;

/** What a node measured of one endpoint, and what is wrong with its limits. */
export const BandwidthReport = z.object({
  key: z.string().max(512),
  overMs: Count,
  podIngress: DirectionTraffic,
  podEgress: DirectionTraffic,
  /** Beginnings of connections that were dropped, because the pod began too many per second; absent: none. */
  droppedNewConnections: Count.optional(),
  /** Messages of ARP and neighbour discovery that were dropped, because the pod sent too many per second; absent: none. */
  droppedNeighbourMessages: Count.optional(),
  /** What is not as the admin asked for, or not in force. */
  complaint: z.string().max(500).optional(),
});
export type BandwidthReport = Readonly<z.infer<typeof BandwidthReport>>;

/** What all pods of a group or tenant on the node received or sent together, and how their ceiling is kept there. */
export const CeilingTraffic = DirectionTraffic.extend({
  rateBitPerSecond: Count.describe("The ceiling, in bit/s."),
  burstBits: Count.describe("Its burst, in bits."),
  droppedBytes: Count.optional().describe("Bytes dropped by the ceiling."),
});
export type CeilingTraffic = Readonly<z.infer<typeof CeilingTraffic>>;

/** What a node measured of the ceilings of one group or tenant. A direction without a ceiling is absent. */
export const CeilingReport = z.object({
  kind: z.enum(CEILING_KINDS),
  key: z.string().max(512),
  overMs: Count,
  podIngress: CeilingTraffic.optional(),
  podEgress: CeilingTraffic.optional(),
  complaint: z.string().max(500).optional(),
});
export type CeilingReport = Readonly<z.infer<typeof CeilingReport>>;

/** Most endpoints, and most ceilings, of one heartbeat; of more, the next heartbeats tell the others in turn. */
export const BANDWIDTH_REPORTS_MAX = 300;
