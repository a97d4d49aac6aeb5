import { NetError } from "../../state/errors.ts";
import type { Kind } from "../../state/records.ts";
import { isOfHistory, type StoreRevision } from "../view/store-revision.ts";
import type { ClusterView, Intent } from "../view/types.ts";
import { printable } from "./errors.ts";

/** What a client demands of the present object (RFC 9110 §13.1). */
export interface Precondition {
  /** `If-Match`: revisions one of which the object must have; `any` = it must exist. */
  readonly ifMatch?: "any" | readonly StoreRevision[];
  /** `If-None-Match: *`: the object must not exist. */
  readonly mustBeNew?: boolean;
}

export interface Addressed {
  readonly kind: Kind;
  readonly key: string;
}

/** An intent that first checks the precondition, on the same view, so that nothing comes between. */
export function guarded<Request, Reply>(
  intent: Intent<Request, Reply>,
  addressed: Addressed,
  precondition: Precondition,
): Intent<Request, Reply> {
  return (view, request, context) => {
    checkPrecondition(view, addressed, precondition);
    return intent(view, request, context);
  };
}

const OTHER_HISTORY =
  "may be another object than the one whose ETag was sent: since that was read, the store was restored or replaced, or all netmasters were restarted";

function checkPrecondition(view: ClusterView, { kind, key }: Addressed, { ifMatch, mustBeNew }: Precondition): void {
  const revision = view.modRevision(kind, key);
  if (mustBeNew === true && revision !== undefined) {
    throw failed(`${key} exists already, and If-None-Match: * was sent`);
  }
  if (ifMatch === undefined) return;
  if (revision === undefined) throw failed(`${printable(key)} does not exist, and If-Match was sent`);
  if (ifMatch === "any") return;
  const comparable = ifMatch.filter((seen) => isOfHistory(seen, view));
  if (comparable.some((seen) => seen.revision === revision)) return;
  const why = comparable.length === 0 ? OTHER_HISTORY : "was changed by someone else";
  throw failed(`${key} ${why}; read it again and repeat the change`);
}

function failed(message: string): NetError {
  return new NetError("PRECONDITION", message, { reason: "precondition-failed" });
}
