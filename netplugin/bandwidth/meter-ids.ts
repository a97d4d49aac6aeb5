/**
 * Numbers of the integration bridge's meters, by use: the upper bits name the use, the lower 16 who it is for. The userspace datapath has
 * 0x4_0000 of them (lib/dpif-netdev.c, MAX_METERS). OpenFlow port numbers fit into 16 bits: there is nothing to allocate or to remember.
 */
export const MeterUse = {
  /** What a pod sends, by OpenFlow port. */
  podEgress: 0,
  /** Connections that a pod begins, by OpenFlow port. */
  newConnections: 1,
  /** What the pods of a group or tenant receive or send together. */
  ceiling: 2,
  /** Samples of connections for the log. */
  sample: 3,
} as const;
export type MeterUse = (typeof MeterUse)[keyof typeof MeterUse];

const USE_SHIFT = 16;
const NUMBER_MASK = 0xffff;

export function meterId(use: MeterUse, number: number): number {
  return (use << USE_SHIFT) | (number & NUMBER_MASK);
}

export function meterUseOf(id: number): number {
  return id >>> USE_SHIFT;
}
