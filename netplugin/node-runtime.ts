import type { Logger } from "pino";
import { isErrno } from "../drivers/netlink/errno.ts";
import { getLink } from "../drivers/netlink/link.ts";
import { createLinkDeleter } from "../drivers/netlink/link-deleter.ts";
import type { SocketPool } from "../drivers/netlink/pool.ts";
import type { OpenOvsDriver } from "../drivers/ovs/driver.ts";
import { openPanel } from "../drivers/ovs/panel.ts";
import { openPortPool, peerNameOf } from "../drivers/ovs/port-pool.ts";
import type { PortPool } from "../drivers/ovs/types.ts";
import { asNetError, NetError } from "../state/errors.ts";
import type { EndpointReply } from "../state/node-api.ts";
import { parseEpoch } from "./attach/attachment.ts";
import { type Infra, startInfra } from "./infra/infra.ts";
import { watchInfraLinks } from "./infra/watch-links.ts";
import { createMachineView, type MachineView } from "./machine-view.ts";
import type { Metrics } from "./metrics.ts";
import type { NodeClient } from "./node-client/node-client.ts";
import { createAnnouncer } from "./reconcile/announce.ts";
import { createFlowReconciler, type FlowReconciler } from "./reconcile/flow-reconciler.ts";
import { compareLeases } from "./reconcile/leases.ts";
import { createPortCloser, type PortCloser } from "./reconcile/port-closer.ts";
import { startTicketLoop, type TicketLoop } from "./reconcile/ticket-loop.ts";
import type { NodeRuntime } from "./runtime.ts";
import type { NodeSettings } from "./settings.ts";
import { applyBatch, beginStream } from "./view/apply.ts";
import { applyEndpointReply, releaseEarly } from "./view/early.ts";
import { objectId, type ViewMessage } from "./view/messages.ts";
import { emptyView, type NodeView, type ViewStep } from "./view/node-view.ts";

