import type { SwitchConnection } from "../../../drivers/ovs/openflow/connection.ts";
import type { TableCount } from "../../../drivers/ovs/openflow/table-count.ts";
import { asNetError, type NetError } from "../../../state/errors.ts";
import { pause } from "../../../state/waiting/pause.ts";

export interface FlowCountWatchOptions {
  /** Undefined while the switch is away. */
  readonly connection: () => Pick<SwitchConnection, "tableCounts"> | undefined;
  /** How many flows of ours each table has; undefined while that is not known, another object once it may have changed. */
  readonly installed: () => ReadonlyMap<number, number> | undefined;
  /** Flows have gone that nobody here has removed. */
  readonly onLoss: () => void;
  readonly signal: AbortSignal;
  readonly report: (error: NetError) => void;
  readonly intervalMs?: number;
}

const INTERVAL_MS = 2_000;
/** Where flows are lost again and again, each comparison of all of them waits longer. */
const INTERVAL_MAX_MS = 10_000;

/**
 * Notices soon when somebody deletes flows: the switch is asked how many each table has, which costs it nothing however many there are.
 * What has been replaced one for one is found by the regular comparison. Ends with the signal.
 */
export async function watchFlowCounts(options: FlowCountWatchOptions): Promise<void> {
  const { signal, intervalMs = INTERVAL_MS } = options;
  let pauseMs = intervalMs;
  let last: Look | undefined;
  while (!signal.aborted) {
    await pause(pauseMs, signal);
    try {
      const now = await look(options);
      const isLost = now !== undefined && hasLost(now, last);
      pauseMs = isLost ? Math.min(pauseMs * 2, INTERVAL_MAX_MS) : intervalMs;
      last = isLost ? undefined : now;
      if (isLost) options.onLoss();
    } catch (error) {
      if (!signal.aborted) options.report(asNetError(error, "count the switch's flows"));
    }
  }
}

/** What tables should have and what they had at that time. */
export interface Look {
  readonly wanted: ReadonlyMap<number, number>;
  readonly counts: ReadonlyMap<number, number>;
}

/** Undefined when nothing is known, or a change of ours was under way. */
async function look({ connection, installed, signal }: FlowCountWatchOptions): Promise<Look | undefined> {
  const wanted = installed();
  const present = connection();
  if (wanted === undefined || present === undefined || signal.aborted) return undefined;
  const counts = byTable(await present.tableCounts({ signal }));
  return installed() === wanted ? { wanted, counts } : undefined;
}

function byTable(rows: readonly TableCount[]): ReadonlyMap<number, number> {
  return new Map(rows.map(({ table, flowCount }) => [table, flowCount]));
}

/** A table has fewer flows than we have put there; or fewer than a moment ago, for those of others may make up for ours. */
export function hasLost({ wanted, counts }: Look, before: Look | undefined): boolean {
  const had = before?.wanted === wanted ? before.counts : undefined;
  return [...wanted].some(([table, count]) => (counts.get(table) ?? 0) < Math.max(count, had?.get(table) ?? 0));
}
