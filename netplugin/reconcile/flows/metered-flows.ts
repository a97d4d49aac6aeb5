import { setImmediate as nextTurn } from "node:timers/promises";
import type { Flow } from "../../../drivers/ovs/openflow/flow.ts";
import { mayNameMeter, type PackedFlow, unpackFlow } from "../../../drivers/ovs/openflow/packed-flow.ts";

const FLOWS_PER_SLICE = 4_000;

/** The flows that may name meters, as values, by key: few do. */
export async function meteredFlows(flows: Iterable<PackedFlow>): Promise<ReadonlyMap<string, Flow>> {
  const metered = new Map<string, Flow>();
  let count = 0;
  for (const flow of flows) {
    if (mayNameMeter(flow.deed)) metered.set(flow.key, unpackFlow(flow));
    if (++count % FLOWS_PER_SLICE === 0) await nextTurn();
  }
  return metered;
}
