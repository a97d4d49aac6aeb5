import type { Action } from "./action.ts";
import type { Match } from "./match.ts";
import type { TableId } from "./values.ts";

/** One flow. `table`, `priority` and `match` are its identity; everything else is what it does. */
export interface Flow {
  readonly table: TableId;
  /** 0 to 65535; the highest matching one wins. */
  readonly priority: number;
  readonly cookie: bigint;
  readonly match: Match;
  /** Applied in order; none = drop (unless `goto`). */
  readonly actions: readonly Action[];
  readonly goto?: TableId;
  /** Meter the packet passes before any action. */
  readonly meter?: number;
  /** Removed after so long without a packet. */
  readonly idleTimeoutS?: number;
  /** Removed so long after it was added. */
  readonly hardTimeoutS?: number;
  /** Eviction precedence, where a table has eviction on; higher stays longer. */
  readonly importance?: number;
  /** OFPFF_* bits that stay with the flow (1 = tell when removed, 8 = no packet counts, 16 = no byte counts). */
  readonly flags?: number;
  /** Instructions of a foreign flow that this library has no name for, in hex. */
  readonly unknownInstructions?: string;
}
