import type { Logger } from "pino";
import type { OpenOvsDriver } from "../../../drivers/ovs/switch.ts";
import { every } from "../../../state/waiting/alarm.ts";
import { failureLog } from "../loop/failure-log.ts";
import { startTicketLoop, type TicketLoop } from "../loop/ticket-loop.ts";

export interface BaseKeeperOptions {
  readonly ovs: Pick<OpenOvsDriver, "connected" | "ensureBase" | "isBaseThere" | "onChange">;
  /** Looked at before the bridges. */
  readonly before: readonly { look(): unknown }[];
  /** Looked at behind them, in this order. */
  readonly after: readonly { look(): unknown }[];
  /** All is as it should be; `isChanged`: a bridge whose fail mode or datapath changes has lost its flows. */
  readonly onKept: (round: { readonly isChanged: boolean }) => void;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Nobody tells of a route, a flow of an uplink bridge or a setting of a NIC that somebody has taken away. */
const LOOK_MS = 5_000;

/**
 * Bridges, tunnel port and uplinks are looked at when the switch has restarted or an uplink has changed, and now and then. The driver has
 * made them when it was opened: the first round looks at what stands on them only.
 */
export function keepBase({ ovs, before, after, onKept, log, signal }: BaseKeeperOptions): TicketLoop {
  let isChanged = false;
  let isMade = !ovs.connected; // else what was told before this keeper listened would be missed
  const loop = startTicketLoop({
    work: async () => {
      for (const each of before) await each.look();
      if (!isMade) await ovs.ensureBase();
      isMade = false;
      for (const each of after) await each.look();
      onKept({ isChanged });
      isChanged = false;
    },
    signal,
    report: failureLog({
      ...{ log, sentence: "Bridges and uplinks cannot be set up; netplugin tries again" },
      isConnected: () => ovs.connected,
    }),
  });
  // Links that a switch made which is away are no faults; what is wrong in its database may be why it does not answer.
  const look = () => (ovs.connected || !ovs.isBaseThere() ? loop.kick() : undefined);
  every(LOOK_MS, look, signal);
  ovs.onChange((change) => {
    isChanged ||= change.base;
    if (change.resync || change.uplinks || change.base) loop.kick();
  });
  return loop;
}
