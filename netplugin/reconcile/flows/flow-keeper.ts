import type { Logger } from "pino";
import type { Counter, Histogram } from "prom-client";
import type { OpenOvsDriver } from "../../../drivers/ovs/switch.ts";
import { NetError } from "../../../state/errors.ts";
import { createRetryTimer } from "../../../state/waiting/retry-timer.ts";
import type { Attachment } from "../../machine/attachment.ts";
import type { MachineView } from "../../machine/machine-view.ts";
import { objectId } from "../../view/messages.ts";
import type { ViewHolder } from "../../view/view-holder.ts";
import { createAnnouncer } from "../announce/announcer.ts";
import {
  type ConnectionKeeper,
  type ConnectionKeeperOptions,
  startConnectionKeeper,
} from "../connections/connection-keeper.ts";
import { failureLog } from "../loop/failure-log.ts";
import { startTicketLoop, type TicketLoop } from "../loop/ticket-loop.ts";
import { watchFlowCounts } from "./flow-count-watch.ts";
import { createFlowReconciler, type FlowReconciler } from "./flow-reconciler.ts";
import { forgetAnswers } from "./learned-answers.ts";
import type { MeterKeeper } from "./meters.ts";
import { createTunnelWarmer } from "./tunnel-warmer.ts";

/** What is counted and measured of flows, of connections and of announcements. */
export interface FlowMetrics {
  readonly flowRounds: Histogram<"kind">;
  readonly flowDrift: Counter<"difference">;
  readonly flowRefusals: Counter;
  readonly reconcileFailures: Counter;
  readonly announcements: Counter<"outcome">;
  readonly connectionsFlushed: Counter<"reason">;
  readonly connectionFailures: Counter;
}

