import type { Receipt } from "../../state/node-api.ts";
import type { Kind } from "../../state/records.ts";
import type { FlowReconciler } from "../reconcile/flows/flow-reconciler.ts";
import type { TicketLoop } from "../reconcile/loop/ticket-loop.ts";
import type { Changes, NodeView } from "../view/node-view.ts";
import { recordOf } from "../view/query.ts";
import type { ViewHolder } from "../view/view-holder.ts";

export interface EnforcementOptions {
  readonly holder: Pick<ViewHolder, "view" | "onStep">;
  readonly reconciler: Pick<FlowReconciler, "enforcedRevision" | "enforcedEpoch" | "failures" | "flowCount">;
  readonly loop: Pick<TicketLoop, "done">;
  readonly nodeName: string;
  readonly endpointCount: () => number;
  /** Something that an admin waits for is enforced. */
  readonly onEnforced: () => void;
  readonly signal: AbortSignal;
}

/** What this node has put into its switch, ready to be told. */
export interface Enforcement {
  receipt(): Receipt;
}

const FAILURES_MAX = 100;
/** Lower than any revision. */
const BEFORE_ALL = -1n;

/** Kinds that an admin writes: their enforcement is told at once. Endpoints come and go by the thousand elsewhere. */
const ADMINS_KINDS: ReadonlySet<Kind> = new Set([
  "global",
  "tenant",
  "network",
  "endpointGroup",
  "policy",
  "rule",
  "netprofile",
]);

/** Watches the view move on and the switch follow. */
export function watchEnforcement(options: EnforcementOptions): Enforcement {
  const { holder, reconciler, loop, signal } = options;
  let revision = 0n;
  let epoch: string | undefined;
  let enforcedAt = new Date().toISOString();
  let seen = holder.view().revision;
  let seenEpoch = holder.view().epoch;
  /** What came after this revision is waited for. */
  let awaited: bigint | undefined;
  let isWaiting = false;

  function look(): void {
    if (reconciler.enforcedRevision === revision && reconciler.enforcedEpoch === epoch) return;
    revision = reconciler.enforcedRevision;
    epoch = reconciler.enforcedEpoch;
    enforcedAt = new Date().toISOString();
  }

  async function wait(): Promise<void> {
    isWaiting = true;
    // A round that failed is tried again by the loop itself.
    await loop.done(signal).catch(() => {});
    isWaiting = false;
    look();
    if (signal.aborted || awaited === undefined) return;
    if (reconciler.enforcedEpoch === seenEpoch && reconciler.enforcedRevision > awaited) {
      awaited = undefined;
      options.onEnforced();
    } else if (holder.view().complete && holder.view().revision > awaited) void wait();
  }

  holder.onStep((changes) => {
    const view = holder.view();
    if (view.epoch !== seenEpoch) {
      seenEpoch = view.epoch;
      awaited = BEFORE_ALL; // every revision of another store is news
    }
    if (concernsAdmin(view, changes, options.nodeName)) awaited ??= seen;
    seen = view.revision;
    if (awaited !== undefined && view.revision > awaited && !isWaiting) void wait();
  });

  return {
    receipt: () => {
      look();
      const failures = reconciler.failures();
      return {
        enforcedRevision: String(revision),
        ...(epoch === undefined ? {} : { storeEpoch: epoch }),
        enforcedAt,
        endpointCount: options.endpointCount(),
        flowCount: reconciler.flowCount,
        failures: Object.fromEntries([...failures].slice(0, FAILURES_MAX)),
        failureCounts: countByKind(failures.keys()),
      };
    },
  };
}

function concernsAdmin(view: NodeView, changes: Changes, nodeName: string): boolean {
  for (const { kind, key } of changes.values()) {
    if (ADMINS_KINDS.has(kind)) return true;
    if (kind === "endpoint" && recordOf(view, "endpoint", key)?.nodeName === nodeName) return true;
  }
  return false;
}

/** Objects are named `kind/key`. */
export function countByKind(objects: Iterable<string>): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const object of objects) {
    const kind = object.slice(0, object.indexOf("/"));
    counts[kind] = (counts[kind] ?? 0) + 1;
  }
  return counts;
}
