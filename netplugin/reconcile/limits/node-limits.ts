import type { Logger } from "pino";
import type { NetnsHandle } from "../../../drivers/netlink/netns.ts";
import type { NetError } from "../../../state/errors.ts";
import type { Attachment } from "../../machine/attachment.ts";
import type { LimitMeans } from "../../machine/limit-means.ts";
import type { NodeView } from "../../view/node-view.ts";
import type { MeterKeeper } from "../flows/meters.ts";
import { followLinks } from "../loop/follow-links.ts";
import { type LimitKeeper, type LimitKeeperOptions, startLimitKeeper } from "./limit-keeper.ts";

/** What kernel and switch were found to have. */
export type ProbedMeans = Pick<LimitMeans, "ingressPolicing" | "tbf" | "ifbRedirect" | "meters">;

export interface NodeLimitsOptions {
  readonly limiter: LimitKeeperOptions["limiter"];
  /** Tells of changes of the database in which limits may stand; `resync`: what was known may be gone. */
  readonly onChange: (listener: (change: { readonly resync: boolean }) => void) => unknown;
  readonly isConnected: () => boolean;
  /** What limits depend on besides what was probed. */
  readonly surroundings: () => Omit<LimitMeans, keyof ProbedMeans>;
  /** Those of limits are put ahead of the flows that name them, and changed in place. */
  readonly meters: Pick<MeterKeeper, "put">;
  readonly view: () => NodeView;
  readonly attachments: () => ReadonlyMap<string, Attachment>;
  readonly onRepair: () => void;
  readonly log: Logger;
  readonly signal: AbortSignal;
  readonly report: (error: NetError) => void;
}

/** Everything of this node that limits bandwidth. */
export interface NodeLimits {
  readonly keeper: LimitKeeper;
  /** Undefined until `setCapabilities`: before, nothing is limited and nothing is touched. */
  means(): LimitMeans | undefined;
  setCapabilities(capabilities: ProbedMeans): void;
  /** Compares everything with the machine. Meters are compared with the flows. */
  compare(): void;
  /** Resolves when all has ended, after the signal. */
  readonly ended: Promise<void>;
}

export function openNodeLimits(options: NodeLimitsOptions): NodeLimits {
  const { limiter, surroundings, ...others } = options;
  let means: LimitMeans | undefined;
  const keeper = startLimitKeeper({ ...others, limiter, means: () => means });
  options.onChange(({ resync }) => (resync ? keeper.loop.kick({ full: true }) : keeper.onPorts()));
  const watching = limiter.watched.map((netns) => watchQdiscs(keeper, { netns, ...options }));
  return {
    keeper,
    means: () => means,
    setCapabilities: ({ ingressPolicing, tbf, ifbRedirect, meters }) => {
      means = { ...surroundings(), ingressPolicing, tbf, ifbRedirect, meters };
      keeper.loop.kick({ full: true });
    },
    compare: () => keeper.loop.kick({ full: true }),
    ended: Promise.all([keeper.loop.ended, ...watching]).then(() => {}),
  };
}

interface WatchOptions {
  readonly netns: NetnsHandle | undefined;
  readonly signal: AbortSignal;
  readonly report: (error: NetError) => void;
}

/** What is done to many links is looked at together. */
const GATHER_MS = 150;

/** Tells of qdiscs that somebody has changed, until the signal aborts. */
function watchQdiscs(keeper: LimitKeeper, { netns, signal, report }: WatchOptions): Promise<void> {
  const monitor = { withQdiscs: true, netns };
  const options = { monitor, gatherMs: GATHER_MS, doing: "watch the qdiscs of pods' ports", signal, report };
  return followLinks((change) => {
    if (change.kind === "resync") keeper.loop.kick({ full: true });
    else keeper.onLinks(change.ifindexes, change.withQdiscs);
  }, options);
}
