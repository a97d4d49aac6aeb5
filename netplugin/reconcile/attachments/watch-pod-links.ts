import type { NetnsHandle } from "../../../drivers/netlink/netns.ts";
import type { NetError } from "../../../state/errors.ts";
import { followLinks } from "../loop/follow-links.ts";
import type { AttachmentKeeper } from "./attachment-keeper.ts";

export interface WatchPodLinksOptions {
  readonly attached: Pick<AttachmentKeeper, "loop" | "onLinks">;
  /** The switch's namespace when absent. */
  readonly netns: NetnsHandle | undefined;
  readonly signal: AbortSignal;
  readonly report: (error: NetError) => void;
}

const GATHER_MS = 250;

/** Tells of changed ends of pods' ports, until the signal aborts. */
export function watchPodLinks({ attached, netns, signal, report }: WatchPodLinksOptions): Promise<void> {
  const options = { monitor: { netns }, gatherMs: GATHER_MS, doing: "watch the links of pods' ports", signal, report };
  return followLinks((change) => {
    if (change.kind === "resync") attached.loop.kick();
    else attached.onLinks(change.ifindexes);
  }, options);
}
