import { type LinkChange, type LinkMonitorOptions, openLinkMonitor } from "../../../drivers/netlink/link-monitor.ts";
import type { NetError } from "../../../state/errors.ts";
import { pause } from "../../../state/waiting/pause.ts";
import { repeat } from "../../../state/waiting/repeat.ts";

export interface FollowLinksOptions {
  readonly monitor: LinkMonitorOptions;
  /** Pods' links come and go all the time: changes are looked at together, no more often than this. */
  readonly gatherMs: number;
  /** Completes "Cannot …". */
  readonly doing: string;
  readonly signal: AbortSignal;
  readonly report: (error: NetError) => void;
}

const RETRY_MS = 5_000;

/** Tells of changed links until the signal aborts; a monitor that fails is opened anew. */
export function followLinks(onChange: (change: LinkChange) => void, options: FollowLinksOptions): Promise<void> {
  const { gatherMs, doing, signal, report } = options;
  const follow = async () => {
    using monitor = openLinkMonitor(options.monitor);
    while (!signal.aborted) {
      onChange(await monitor.next({ signal }));
      await pause(gatherMs, signal);
    }
  };
  return repeat(follow, { everyMs: RETRY_MS, doing, signal, report });
}
