import type { Flow } from "./flow.ts";
import { packFlow } from "./packed-flow.ts";

/**
 * Identity of a flow: equal exactly for flows that the switch takes for the same one (table, priority, match). Matches that differ
 * only in spelling (order, prerequisites left out, bits outside a mask) have the same key. Not printable.
 */
export function flowKey(flow: Flow): string {
  return packFlow(flow).key;
}

/** True when two flows of the same key do the same: cookie, instructions, timeouts, importance and flags. */
export function flowsEqual(a: Flow, b: Flow): boolean {
  return packFlow(a).deed === packFlow(b).deed;
}