export interface NodeRuntimeOptions {
  readonly driver: OpenOvsDriver;
  readonly client: NodeClient;
  readonly settings: NodeSettings;
  readonly metrics: () => Metrics;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** The runtime with the verbs that the daemon's loops use. */
export interface OpenNodeRuntime extends NodeRuntime, AsyncDisposable {
  readonly driver: OpenOvsDriver;
  readonly reconciler: FlowReconciler;
  readonly loop: TicketLoop;
  readonly closer: PortCloser;
  readonly infra: Infra;
  beginStream(): void;
  applyMessages(messages: readonly ViewMessage[]): void;
  /** Netmaster has accepted this node (or not any more). */
  setRegistered(registered: boolean): void;
  readonly registered: boolean;
  vtepIp(): string;
  /** Releases leases without port, closes ports without lease, releases again what netmaster has not heard of. */
  repairLeases(signal: AbortSignal): Promise<void>;
}

/** Puts the parts of a node together: view, flows, ports, leases. */
export async function openNodeRuntime(options: NodeRuntimeOptions): Promise<OpenNodeRuntime> {
  const { driver, client, settings, log, signal } = options;
  const report = (error: NetError) => log.warn({ code: error.code, error: error.message }, "switch");
  const panel = await openPanel(settings.panelNetns);
  log.info({ panel: settings.panelNetns, podEnd: panel.podEnd }, "patch panel");
  const pool = await openPortPool({
    ports: driver.ports,
    netlink: driver.netlink,
    panel,
    target: settings.readyPorts,
    finishChecksums: driver.datapathType === "netdev",
    report,
  });
  const deleter = createLinkDeleter();
  let view: NodeView = emptyView();
  let registered = false;
  const pending = new Map<string, number>();
  const vtepIp = () => settings.vtepIp ?? addressOfUplink(driver) ?? "";
  const machine: MachineView = createMachineView({ driver, nodeName: settings.nodeName, vtepIp });
  const reconciler = createFlowReconciler({
    driver: driver.flows,
    generation: settings.pipelineGeneration,
    log,
    view: () => view,
    machine: machine.machine,
    onDrift: (drift) => {
      for (const difference of ["missing", "changed", "foreign"] as const) {
        options.metrics().flowDrift.inc({ difference }, drift[difference].length);
      }
    },
  });
  const announcer = createAnnouncer({
    view: () => view,
    machine: machine.machine,
    attachments: machine.attachments,
    isInstalled: reconciler.isInstalled,
    generation: settings.pipelineGeneration,
    send: (packet, caller) => driver.flowConnection.connection().packetOut(packet, { signal: caller }),
    signal,
    onOutcome: (outcome) => options.metrics().announcements.inc({ outcome }),
    report: (error) => log.warn({ code: error.code, error: error.message }, "announcement"),
  });
  const loop = startTicketLoop({
    work: async (full, roundSignal) => {
      const end = options.metrics().flowRounds.startTimer({ kind: full ? "full" : "change" });
      await reconciler.reconcile(full, roundSignal);
      announcer.look();
      end();
    },
    signal,
    report: (error) => {
      options.metrics().reconcileFailures.inc();
      log.error({ code: error.code, error: error.message }, "cannot bring the switch up to date; trying again");
    },
  });
  const closer = createPortCloser({
    ports: driver.ports,
    netlink: driver.netlink,
    deleter,
    signal,
    onClosed: machine.closed,
    report,
  });
  const infra = startInfra({
    nodeName: settings.nodeName,
    ports: driver.ports,
    netlink: driver.netlink,
    client,
    view: () => view,
    attachments: machine.attachments,
    isConnected: () => driver.connected,
    applyReply: (reply) => advance(applyEndpointReply(view, reply)),
    endLease: (lease, caller) => endLease(lease, caller),
    log,
    signal,
  });
  void watchInfraLinks({ infra, signal, report });
  driver.onChange(({ resync, uplinks }) => {
    machine.invalidate();
    if (resync) reconciler.expectLoss();
    loop.kick({ full: resync });
    if (resync || uplinks) infra.kick();
    else infra.onPorts();
  });

  function advance(step: ViewStep): void {
    view = step.view;
    reconciler.touch(step.changes);
    loop.kick();
    infra.onView(step.changes);
  }

  async function release(lease: { readonly key: string; readonly epoch: string }, caller: AbortSignal): Promise<void> {
    try {
      await client.releaseEndpoint({ key: lease.key, epoch: parseEpoch(lease.epoch) }, caller);
    } catch (thrown) {
      const error = asNetError(thrown, `release ${lease.key}`);
      if (!isAway(error)) throw error;
      log.info({ endpoint: lease.key, error: error.message }, "netmaster is away; the lease is released later");
    }
  }

  async function endLease(lease: { readonly key: string; readonly epoch: string }, caller: AbortSignal): Promise<void> {
    advance(releaseEarly(view, lease.key, lease.epoch));
    await release(lease, caller);
  }

  async function repairLeases(caller: AbortSignal): Promise<void> {
    const differences = compareLeases({
      view,
      nodeName: settings.nodeName,
      attachments: machine.attachments(),
      pending: new Set(pending.keys()),
    });
    for (const attachment of differences.unleased) {
      log.warn({ endpoint: attachment.endpointKey, port: attachment.portName }, "closing a port whose lease is gone");
      options.metrics().leaseRepairs.inc({ kind: "closed-port" });
      closePort(attachment.portName);
    }
    for (const endpoint of differences.orphans) {
      log.warn({ endpoint: endpoint.key, ipv4: endpoint.ipv4 }, "releasing a lease that has no port here");
      options.metrics().leaseRepairs.inc({ kind: "released-lease" });
      advance(releaseEarly(view, endpoint.key, endpoint.epoch));
    }
    if (differences.orphans.length > 0) await loop.done(caller);
    for (const [key, held] of view.released.toArray()) await release({ key, epoch: held.record.epoch }, caller);
  }

  function closePort(portName: string): void {
    machine.close(portName);
    closer.close(portName);
  }

  return {
    driver,
    reconciler,
    loop,
    closer,
    infra,
    pool,
    log,
    client,
    netlink: driver.netlink,
    panel,
    view: () => view,
    attachments: machine.attachments,
    get registered() {
      return registered;
    },
    setRegistered: (value) => {
      registered = value;
    },
    vtepIp,
    repairLeases,
    beginStream: () => {
      view = beginStream(view);
    },
    applyMessages: (messages) => advance(applyBatch(view, messages)),
    notReady: () => whyNotReady({ driver, registered, view, pool }),
    pending: (key) => {
      pending.set(key, (pending.get(key) ?? 0) + 1);
      return {
        [Symbol.dispose]: () => {
          const left = (pending.get(key) ?? 1) - 1;
          if (left > 0) pending.set(key, left);
          else pending.delete(key);
        },
      };
    },
    markPort: async (portName, marks) => {
      const failures = await driver.ports.mark(new Map([[portName, marks]]));
      for (const failure of failures.values()) throw failure;
      machine.invalidate();
    },
    applyReply: (reply: EndpointReply) => advance(applyEndpointReply(view, reply)),
    enforced: async (key, caller) => {
      await loop.done(caller);
      const id = objectId("endpoint", key);
      const failure = reconciler.failures().get(id);
      if (failure !== undefined) throw new NetError("REJECTED", `This node cannot connect the pod: ${failure}`);
      if (!reconciler.isInstalled(id)) throw new NetError("UNAVAILABLE", "The endpoint has been released meanwhile");
    },
    checkEnforced: ({ endpointKey }) => {
      if (reconciler.isInstalled(objectId("endpoint", endpointKey))) return;
      throw new NetError("UNAVAILABLE", "The pod's flows are not in the switch (yet)");
    },
    releaseEarly: ({ endpointKey, epoch }) => advance(releaseEarly(view, endpointKey, epoch)),
    withdrawn: async (caller) => {
      if (!view.complete || !driver.connected) return;
      await loop.done(caller);
    },
    release: ({ endpointKey, epoch }, caller) => release({ key: endpointKey, epoch }, caller),
    releaseUnattached: async (key, caller) => {
      const held = view.tables.get("endpoint")?.get(key)?.record as { epoch?: string; nodeName?: string } | undefined;
      if (held?.epoch === undefined || held.nodeName !== settings.nodeName) return;
      await endLease({ key, epoch: held.epoch }, caller);
    },
    removePort: ({ portName }) => closePort(portName),
    lowerIfIndex: (portName) =>
      panel.podEnd === "macvlan" ? ifIndexOf(panel.netlink, peerNameOf(portName)) : ifIndexOf(driver.netlink, portName),
    [Symbol.asyncDispose]: async () => {
      await closer.idle();
      await pool[Symbol.asyncDispose]();
      await loop.ended;
      await infra.ended;
      deleter[Symbol.dispose]();
      panel[Symbol.dispose]();
    },
  };
}

/** The first address of the default uplink, without its prefix length. */
function addressOfUplink(driver: OpenOvsDriver): string | undefined {
  const uplinks = driver.uplinks();
  const uplink = uplinks.get("default") ?? [...uplinks.values()][0];
  return uplink?.addresses[0]?.split("/")[0];
}

function isAway({ code }: NetError): boolean {
  return code === "UNAVAILABLE" || code === "TIMEOUT" || code === "CLOSED";
}

interface Readiness {
  readonly driver: OpenOvsDriver;
  readonly registered: boolean;
  readonly view: NodeView;
  readonly pool: PortPool;
}

function whyNotReady({ driver, registered, view }: Readiness): string | undefined {
  if (!driver.connected) return "Open vSwitch does not answer on this node; see that ovsdb-server and ovs-vswitchd run";
  if (!registered) return "This node is not registered with netmaster yet; see netplugin's log and --netmaster-urls";
  if (!view.complete) return "The first complete view has not arrived from netmaster yet";
  return undefined;
}

async function ifIndexOf(netlink: SocketPool, name: string): Promise<number | undefined> {
  try {
    return (await netlink.get(getLink({ name }))).ifindex;
  } catch (error) {
    if (isErrno(error, "ENODEV")) return undefined;
    throw error;
  }
}
