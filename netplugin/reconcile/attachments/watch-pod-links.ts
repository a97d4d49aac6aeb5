import { setTimeout as sleep } from "node:timers/promises";
import { openLinkMonitor } from "../../../drivers/netlink/link-monitor.ts";
import type { NetnsHandle } from "../../../drivers/netlink/netns.ts";
import { asNetError, type NetError } from "../../../state/errors.ts";
import type { AttachmentKeeper } from "./attachment-keeper.ts";

export interface WatchPodLinksOptions {
  readonly attached: Pick<AttachmentKeeper, "loop" | "onLinks">;
  /** The switch's namespace when absent. */
  readonly netns: NetnsHandle | undefined;
  readonly signal: AbortSignal;
  readonly report: (error: NetError) => void;
}

/** Pods' links come and go all the time: changes are looked at together, no more often than this. */
const GATHER_MS = 250;
const RETRY_MS = 5_000;

/** Tells of changed ends of pods' ports, until the signal aborts. */
export async function watchPodLinks({ attached, netns, signal, report }: WatchPodLinksOptions): Promise<void> {
  while (!signal.aborted) {
    try {
      using monitor = openLinkMonitor({ netns });
      for (;;) {
        const change = await monitor.next({ signal });
        if (change.kind === "resync") attached.loop.kick();
        else attached.onLinks(change.ifindexes);
        await sleep(GATHER_MS, undefined, { signal });
      }
    } catch (error) {
      if (signal.aborted) return;
      report(asNetError(error, "watch the links of pods' ports"));
      await sleep(RETRY_MS, undefined, { signal }).catch(() => {}); // ends with the signal
    }
  }
}
