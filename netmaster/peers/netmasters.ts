import { randomUUID } from "node:crypto";
import { NETMASTERS } from "../../state/keys.ts";
import type { Store } from "../../state/store/store.ts";
import { BackOff } from "../../state/waiting/back-off.ts";
import { pause } from "../../state/waiting/pause.ts";
import { aborted } from "../../state/waiting/signals.ts";

/** A netmaster that is gone without a word is not listed any more after this time. */
const PRESENCE_TTL_S = 15;
const RETRY_BACKOFF = { firstMs: 500, maxMs: 10_000 };
/** Longer addresses are no netmaster's. */
const URL_LENGTH_MAX = 300;

/** Keeps this netmaster's REST address in the store, under a lease, until the signal; never throws. */
export async function announceNetmaster(
  store: Pick<Store, "lease" | "commit">,
  { id, restUrl }: { readonly id: string; readonly restUrl: string },
  signal: AbortSignal,
): Promise<void> {
  const backOff = new BackOff(RETRY_BACKOFF);
  while (!signal.aborted) {
    try {
      await using lease = await store.lease({ ttlS: PRESENCE_TTL_S, signal });
      const put = { key: `${NETMASTERS}${id}`, value: restUrl, lease: lease.id };
      await store.commit({ requestId: randomUUID(), guards: [], puts: [put], deletes: [] });
      backOff.reset();
      await aborted(AbortSignal.any([lease.lost, signal]));
    } catch {
      // The store is away or full, which is told elsewhere: the others list this netmaster again when it is back.
    }
    await pause(backOff.nextMs(), signal).catch(() => undefined);
  }
}

/** The REST addresses of all netmasters that have announced themselves. */
export interface Netmasters extends AsyncDisposable {
  /** In alphabetical order, so that all netmasters list the same. */
  urls(): readonly string[];
}

export function followNetmasters(store: Pick<Store, "watch">): Netmasters {
  const urls = new Map<string, string>();
  const watch = store.watch(
    NETMASTERS,
    (events) => {
      for (const event of events) {
        if (event.kind === "put") take(event.value.key, event.value.value);
        else if (event.kind === "delete") urls.delete(event.key);
        else if (event.kind === "reset") urls.clear();
      }
    },
    { relists: true },
  );
  function take(key: string, url: string): void {
    if (url.length <= URL_LENGTH_MAX && URL.canParse(url)) urls.set(key, url);
  }
  return {
    urls: () => [...new Set(urls.values())].sort(),
    [Symbol.asyncDispose]: () => watch.close(),
  };
}
