import type { Logger } from "pino";
import { asNetError } from "../../state/errors.ts";
import type { NodeRecord } from "../../state/kinds/node.ts";
import { pause } from "../../state/waiting/pause.ts";
import type { Committer } from "../commit/committer.ts";
import { reclaimNode, setNodeState } from "../intents/node.ts";
import type { Heartbeats } from "../node-reports/heartbeats.ts";
import type { ViewCache } from "../view/cache.ts";
import { logNode } from "./node-log.ts";

export interface LivenessLoopOptions {
  readonly cache: ViewCache;
  readonly committer: Committer;
  readonly heartbeats: Heartbeats;
  readonly log: Logger;
  /** Endpoints of a node that is unreachable for this long are reclaimed; undefined: never without an admin. */
  readonly reclaimAfterMs: number | undefined;
  readonly intervalMs?: number;
}

const DEFAULT_INTERVAL_MS = 1_000;

/** While this process leads, marks silent nodes as unreachable and, where asked for, reclaims their endpoints. Ends with the signal. */
export async function watchLiveness(options: LivenessLoopOptions, signal: AbortSignal): Promise<void> {
  const { cache, committer, heartbeats, log, intervalMs = DEFAULT_INTERVAL_MS } = options;
  let wasLeading = false;
  const unfollow = cache.onChange(({ changes }) => {
    if (committer.isLeading()) for (const change of changes) logNode(log, change);
  });
  while (!signal.aborted) {
    const isLeading = committer.isLeading();
    if (isLeading && !wasLeading) heartbeats.listen();
    wasLeading = isLeading;
    if (isLeading) {
      await lookOnce(options, signal).catch((error: unknown) => {
        const { code, message } = asNetError(error, "look after the nodes");
        const told = { code, error: message };
        if (code === "UNAVAILABLE" || code === "TIMEOUT") log.debug(told, "Heartbeats were not compared this time");
        else log.warn(told, "Heartbeats were not compared this time; netmaster tries again");
      });
    }
    await pause(intervalMs, signal);
  }
  unfollow();
}

async function lookOnce(
  { cache, committer, heartbeats, log, reclaimAfterMs }: LivenessLoopOptions,
  signal: AbortSignal,
): Promise<void> {
  const view = cache.view();
  heartbeats.forgetUnknown(view);
  for (const change of heartbeats.silent(view)) await committer.submit(setNodeState, change, { signal });
  if (reclaimAfterMs === undefined) return;
  for (const [key, node] of view.records("node").entries()) {
    if (heartbeats.isSilent(key) && isLongGone(node, reclaimAfterMs, Date.now()))
      await reclaim({ committer, log }, key, signal);
  }
}

function isLongGone(node: NodeRecord, reclaimAfterMs: number, nowMs: number): boolean {
  return node.state === "unreachable" && nowMs - Date.parse(node.stateSince) >= reclaimAfterMs;
}

async function reclaim(
  { committer, log }: Pick<LivenessLoopOptions, "committer" | "log">,
  key: string,
  signal: AbortSignal,
): Promise<void> {
  for (let remaining = 1; remaining > 0; ) {
    const { reply } = await committer.submit(reclaimNode, key, { signal });
    if (reply.reclaimed.length > 0)
      log.warn(
        { node: key, endpoints: reply.reclaimed.length },
        "Endpoints of an unreachable node were deleted (--node-reclaim-after)",
      );
    remaining = reply.reclaimed.length === 0 ? 0 : reply.remaining;
  }
}
