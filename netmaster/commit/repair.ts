import { randomUUID } from "node:crypto";
import { asNetError } from "../../state/errors.ts";
import { CLAIMS } from "../../state/keys.ts";
import { KINDS } from "../../state/records.ts";
import type { Guard, Leadership, Store } from "../../state/store/store.ts";
import { pause } from "../../state/store/waiting.ts";
import type { ViewCache } from "../view/cache.ts";
import type { ClusterView } from "../view/types.ts";

interface Ground {
  readonly store: Pick<Store, "get" | "commit">;
  readonly cache: ViewCache;
}

/** Most failed guards that are looked at; the rest follow at the next attempt. */
const MAX_LOOKED_AT = 10;
const CATCH_UP_MS = 2_000;
const BACKOFF_MS = 50;

/**
 * After a conflict with something that our view did not show: waits until the view shows the objects as they are, and deletes
 * claims whose owner does not exist. The result says what was repaired.
 */
export async function repairAfterConflict(
  { store, cache }: Ground,
  leadership: Leadership,
  failed: readonly Guard[],
): Promise<readonly string[]> {
  const repaired: string[] = [];
  try {
    for (const guard of failed.slice(0, MAX_LOOKED_AT)) {
      const stored = await store.get(guard.key, { signal: leadership.lost });
      if (stored === undefined) continue;
      await cache
        .waitForRevision(stored.modRevision, { timeoutMs: CATCH_UP_MS, signal: leadership.lost })
        .catch(() => undefined); // no object was written at that revision, or it is not shown yet: then we try again
      if (guard.key.startsWith(CLAIMS) && !ownerExists(cache.view(), stored.value)) {
        const unchanged: Guard = { key: guard.key, is: "at", modRevision: stored.modRevision };
        const guards = [leadership.guard, unchanged];
        await store.commit({ requestId: randomUUID(), guards, puts: [], deletes: [guard.key] });
        repaired.push(`deleted claim "${guard.key}": its owner ${stored.value} does not exist`);
      }
    }
  } catch (error) {
    repaired.push(`could not look into the conflict: ${asNetError(error, "read the store").message}`);
  }
  await pause(BACKOFF_MS, leadership.lost);
  return repaired;
}

function ownerExists(view: ClusterView, owner: string): boolean {
  const slash = owner.indexOf("/");
  const kind = KINDS.find((candidate) => candidate === owner.slice(0, slash));
  return kind !== undefined && view.records(kind).has(owner.slice(slash + 1));
}
