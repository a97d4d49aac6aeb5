import { z } from "zod";
import { NetError } from "../../state/errors.ts";
import { LEADER_KEY } from "../../state/keys.ts";
import type { Store } from "../../state/store/store.ts";

/** What the leader says of itself in the leader key. */
export const LeaderInfo = z.object({
  /** Name of the process: differs between all netmasters of a cluster. */
  id: z.string().min(1),
  /** Where the other netmasters forward REST writes to. */
  restUrl: z.url(),
  /** Where they forward node API writes to. */
  nodeApiUrl: z.url(),
  /** Secret of netmasters, by which they prove to the leader that they forward a request (forward-proof.ts). */
  proofKey: z.string().min(1).optional(),
  version: z.string(),
});
export type LeaderInfo = Readonly<z.infer<typeof LeaderInfo>>;

/** Who leads, as far as this process knows. */
export interface LeaderDirectory extends AsyncDisposable {
  /** Undefined: nobody, or not known yet. */
  current(): LeaderInfo | undefined;
  /** Aborts when the present leader, or the present lack of one, is over: what it was asked for is not answered any more. */
  term(): AbortSignal;
}

/** Follows the leader key; tells of each leader, and of its end. */
export function followLeader(
  store: Pick<Store, "watch">,
  onLeader: (leader: LeaderInfo | undefined) => void = () => undefined,
): LeaderDirectory {
  let leader: { readonly info: LeaderInfo; readonly epoch: bigint } | undefined;
  let term = new AbortController();
  function take(next: typeof leader): void {
    if (next?.epoch === leader?.epoch) return;
    leader = next;
    const over = term;
    term = new AbortController();
    over.abort(new NetError("UNAVAILABLE", "The leader has changed", { reason: "no-leader" }));
    onLeader(leader?.info);
  }
  const watch = store.watch(
    LEADER_KEY,
    (events) => {
      for (const event of events) {
        if (event.kind === "put" && event.value.key === LEADER_KEY) {
          const info = readInfo(event.value.value);
          take(info === undefined ? undefined : { info, epoch: event.value.createRevision });
        } else if (event.kind === "reset" || (event.kind === "delete" && event.key === LEADER_KEY)) {
          take(undefined); // a store that was replaced tells of no delete
        }
      }
    },
    { relists: true },
  );
  return {
    current: () => leader?.info,
    term: () => term.signal,
    [Symbol.asyncDispose]: () => watch.close(),
  };
}

function readInfo(value: string): LeaderInfo | undefined {
  try {
    return LeaderInfo.parse(JSON.parse(value));
  } catch {
    return undefined; // a leader of a release that says something else of itself: nobody to forward to
  }
}
