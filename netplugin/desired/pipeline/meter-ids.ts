/**
 * Numbers of the integration bridge's meters, by use: the first of each. The userspace datapath has 0x4_0000 of them (lib/dpif-netdev.c,
 * MAX_METERS), the kernel's 200,000 or less (net/openvswitch/meter.h, DP_METER_NUM_MAX). OpenFlow port numbers fit into 16 bits, and end
 * at 0xfeff (OFPP_MAX): there is nothing to allocate or to remember.
 */
export const MeterUse = {
  /** What a pod sends, by OpenFlow port; on the userspace datapath only. */
  podEgress: 0,
  /** Connections that a pod begins, by OpenFlow port. */
  newConnections: 0x1_0000,
  /** Samples of connections for the log: beyond the port numbers. */
  sample: 0x1_ff00,
  /** What the pods of a group or tenant receive or send together. */
  ceiling: 0x2_0000,
  /** ARP and neighbour discovery that a pod sends, by OpenFlow port. The kernel has not so many meters: there it takes podEgress's. */
  neighbourMessages: 0x3_0000,
} as const;
export type MeterUse = (typeof MeterUse)[keyof typeof MeterUse];

const USES = Object.values(MeterUse).sort((left, right) => right - left);
const NUMBER_MASK = 0xffff;

export function meterId(use: MeterUse, number: number): number {
  return use + (number & NUMBER_MASK);
}

export function meterUseOf(id: number): MeterUse {
  return USES.find((first) => first <= id) ?? MeterUse.podEgress;
}
