import { NetError } from "../../errors.ts";
import { around } from "../../waiting/back-off.ts";
import { nextTurn, pause } from "../../waiting/pause.ts";
import { throwIfAborted } from "../../waiting/signals.ts";
import type { WatchProgress } from "../watch-progress.ts";
import type { EtcdLink } from "./calls.ts";
import { listPages, restartCompacted } from "./range.ts";

/** A key whose revision in the store differs from what the consumer was told; undefined: it does not exist there. */
interface Difference {
  readonly key: string;
  readonly told: bigint | undefined;
  readonly listed: bigint | undefined;
}

const MAX_REPORTED_KEYS = 10;

/**
 * Compares a live watch with a list of keys every few minutes, whatever the watch says, without disturbing it. Throws when
 * an event was lost: differences which the watch does not settle within the grace time. The run then begins with a full list.
 */
export async function verifyRegularly(
  link: EtcdLink,
  prefix: string,
  progress: WatchProgress,
  signal: AbortSignal,
): Promise<never> {
  const { verifyEveryMs, verifyGraceMs } = link.timings;
  const doing = `verify the watch of "${prefix}"`;
  for (;;) {
    await pause(around(verifyEveryMs, 0.25), signal);
    throwIfAborted(signal, doing);
    progress.deletedSince = new Set();
    try {
      const differences = await compare(link, prefix, progress, signal);
      if (differences.length > 0) await pause(verifyGraceMs, signal);
      throwIfAborted(signal, doing);
      const lost = differences.filter((difference) => persists(difference, progress));
      if (lost.length > 0) throw driftError(link, prefix, progress, lost);
    } finally {
      progress.deletedSince = undefined;
    }
  }
}

function driftError(link: EtcdLink, prefix: string, progress: WatchProgress, lost: readonly Difference[]): NetError {
  const keys = lost.slice(0, MAX_REPORTED_KEYS).map((difference) => difference.key);
  link.report({ kind: "watch-drift", prefix, keys });
  progress.next = undefined;
  return new NetError("INTERNAL", `Watch of "${prefix}" has lost ${lost.length} events, among them of "${keys[0]}"`);
}

/** A difference that a delivered event has touched meanwhile is none. */
function persists({ key, told, listed }: Difference, progress: WatchProgress): boolean {
  const now = progress.known.get(key);
  if (now !== told || progress.deletedSince?.has(key)) return false;
  return now !== listed;
}

async function compare(
  link: EtcdLink,
  prefix: string,
  progress: WatchProgress,
  signal: AbortSignal,
): Promise<readonly Difference[]> {
  return await restartCompacted(prefix, async () => {
    const differences: Difference[] = [];
    const listed = new Set<string>();
    let revision = 0n;
    for await (const page of listPages(link, prefix, { signal, keysOnly: true })) {
      revision = page.revision;
      for (const kv of page.kvs) {
        const key = kv.key.toString("utf8");
        listed.add(key);
        const told = progress.known.get(key);
        const isOlder = told === undefined || told < BigInt(kv.mod_revision);
        if (isOlder) differences.push({ key, told, listed: BigInt(kv.mod_revision) });
      }
    }
    await addVanished(progress, listed, revision, differences);
    return differences;
  });
}

const KEYS_PER_TURN = 5_000;

/** Keys which the consumer knows from before the list, and which the list does not show. */
async function addVanished(
  progress: WatchProgress,
  listed: ReadonlySet<string>,
  revision: bigint,
  differences: Difference[],
): Promise<void> {
  let visited = 0;
  for (const [key, told] of progress.known) {
    visited += 1;
    if (visited % KEYS_PER_TURN === 0) await nextTurn();
    if (told <= revision && !listed.has(key)) differences.push({ key, told, listed: undefined });
  }
}
