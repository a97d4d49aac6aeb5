import type { Flow } from "../../drivers/ovs/openflow/flow.ts";
import { flowsEqual } from "../../drivers/ovs/openflow/flow-identity.ts";
import type { FlowDelta } from "../../drivers/ovs/types.ts";

/** What a full comparison found, for the log and the counters. */
export interface Drift {
  readonly missing: readonly Flow[];
  readonly changed: readonly Flow[];
  readonly foreign: readonly Flow[];
}

const COMPARED_PER_SLICE = 1_000;

/** Lets other work run between slices of a long comparison. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Compares all flows that should be with all that are. */
export async function compareFlows(
  wanted: ReadonlyMap<string, Flow>,
  actual: ReadonlyMap<string, Flow>,
): Promise<{ readonly delta: FlowDelta; readonly drift: Drift }> {
  const put = new Map<string, Flow>();
  const drift = { missing: [] as Flow[], changed: [] as Flow[], foreign: [] as Flow[] };
  let compared = 0;
  for (const [key, flow] of wanted) {
    const present = actual.get(key);
    if (present !== undefined && flowsEqual(flow, present)) {
      // as it should be
    } else {
      put.set(key, flow);
      (present === undefined ? drift.missing : drift.changed).push(flow);
    }
    if (++compared % COMPARED_PER_SLICE === 0) await nextTurn();
  }
  const remove = new Map<string, Flow>();
  for (const [key, flow] of actual) {
    if (wanted.has(key)) continue;
    remove.set(key, flow);
    drift.foreign.push(flow);
  }
  return { delta: { put, remove }, drift };
}
