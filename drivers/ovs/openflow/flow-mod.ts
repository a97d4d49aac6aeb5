import type { Flow } from "./flow.ts";
import type { Match } from "./match.ts";
import type { PackedFlow } from "./packed-flow.ts";
import type { Port, TableId } from "./values.ts";

/** Which flows: those of `table` (all tables when absent), whose cookie agrees in the bits of `cookieMask` (all 64 when absent). */
export interface FlowFilter {
  readonly table?: TableId;
  readonly match?: Match;
  readonly cookie?: bigint;
  readonly cookieMask?: bigint;
  readonly outPort?: Port;
  readonly outGroup?: number;
}

/** A change of the flow tables (openflow-1.1.h, struct ofp11_flow_mod). Deleting what is absent succeeds. */
export type FlowMod =
  /** Adds, or replaces the flow of the same identity and keeps its counters. */
  | { readonly kind: "flow-add"; readonly flow: Flow }
  /** The same with a packed flow. */
  | ({ readonly kind: "flow-put" } & PackedFlow)
  /** Deletes the flow of that key (of a packed flow). */
  | { readonly kind: "flow-drop"; readonly key: string }
  /** Changes actions of the flow of this identity only; nothing when it is absent. Cookie and timeouts stay. */
  | { readonly kind: "flow-modify-strict"; readonly flow: Flow }
  /** Deletes the flow of this identity; with `cookieMask` only when its cookie agrees. */
  | {
      readonly kind: "flow-delete-strict";
      readonly flow: Pick<Flow, "table" | "priority" | "match">;
      readonly cookie?: bigint;
      readonly cookieMask?: bigint;
    }
  /** Deletes every flow that the filter holds (its match may be wider than theirs). */
  | { readonly kind: "flow-delete"; readonly filter: FlowFilter };

/** A flow as the switch has it, with what it counted. */
export interface FlowStats {
  readonly flow: Flow;
  readonly packetCount: bigint;
  readonly byteCount: bigint;
  readonly durationMs: number;
  readonly idleMs: number;
}
