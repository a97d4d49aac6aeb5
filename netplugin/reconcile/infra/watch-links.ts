import { setTimeout as sleep } from "node:timers/promises";
import { openLinkMonitor } from "../../../drivers/netlink/link-monitor.ts";
import { asNetError, type NetError } from "../../../state/errors.ts";
import type { Infra } from "./infra.ts";

export interface WatchLinksOptions {
  readonly infra: Pick<Infra, "kick" | "onLinks">;
  readonly signal: AbortSignal;
  readonly report: (error: NetError) => void;
}

/** Pods' links come and go all the time: changes are looked at together, no more often than this. */
const GATHER_MS = 250;
const RETRY_MS = 5_000;

/** Tells of links, addresses and routes that somebody has changed, until the signal aborts. */
export async function watchInfraLinks({ infra, signal, report }: WatchLinksOptions): Promise<void> {
  while (!signal.aborted) {
    try {
      using monitor = openLinkMonitor({ withAddresses: true, withRoutes: true });
      for (;;) {
        const change = await monitor.next({ signal });
        if (change.kind === "resync") infra.kick();
        else infra.onLinks(change.ifindexes);
        await sleep(GATHER_MS, undefined, { signal });
      }
    } catch (error) {
      if (signal.aborted) return;
      report(asNetError(error, "watch the devices of infra networks"));
      await sleep(RETRY_MS, undefined, { signal }).catch(() => {}); // ends with the signal
    }
  }
}
