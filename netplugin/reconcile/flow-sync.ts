import { setImmediate as nextTurn } from "node:timers/promises";
import type { FlowDeed, PackedFlow } from "../../drivers/ovs/openflow/packed-flow.ts";
import type { FlowDelta } from "../../drivers/ovs/types.ts";
import { desiredFlows, type FlowSet, wantsFlow } from "../desired/flow-set.ts";

/** What a full comparison found, for the log and the counters. */
export interface Drift {
  readonly missing: readonly PackedFlow[];
  readonly changed: readonly PackedFlow[];
  readonly foreign: readonly PackedFlow[];
}

/** Other work runs between slices of a long comparison. */
const COMPARED_PER_SLICE = 1_000;

/** Compares all flows that should be with all that are. */
export async function compareFlows(
  wanted: FlowSet,
  actual: ReadonlyMap<string, FlowDeed>,
): Promise<{ readonly delta: FlowDelta; readonly drift: Drift }> {
  const put = new Map<string, FlowDeed>();
  const drift = { missing: [] as PackedFlow[], changed: [] as PackedFlow[], foreign: [] as PackedFlow[] };
  let compared = 0;
  for (const flow of desiredFlows(wanted)) {
    const present = actual.get(flow.key);
    if (present !== flow.deed) {
      put.set(flow.key, flow.deed);
      (present === undefined ? drift.missing : drift.changed).push(flow);
    }
    if (++compared % COMPARED_PER_SLICE === 0) await nextTurn();
  }
  const remove = new Set<string>();
  for (const [key, deed] of actual) {
    if (++compared % COMPARED_PER_SLICE === 0) await nextTurn();
    if (wantsFlow(wanted, key)) continue;
    remove.add(key);
    drift.foreign.push({ key, deed });
  }
  return { delta: { put, remove }, drift };
}
