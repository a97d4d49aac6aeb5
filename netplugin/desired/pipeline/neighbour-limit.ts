import type { Meter } from "../../../drivers/ovs/openflow/meter.ts";
import type { Machine } from "../../machine/machine.ts";
import { MeterUse, meterId } from "./meter-ids.ts";

/** A pod that starts finds all its neighbours at once: at the default rate 1,000, about as many as Linux keeps (gc_thresh3 1,024). */
const BURST_S = 5;

/** Number of the meter that a pod's ARP and neighbour discovery pass. */
export function neighbourMeterId({ datapathType }: Pick<Machine, "datapathType">, ofport: number): number {
  return meterId(datapathType === "system" ? MeterUse.podEgress : MeterUse.neighbourMessages, ofport);
}

/** The meter of that number; undefined when it belongs to no port of this machine, or nothing is limited. */
export function neighbourMeterOf(machine: Machine, id: number): Meter | undefined {
  const { neighbourMessagesPerSecond: rate, ports } = machine;
  if (rate === undefined) return undefined;
  for (const ofport of ports.values()) {
    if (neighbourMeterId(machine, ofport) !== id) continue;
    const band = { kind: "drop", rate, burst: rate * BURST_S } as const;
    return { id, rateUnit: "packet/s", hasBurst: true, keepsStats: true, bands: [band] };
  }
  return undefined;
}
