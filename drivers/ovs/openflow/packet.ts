import type { Action } from "./action.ts";
import type { Match } from "./match.ts";
import type { Port, TableId } from "./values.ts";

/** A packet for the switch to act on. */
export interface PacketOut {
  /** Where it is taken to come from; `controller` when absent. */
  readonly inPort?: Port;
  readonly actions: readonly Action[];
  /** The Ethernet frame. */
  readonly data: Uint8Array;
}

/** A packet that a flow sent to the controller (nicira-ext.h, NXT_PACKET_IN2). */
export interface PacketIn {
  readonly data: Uint8Array;
  /** Whole length of the packet; `data` may hold only its beginning. */
  readonly totalLenBytes: number;
  readonly table: TableId | undefined;
  readonly cookie: bigint | undefined;
  /** OFPR_* number; 1 = sent by a flow's action. */
  readonly reason: number;
  /** Registers, tunnel and conntrack fields, port it came in on. */
  readonly metadata: Match;
  readonly userdata: Uint8Array;
  /** Present when the flow's action pauses: hand it to `resume` to let the packet go on. */
  readonly continuation: Uint8Array | undefined;
}
