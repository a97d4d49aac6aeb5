import { asNetError } from "../../state/errors.ts";
import { CLAIMS } from "../../state/keys.ts";
import { KINDS } from "../../state/records.ts";
import type { Guard, Store } from "../../state/store/store.ts";
import { pause } from "../../state/store/waiting.ts";
import type { ViewCache } from "../view/cache.ts";
import type { ClusterView } from "../view/types.ts";
import type { LeaderPen } from "./pen.ts";

interface Ground {
  readonly store: Pick<Store, "get" | "commit">;
  readonly cache: ViewCache;
}

/** Most failed guards that are looked at; the rest follow at the next attempt. */
const MAX_LOOKED_AT = 10;
const CATCH_UP_MS = 2_000;
const BACKOFF_MS = 50;

/**
 * After a conflict with something that our view did not show: brings the view up to date, which a mark of our own proves, and deletes
 * claims whose owner does not exist then. The result says what was repaired.
 */
export async function repairAfterConflict(
  { store, cache }: Ground,
  pen: LeaderPen,
  failed: readonly Guard[],
): Promise<readonly string[]> {
  const { lost } = pen.leadership;
  const repaired: string[] = [];
  try {
    const marked = await pen.commit(store, {});
    if (!marked.committed) return ["could not look into the conflict: the leadership or the store has changed"];
    const view = await cache.waitForMark(pen.mark, { timeoutMs: CATCH_UP_MS, signal: lost });
    for (const guard of failed.slice(0, MAX_LOOKED_AT)) {
      if (!guard.key.startsWith(CLAIMS)) continue;
      const stored = await store.get(guard.key, { signal: lost });
      if (stored === undefined || ownerExists(view, stored.value)) continue;
      const unchanged: Guard = { key: guard.key, is: "at", modRevision: stored.modRevision };
      const { committed } = await pen.commit(store, { guards: [unchanged], deletes: [guard.key] });
      if (committed) repaired.push(`deleted claim "${guard.key}": its owner ${stored.value} does not exist`);
    }
  } catch (error) {
    repaired.push(`could not look into the conflict: ${asNetError(error, "read the store").message}`);
  }
  await pause(BACKOFF_MS, lost);
  return repaired;
}

function ownerExists(view: ClusterView, owner: string): boolean {
  const slash = owner.indexOf("/");
  const kind = KINDS.find((candidate) => candidate === owner.slice(0, slash));
  return kind !== undefined && view.records(kind).has(owner.slice(slash + 1));
}
