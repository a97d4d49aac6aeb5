import type { Receipt } from "../../state/node-api.ts";
import type { Kind } from "../../state/records.ts";
import type { ConnectionKeeper, ViewRevision } from "../reconcile/connections/connection-keeper.ts";
import type { FlowReconciler } from "../reconcile/flows/flow-reconciler.ts";
import type { Changes, NodeView } from "../view/node-view.ts";
import { recordOf } from "../view/query.ts";
import type { ViewHolder } from "../view/view-holder.ts";

export interface EnforcementOptions {
  readonly holder: Pick<ViewHolder, "view" | "onStep">;
  readonly reconciler: Pick<FlowReconciler, "failures" | "flowCount">;
  /** A change is in force when the connections that it does not allow any more have ended, too. */
  readonly connections: Pick<ConnectionKeeper, "inForce" | "failures" | "onInForce">;
  readonly nodeName: string;
  readonly endpointCount: () => number;
  /** Something that an admin waits for is in force, or what could not be done of it is another thing now. */
  readonly onNews: () => void;
}

/** What is in force on this node, ready to be told. */
export interface Enforcement {
  receipt(): Receipt;
  /** Objects that are not in force, or not fully, as `kind/key`. */
  failing(): Iterable<string>;
}

const FAILURES_MAX = 100;
/** Lower than any revision. */
const BEFORE_ALL = -1n;

/** Kinds that an admin writes: that they are in force is told at once. Endpoints come and go by the thousand elsewhere. */
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
  const { holder, reconciler, connections } = options;
  let at: ViewRevision = { revision: 0n, epoch: undefined };
  let enforcedAt = new Date().toISOString();
  let seen = holder.view().revision;
  let seenEpoch = holder.view().epoch;
  /** What came after this revision is waited for. */
  let awaited: bigint | undefined;
  let failureCount = 0;

  function look(): void {
    const { revision, epoch } = connections.inForce;
    if (revision === at.revision && epoch === at.epoch) return;
    at = { revision, epoch };
    enforcedAt = new Date().toISOString();
  }

  connections.onInForce(() => {
    look();
    const isInForce = awaited !== undefined && at.epoch === seenEpoch && at.revision > awaited;
    if (isInForce) awaited = undefined;
    const { size } = connections.failures();
    if (isInForce || size !== failureCount) options.onNews();
    failureCount = size;
  });
  holder.onStep((changes) => {
    const view = holder.view();
    if (view.epoch !== seenEpoch) {
      seenEpoch = view.epoch;
      awaited = BEFORE_ALL; // every revision of another store is news
    }
    if (concernsAdmin(view, changes, options.nodeName)) awaited ??= seen;
    seen = view.revision;
  });

  const failures = () => new Map([...connections.failures(), ...reconciler.failures()]);
  return {
    failing: () => failures().keys(),
    receipt: () => {
      look();
      const all = failures();
      return {
        enforcedRevision: String(at.revision),
        ...(at.epoch === undefined ? {} : { storeEpoch: at.epoch }),
        enforcedAt,
        endpointCount: options.endpointCount(),
        flowCount: reconciler.flowCount,
        failures: Object.fromEntries([...all].slice(0, FAILURES_MAX)),
        failureCounts: countByKind(all.keys()),
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
