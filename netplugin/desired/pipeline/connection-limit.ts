import type { Meter } from "../../../drivers/ovs/openflow/meter.ts";
import type { Machine } from "../../machine/machine.ts";
import { MeterUse, meterId } from "./meter-ids.ts";

/** Number of the meter that the connections pass which a pod begins. */
export function newConnectionsMeterId(ofport: number): number {
  return meterId(MeterUse.newConnections, ofport);
}

/** The meter of that number; undefined when it belongs to no port of this machine, or nothing is limited. */
export function newConnectionsMeterOf(machine: Machine, id: number): Meter | undefined {
  const { newConnectionsPerSecond, ports } = machine;
  if (newConnectionsPerSecond === undefined) return undefined;
  for (const ofport of ports.values()) {
    if (newConnectionsMeterId(ofport) === id) return newConnectionsMeter(id, newConnectionsPerSecond);
  }
  return undefined;
}

/** So many at once, or that many every second. */
function newConnectionsMeter(id: number, perSecond: number): Meter {
  const band = { kind: "drop", rate: perSecond, burst: perSecond } as const;
  return { id, rateUnit: "packet/s", hasBurst: true, keepsStats: true, bands: [band] };
}
