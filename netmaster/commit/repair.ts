import { asNetError } from "../../state/errors.ts";
import { CLAIMS, OBJECTS } from "../../state/keys.ts";
import { KINDS } from "../../state/records.ts";
import type { Guard, Store, StoredValue } from "../../state/store/store.ts";
import { pause } from "../../state/waiting/pause.ts";
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
 * what is in the way then: claims whose owner does not exist, and a value that nobody can read under a key that is to be written. What
 * an unreadable object claims stays claimed, for its owner may be alive. The result says what was done.
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
    const unreadable = new Set(cache.quarantined().map(({ storeKey }) => storeKey));
    for (const { key } of failed.slice(0, MAX_LOOKED_AT)) {
      const stored = await store.get(key, { signal: lost });
      if (stored === undefined) continue;
      const obstacle = obstacleOf(stored, { view, unreadable });
      if (obstacle === undefined) continue;
      if (!obstacle.mayGo) {
        repaired.push(obstacle.text);
        continue;
      }
      const unchanged: Guard = { key, is: "at", modRevision: stored.modRevision };
      const { committed } = await pen.commit(store, { guards: [unchanged], deletes: [key] });
      if (committed) repaired.push(obstacle.text);
    }
  } catch (error) {
    repaired.push(`could not look into the conflict: ${asNetError(error, "read the store").message}`);
  }
  await pause(BACKOFF_MS, lost);
  return repaired;
}

interface Obstacle {
  readonly mayGo: boolean;
  readonly text: string;
}

interface Known {
  readonly view: ClusterView;
  readonly unreadable: ReadonlySet<string>;
}

/** What a value that stands in the way is; undefined: the present view shows it, so the next attempt reckons with it. */
function obstacleOf(stored: StoredValue, { view, unreadable }: Known): Obstacle | undefined {
  const { key, value: owner } = stored;
  if (unreadable.has(key)) return { mayGo: true, text: `deleted the unreadable value of "${key}": it is written anew` };
  if (!key.startsWith(CLAIMS) || ownerExists(view, stored)) return undefined;
  const ownerKey = `${OBJECTS}${owner}`;
  if (!unreadable.has(ownerKey))
    return { mayGo: true, text: `deleted claim "${key}": its owner ${owner} does not exist or does not hold it` };
  return {
    mayGo: false,
    text: `kept claim "${key}": the value of its owner "${ownerKey}" cannot be read; repair or delete it`,
  };
}

/** An endpoint that was written anew may hold other addresses than those that were claimed for it before. */
function ownerExists(view: ClusterView, { key: claim, value: owner }: StoredValue): boolean {
  const slash = owner.indexOf("/");
  const kind = KINDS.find((candidate) => candidate === owner.slice(0, slash));
  const key = owner.slice(slash + 1);
  if (kind === undefined || !view.records(kind).has(key)) return false;
  const endpoint = kind === "endpoint" ? view.records(kind).get(key) : undefined;
  if (endpoint === undefined) return true;
  return [endpoint.ipv4, endpoint.ipv6].some((ip) => ip !== undefined && claim.endsWith(`/${ip}`));
}
