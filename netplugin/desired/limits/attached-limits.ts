import type { Meter } from "../../../drivers/ovs/openflow/meter.ts";
import type { EndpointRecord } from "../../../state/kinds/endpoint.ts";
import type { Attachment } from "../../machine/attachment.ts";
import { recordOf } from "../../view/query.ts";
import { MeterUse, meterUseOf } from "../pipeline/meter-ids.ts";
import { type EndpointLimits, type LimitSources, limitsOf, UNLIMITED } from "./endpoint-limits.ts";
import { meterIdOf, metersOfPlan } from "./limit-plan.ts";

/** What is attached here, and what its limits follow from; without means nothing is limited (yet). */
export interface LimitedNode extends LimitSources {
  readonly attachments: ReadonlyMap<string, Attachment>;
}

/** The endpoint that the port was plugged in for; one with another epoch is not it. */
export function leaseOf({ view, attachments }: LimitedNode, endpointKey: string): EndpointRecord | undefined {
  const endpoint = recordOf(view, "endpoint", endpointKey);
  return endpoint?.epoch === attachments.get(endpointKey)?.epoch ? endpoint : undefined;
}

/** The limits of what is attached under that key. */
export function attachedLimits(node: LimitedNode, endpointKey: string): EndpointLimits {
  const endpoint = leaseOf(node, endpointKey);
  return endpoint === undefined || node.means === undefined ? UNLIMITED : limitsOf(node.view, endpoint, node.means);
}

/** The meter of that number when it keeps a limit: of one pod's sending, or of a ceiling. */
export function limitMeterOf(node: LimitedNode, id: number): Meter | undefined {
  switch (meterUseOf(id)) {
    case MeterUse.podEgress:
      return podMeterOf(node, id);
    case MeterUse.ceiling:
      return ceilingMeterOf(node, id);
    default:
      return undefined;
  }
}

function podMeterOf(node: LimitedNode, id: number): Meter | undefined {
  for (const [key, { ofport }] of node.attachments) {
    if (ofport !== undefined && meterIdOf(ofport) === id) return meterIn(node, { key, ofport, id });
  }
  return undefined;
}

function ceilingMeterOf(node: LimitedNode, id: number): Meter | undefined {
  for (const key of node.attachments.keys()) {
    const meter = meterIn(node, { key, ofport: undefined, id });
    if (meter !== undefined) return meter;
  }
  return undefined;
}

interface Sought {
  readonly key: string;
  readonly ofport: number | undefined;
  readonly id: number;
}

function meterIn(node: LimitedNode, { key, ofport, id }: Sought): Meter | undefined {
  return metersOfPlan(attachedLimits(node, key).plan, ofport).find((meter) => meter.id === id);
}
