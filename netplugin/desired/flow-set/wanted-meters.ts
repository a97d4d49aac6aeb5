import type { Meter } from "../../../drivers/ovs/openflow/meter.ts";
import type { Attachment } from "../../machine/attachment.ts";
import type { Machine } from "../../machine/machine.ts";
import type { NodeView } from "../../view/node-view.ts";
import { type LimitedNode, limitMeterOf } from "../limits/attached-limits.ts";
import { newConnectionsMeterOf } from "../pipeline/connection-limit.ts";
import { MeterUse, meterUseOf } from "../pipeline/meter-ids.ts";
import { neighbourMeterOf } from "../pipeline/neighbour-limit.ts";
import { sampleMeter } from "../pipeline/sample-meters.ts";
import { isLogging } from "../policy/log.ts";

/** What there should be of meters now. */
export interface WantedMeters {
  /** The meter of that number, as it should be; undefined when there should be none. */
  meterOf(id: number): Meter | undefined;
  /** Is it put before a flow names it? It stays while it is wanted, then. */
  isPutAhead(id: number): boolean;
}

export interface MeteredNode {
  readonly view: NodeView;
  readonly machine: Machine;
  readonly attachments: ReadonlyMap<string, Attachment>;
}

/** Every use of meters, in one place. Limits are put ahead: their rates change without any flow. */
export function wantedMeters({ view, machine, attachments }: MeteredNode): WantedMeters {
  const limited: LimitedNode = { view, means: machine.limitMeans, attachments };
  return {
    meterOf: (id) => meterOf({ limited, machine }, id),
    isPutAhead: (id) => limitMeterOf(limited, id) !== undefined,
  };
}

interface Sources {
  readonly limited: LimitedNode;
  readonly machine: Machine;
}

function meterOf({ limited, machine }: Sources, id: number): Meter | undefined {
  const use = meterUseOf(id);
  switch (use) {
    case MeterUse.podEgress:
      return limitMeterOf(limited, id) ?? neighbourMeterOf(machine, id); // the kernel's datapath has one of the two
    case MeterUse.ceiling:
      return limitMeterOf(limited, id);
    case MeterUse.newConnections:
      return newConnectionsMeterOf(machine, id);
    case MeterUse.neighbourMessages:
      return neighbourMeterOf(machine, id);
    case MeterUse.sample:
      return isLogging({ view: limited.view, machine }) ? sampleMeter(id) : undefined;
    default:
      return use satisfies never;
  }
}
