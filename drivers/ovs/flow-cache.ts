import { asNetError, type NetError } from "../../state/errors.ts";
import { createAlarm } from "../../state/waiting/alarm.ts";
import { findControlSocket } from "./control-socket.ts";
import { connectUnixctl } from "./unixctl.ts";

/**
 * What the switch's datapath has learned from the flow tables: an answer per kind of packet, kept for as long as packets use it.
 *
 * After a change of the flows the switch corrects these answers by itself, but the userspace datapath (seen in Open vSwitch 3.1)
 * sometimes puts a correction into another entry that overlaps; the first one goes on denying, or allowing, as it did, until no
 * packet has used it for 10 s. Forgotten answers are asked for anew: no packet is lost, each kind of packet costs one look-up.
 */
export interface FlowCache {
  /** Forgets everything now. What cannot be done is reported. */
  forget(signal: AbortSignal): Promise<void>;
  /** Forgets everything within `SOON_MS`, once for all that ask meanwhile: also what the switch was correcting at this moment. */
  forgetSoon(): void;
}

export interface FlowCacheOptions {
  readonly runDirectory: string;
  readonly datapathType: "system" | "netdev";
  readonly signal: AbortSignal;
  readonly report: (error: NetError) => void;
}

/** The switch has corrected everything by then (`max-revalidator`, 500 ms). */
export const SOON_MS = 1_000;
const PURGE_TIMEOUT_MS = 5_000;
/** The threads that correct entries stand still meanwhile: they and the purge may not work on the same entry. */
const PURGE_COMMANDS = ["revalidator/pause", "revalidator/purge", "revalidator/resume"] as const;

/** The kernel's datapath tells its entries apart and needs none of this. */
const RELIABLE: FlowCache = { forget: async () => {}, forgetSoon: () => {} };

export function createFlowCache(options: FlowCacheOptions): FlowCache {
  if (options.datapathType === "system") return RELIABLE;
  let last: Promise<void> = Promise.resolve();

  async function purge(signal: AbortSignal): Promise<void> {
    try {
      const limits = { signal, timeoutMs: PURGE_TIMEOUT_MS };
      await using control = await connectUnixctl(await findControlSocket(options.runDirectory), limits);
      // All in one go, so that the switch goes on whatever becomes of us.
      await Promise.all(PURGE_COMMANDS.map((command) => control.call(command, [], limits)));
    } catch (error) {
      if (!signal.aborted)
        options.report(asNetError(error, "make the switch forget what it has learned from old flows"));
    }
  }

  /** One after the other: a pause within a pause would never end. */
  function forget(signal: AbortSignal): Promise<void> {
    last = last.then(() => purge(signal));
    return last;
  }

  const alarm = createAlarm(() => void forget(options.signal), options.signal);
  return { forget, forgetSoon: () => alarm.soon(SOON_MS) };
}
