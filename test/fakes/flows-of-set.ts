import type { Flow } from "../../drivers/ovs/openflow/flow.ts";
import { unpackFlow } from "../../drivers/ovs/openflow/packed-flow.ts";
import { desiredFlows, type FlowSet } from "../../netplugin/desired/flow-set/flow-set.ts";

/** The flows of a set as values, by key. */
export function flowsOfSet(set: FlowSet): Map<string, Flow> {
  return new Map([...desiredFlows(set)].map((packed) => [packed.key, unpackFlow(packed)]));
}
