import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "pino";
import { ROLE_MARK } from "../../../drivers/driver.ts";
import { openLinkMonitor } from "../../../drivers/netlink/link-monitor.ts";
import type { NetnsHandle } from "../../../drivers/netlink/netns.ts";

import type { Panel } from "../../../drivers/ovs/pod-ports/panel.ts";
import { createPortLimiter, type PortLimiter } from "../../../drivers/ovs/pod-ports/port-limiter.ts";
import { WARM_ROLE } from "../../../drivers/ovs/pod-ports/port-pool.ts";
import type { OpenOvsDriver } from "../../../drivers/ovs/switch.ts";
import { asNetError, type NetError } from "../../../state/errors.ts";
import type { Attachment } from "../../machine/attachment.ts";
import type { LimitMeans } from "../../machine/limit-means.ts";
import type { NodeView } from "../../view/node-view.ts";
import type { MeterKeeper } from "../flows/meters.ts";
import { type LimitKeeper, startLimitKeeper } from "./limit-keeper.ts";

/** What kernel and switch were found to have. */
export type ProbedMeans = Pick<LimitMeans, "ingressPolicing" | "tbf" | "ifbRedirect" | "meters">;

export interface NodeLimitsOptions {
  readonly driver: OpenOvsDriver;
  readonly panel: Panel;
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
  /** The counters of what limits the ports. */
  readonly limiter: Pick<PortLimiter, "queues">;
  /** Undefined until `setCapabilities`: before, nothing is limited and nothing is touched. */
  means(): LimitMeans | undefined;
  setCapabilities(capabilities: ProbedMeans): void;
  /** Compares everything with the machine. Meters are compared with the flows. */
  compare(): void;
  /** Resolves when all has ended, after the signal. */
  readonly ended: Promise<void>;
}

/** Longest frame: the MTU, the Ethernet header and a VLAN tag. */
const HEADER_BYTES = 18;
const DEFAULT_MTU_BYTES = 1_500;

export function openNodeLimits(options: NodeLimitsOptions): NodeLimits {
  const { driver, panel, meters, view, attachments, signal, log } = options;
  let means: LimitMeans | undefined;
  const limiter = createPortLimiter({ ports: driver.ports, netlink: driver.netlink, panelNetlink: panel.netlink });
  const keeper = startLimitKeeper({
    limiter,
    meters,
    view,
    attachments,
    sparePorts: () => sparePorts(driver),
    means: () => means,
    isConnected: () => driver.connected,
    onRepair: options.onRepair,
    log,
    signal,
  });
  driver.onChange(({ resync }) => (resync ? keeper.loop.kick({ full: true }) : keeper.onPorts()));
  const watching = [
    watchQdiscs(keeper, { netns: undefined, ...options }),
    watchQdiscs(keeper, { netns: panel.netns, ...options }),
  ];
  return {
    keeper,
    limiter,
    means: () => means,
    setCapabilities: (capabilities) => {
      means = meansOf(driver, panel, capabilities);
      keeper.loop.kick({ full: true });
    },
    compare: () => keeper.loop.kick({ full: true }),
    ended: Promise.all([keeper.loop.ended, ...watching]).then(() => {}),
  };
}

function sparePorts({ ports }: OpenOvsDriver): readonly string[] {
  return [...ports.read().values()]
    .filter(({ externalIds }) => externalIds[ROLE_MARK] === WARM_ROLE)
    .map(({ name }) => name);
}

function meansOf(driver: OpenOvsDriver, panel: Panel, capabilities: ProbedMeans): LimitMeans {
  const { ingressPolicing, tbf, ifbRedirect, meters } = capabilities;
  const mtus = [...driver.uplinks().values()].map(({ mtuBytes }) => mtuBytes);
  const frameBytes = Math.max(DEFAULT_MTU_BYTES, ...mtus) + HEADER_BYTES;
  return {
    datapathType: driver.datapathType,
    ingressPolicing,
    tbf,
    ifbRedirect,
    meters,
    podEnd: panel.podEnd,
    frameBytes,
  };
}

interface WatchOptions {
  readonly netns: NetnsHandle | undefined;
  readonly signal: AbortSignal;
  readonly report: (error: NetError) => void;
}

/** What is done to many links is looked at together. */
const GATHER_MS = 150;
const RETRY_MS = 5_000;

/** Tells of qdiscs that somebody has changed, until the signal aborts. */
async function watchQdiscs(keeper: LimitKeeper, { netns, signal, report }: WatchOptions): Promise<void> {
  while (!signal.aborted) {
    try {
      using monitor = openLinkMonitor({ withQdiscs: true, netns });
      for (;;) {
        const change = await monitor.next({ signal });
        if (change.kind === "resync") keeper.loop.kick({ full: true });
        else keeper.onLinks(change.ifindexes, change.withQdiscs);
        await sleep(GATHER_MS, undefined, { signal });
      }
    } catch (error) {
      if (signal.aborted) return;
      report(asNetError(error, "watch the qdiscs of pods' ports"));
      await sleep(RETRY_MS, undefined, { signal }).catch(() => {}); // ends with the signal
    }
  }
}
