import type { Machine } from "../../machine/machine.ts";
import { neighbourMeterId } from "../pipeline/neighbour-limit.ts";
import { Flag, hasFlags, Priority, Register, Table } from "../pipeline/pipeline.ts";
import type { FlowDraft } from "./context.ts";
import type { LocalPlace } from "./place.ts";

/**
 * Longest frame of ARP or neighbour discovery that a pod may send. Hosts send 42 to 94 bytes (a solicitation with its source address and a
 * nonce, RFC 7527); policies do not judge these messages, so they shall not carry much else.
 */
const MAX_FRAME_BYTES = 256;
const OVERSIZED_BIT = Math.log2(Flag.oversized);

/** ARP or neighbour discovery of a pod that is true as far as its table can see: on to the limits of size and rate. */
export function neighbourMessage(draft: Omit<FlowDraft, "actions" | "goto">): FlowDraft {
  const dst = { field: Register.flags, startBit: OVERSIZED_BIT, bitCount: 1 };
  return {
    ...draft,
    actions: [{ kind: "checkPktLarger", lengthBytes: MAX_FRAME_BYTES, dst }],
    goto: Table.neighbourLimit,
  };
}

export function oversizedFlow(): FlowDraft {
  const match = { [Register.flags]: hasFlags(Flag.oversized) };
  return { table: Table.neighbourLimit, priority: Priority.neighbourLimit.oversized, match };
}

/** What a pod sends beyond its rate is dropped: a flood uses up its own share only. Nothing else passes here. */
export function neighbourLimitFlows({ machine }: { readonly machine: Machine }, { ofport }: LocalPlace): FlowDraft[] {
  if (machine.neighbourMessagesPerSecond === undefined) return [];
  return [
    {
      table: Table.neighbourLimit,
      priority: Priority.neighbourLimit.metered,
      match: { inPort: ofport },
      actions: [{ kind: "meter", meter: neighbourMeterId(machine, ofport) }],
      goto: Table.neighbour,
    },
  ];
}