export interface FlowKeeperOptions {
  readonly driver: OpenOvsDriver;
  readonly holder: ViewHolder;
  readonly machine: MachineView;
  readonly meters: MeterKeeper;
  /** What the cookies of this pipeline's flows say. */
  readonly generation: number;
  /** The datapath's tracked connections, of one zone or all. */
  readonly listConnections: ConnectionKeeperOptions["list"];
  readonly metrics: FlowMetrics;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** The flows of this node, always on their way to what the view says. */
export interface FlowKeeper {
  readonly reconciler: FlowReconciler;
  readonly loop: TicketLoop;
  readonly connections: Omit<ConnectionKeeper, "look" | "ended">;
  /** Waits until the endpoint's flows are in the switch, behind a barrier; one that cannot be enforced is an error. */
  enforced(endpointKey: string, signal: AbortSignal): Promise<void>;
  /** An error when the endpoint's flows are not in the switch. A round that is under way is waited for: until its end nobody knows. */
  check(attachment: Attachment, signal: AbortSignal): Promise<void>;
  /** Waits until what has left the view has left the switch, its connections too. With the switch away there is nothing to wait for. */
  withdrawn(signal: AbortSignal): Promise<void>;
  /** Resolves when all has ended, after the signal. */
  readonly ended: Promise<void>;
}

/** A table that was full may have room again, and a switch that was too old may have been replaced. */
const REFUSALS_TRIED_AFTER = { minMs: 1_000, maxMs: 30_000 } as const;

export function startFlowKeeper(options: FlowKeeperOptions): FlowKeeper {
  const { driver, holder, log } = options;
  const reconciler = openReconciler(options);
  const announcer = openAnnouncer(options, reconciler);
  const warmer = openWarmer(options);
  const connections = openConnectionKeeper(options);
  const sentence = "The flows in Open vSwitch cannot be brought up to date; netplugin tries again";
  const reportFailure = failureLog({ log, sentence, isConnected: () => driver.connected });
  const loop = startTicketLoop({
    work: async (full, signal) => {
      const end = options.metrics.flowRounds.startTimer({ kind: full ? "full" : "change" });
      const step = await reconciler.reconcile(full, signal);
      const at = { revision: reconciler.enforcedRevision, epoch: reconciler.enforcedEpoch };
      if (step !== undefined) connections.look(step, step.changes, at);
      refusals.look(reconciler.refusedCount > 0, step?.madeRoom);
      announcer.look();
      warmer.look();
      end();
    },
    signal: options.signal,
    report: (error) => {
      options.metrics.reconcileFailures.inc();
      reportFailure(error);
    },
  });
  const refusals = createRetryTimer({
    act: () => {
      reconciler.tryRefused();
      loop.kick();
    },
    ...{ signal: options.signal, ...REFUSALS_TRIED_AFTER },
  });
  holder.onStep((changes) => {
    reconciler.touch(changes);
    loop.kick();
  });
  driver.onChange(({ resync }) => {
    if (resync) {
      reconciler.expectLoss();
      warmer.forget();
    }
    loop.kick({ full: resync });
  });
  const counting = watchCounts(options, { reconciler, loop });
  return {
    ...{ reconciler, loop, connections },
    ...waitsOf(options, { reconciler, loop, connections }),
    ended: Promise.all([loop.ended, connections.ended, counting]).then(() => {}),
  };
}

/** The comparison of all flows says in the log which are missing. */
function watchCounts(
  { driver, log, signal }: FlowKeeperOptions,
  { reconciler, loop }: Pick<FlowKeeper, "reconciler" | "loop">,
): Promise<void> {
  const { flowConnection } = driver;
  return watchFlowCounts({
    connection: () => (flowConnection.connected ? flowConnection.connection() : undefined),
    installed: () => reconciler.tableCounts(),
    onLoss: () => loop.kick({ full: true }),
    signal,
    report: (error) => log.debug({ error: error.message }, "flows were not counted this time"),
  });
}

/** What pods wait for. */
function waitsOf(
  { holder, driver }: FlowKeeperOptions,
  { reconciler, loop, connections }: Pick<FlowKeeper, "reconciler" | "loop" | "connections">,
): Pick<FlowKeeper, "enforced" | "check" | "withdrawn"> {
  return {
    enforced: async (endpointKey, signal) => {
      await loop.done(signal);
      const id = objectId("endpoint", endpointKey);
      const failure = reconciler.failures().get(id);
      if (failure !== undefined) throw new NetError("REJECTED", `This node cannot connect the pod: ${failure}`);
      if (!reconciler.isInstalled(id)) throw new NetError("UNAVAILABLE", "The endpoint has been released meanwhile");
    },
    check: async ({ endpointKey }, signal) => {
      const id = objectId("endpoint", endpointKey);
      if (reconciler.isInstalled(id)) return;
      await loop.done(signal);
      if (reconciler.isInstalled(id)) return;
      throw new NetError("UNAVAILABLE", "The pod's flows are not in the switch (yet)");
    },
    withdrawn: async (signal) => {
      if (!holder.view().complete || !driver.connected) return;
      await loop.done(signal);
      await connections.settled(signal);
    },
  };
}

function openReconciler({
  driver,
  generation,
  log,
  holder,
  machine,
  meters,
  metrics,
}: FlowKeeperOptions): FlowReconciler {
  return createFlowReconciler({
    driver: driver.flows,
    meters,
    generation,
    log,
    view: holder.view,
    machine: machine.machine,
    onRefusal: (message, objectCount) => {
      metrics.flowRefusals.inc();
      log.warn({ error: message, objectCount }, "Open vSwitch refuses flows; endpoints that need them are closed");
    },
    onDrift: (drift) => {
      for (const difference of ["missing", "changed", "foreign"] as const) {
        metrics.flowDrift.inc({ difference }, drift[difference].count);
      }
    },
    onApplied: (flows, changes, signal) => forgetAnswers(driver.flowCache, { flows, changes }, signal),
  });
}

function openAnnouncer(options: FlowKeeperOptions, reconciler: FlowReconciler) {
  const { driver, generation, holder, machine, log } = options;
  return createAnnouncer({
    view: holder.view,
    machine: machine.machine,
    attachments: machine.attachments,
    isInstalled: (owner) => reconciler.isInstalled(owner),
    generation,
    send: (packet, signal) => driver.flowConnection.connection().packetOut(packet, { signal }),
    signal: options.signal,
    onOutcome: (outcome) => options.metrics.announcements.inc({ outcome }),
    report: (error) =>
      log.warn({ code: error.code, error: error.message }, "An endpoint could not be announced to its network"),
  });
}

function openWarmer({ driver, holder, machine, log, signal }: FlowKeeperOptions) {
  return createTunnelWarmer({
    view: holder.view,
    machine: machine.machine,
    send: (packet, caller) => driver.flowConnection.connection().packetOut(packet, { signal: caller }),
    signal,
    report: (error) =>
      log.debug({ code: error.code, error: error.message }, "The tunnel to a node could not be prepared"),
  });
}

function openConnectionKeeper({ driver, listConnections, metrics, log, signal }: FlowKeeperOptions): ConnectionKeeper {
  const sentence = "Tracked connections cannot be listed; netplugin tries again";
  const reportFailure = failureLog({ log, sentence, isConnected: () => driver.connected });
  return startConnectionKeeper({
    list: listConnections,
    forget: (filters, caller) => driver.flowConnection.connection().ctFlush(filters, { signal: caller }),
    onForgotten: (reason, count) => {
      metrics.connectionsFlushed.inc({ reason }, count);
      log.info({ reason, count }, "Tracked connections were ended");
    },
    signal,
    report: (error) => {
      metrics.connectionFailures.inc();
      reportFailure(error);
    },
  });
}
