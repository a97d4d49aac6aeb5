import { setImmediate as nextTurn } from "node:timers/promises";
import { type FlowDeed, mayNameMeter, type PackedFlow } from "../../../drivers/ovs/openflow/packed-flow.ts";
import type { FlowBundle } from "../../../drivers/ovs/types.ts";
import { desiredFlows, type FlowSet, type WantedFlows, wantsFlow } from "../../desired/flow-set/flow-set.ts";

/** Differences of one sort: how many, and the first of them. */
export interface Differences {
  count: number;
  readonly sample: PackedFlow[];
}

/** What a full comparison found, for the log and the counters. */
export interface Drift {
  readonly missing: Differences;
  readonly changed: Differences;
  readonly foreign: Differences;
}

/** Brings all flows of the switch to what they should be, by one bundle. */
export interface FlowSync {
  /** Sends flows that are known to be wanted while others are still computed. Those that name meters wait: a meter must exist before. */
  ahead(flows: WantedFlows): void;
  /** Everything else, and what is to go. */
  rest(wanted: FlowSet): Promise<void>;
  /** What has been put or removed, by key. */
  readonly put: readonly string[];
  readonly removed: readonly string[];
  readonly drift: Drift;
}

const SAMPLE_MAX = 20;
/** Other work runs between slices of a long comparison. */
const COMPARED_PER_SLICE = 1_000;

/** `actual` is what the switch has; it is changed into what the switch will have. */
export function beginFlowSync(actual: Map<string, FlowDeed>, bundle: FlowBundle): FlowSync {
  const [put, removed]: [string[], string[]] = [[], []];
  const drift: Drift = { missing: noDifferences(), changed: noDifferences(), foreign: noDifferences() };

  function look(key: string, deed: FlowDeed): void {
    const present = actual.get(key);
    if (present === deed) return;
    bundle.put(key, deed);
    put.push(key);
    actual.set(key, deed);
    note(present === undefined ? drift.missing : drift.changed, { key, deed });
  }

  function drop(key: string, deed: FlowDeed): void {
    bundle.remove(key);
    removed.push(key);
    note(drift.foreign, { key, deed });
  }

  /** Of hundreds of thousands of flows, hardly any waits. */
  function pauseAfter(count: number): Promise<void> | undefined {
    if (bundle.isFull) return bundle.room();
    return count % COMPARED_PER_SLICE === 0 ? nextTurn() : undefined;
  }

  return {
    put,
    removed,
    drift,
    ahead: (flows) => {
      for (const ofOwner of flows) for (const { key, deed } of ofOwner) if (!mayNameMeter(deed)) look(key, deed);
    },
    rest: async (wanted) => {
      let count = 0;
      for (const { key, deed } of desiredFlows(wanted)) {
        look(key, deed);
        const pause = pauseAfter(++count);
        if (pause !== undefined) await pause;
      }
      for (const [key, deed] of actual) {
        if (!wantsFlow(wanted, key)) drop(key, deed);
        const pause = pauseAfter(++count);
        if (pause !== undefined) await pause;
      }
    },
  };
}

function noDifferences(): Differences {
  return { count: 0, sample: [] };
}

function note(differences: Differences, flow: PackedFlow): void {
  differences.count += 1;
  if (differences.sample.length < SAMPLE_MAX) differences.sample.push(flow);
}
