import { type CallOptions, type Limit, limitOf } from "../../../state/waiting/limit.ts";

/** The limit of a wait of this client: whatever the signal's reason, its end is CLOSED; without a time only the signal ends it. */
export function ovsdbLimit(deed: string, options: CallOptions, timeoutMs = Number.POSITIVE_INFINITY): Limit {
  return { ...limitOf(deed, options, timeoutMs), lacking: "no success", lateCode: "CLOSED" };
}
