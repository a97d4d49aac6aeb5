import type { NetError } from "../../../state/errors.ts";
import { followLinks } from "../loop/follow-links.ts";
import type { Infra } from "./infra.ts";

export interface WatchLinksOptions {
  readonly infra: Pick<Infra, "kick" | "onLinks">;
  readonly signal: AbortSignal;
  readonly report: (error: NetError) => void;
}

const GATHER_MS = 250;

/** Tells of links, addresses and routes that somebody has changed, until the signal aborts. */
export function watchInfraLinks({ infra, signal, report }: WatchLinksOptions): Promise<void> {
  const monitor = { withAddresses: true, withRoutes: true };
  const options = { monitor, gatherMs: GATHER_MS, doing: "watch the devices of infra networks", signal, report };
  return followLinks((change) => {
    if (change.kind === "resync") infra.kick();
    else infra.onLinks(change.ifindexes);
  }, options);
}
