import type { Logger } from "pino";
import { streamConnections } from "../drivers/ovs/conntrack.ts";
import { findControlSocket } from "../drivers/ovs/control-socket.ts";
import { openPanel, type Panel } from "../drivers/ovs/pod-ports/panel.ts";
import type { OpenOvsDriver } from "../drivers/ovs/switch.ts";
import type { PortPool } from "../drivers/ovs/types.ts";
import type { NetError } from "../state/errors.ts";
import type { NodeRuntime } from "./attach/attaching-node.ts";
import { wantedMeters } from "./desired/flow-set/wanted-meters.ts";
import { AttachmentRecords, recordsDirectoryOf } from "./machine/attachment-records.ts";
import { createMachineView, type MachineView } from "./machine/machine-view.ts";
import { PortMarks } from "./machine/port-marks.ts";
import type { NodeClient } from "./node-client/node-client.ts";
import { lowerIfIndex, openCloser, openPool, portMtuBytes } from "./node-ports.ts";
import { type AttachmentKeeper, startAttachmentKeeper } from "./reconcile/attachments/attachment-keeper.ts";
import { ChecksumKeeper } from "./reconcile/attachments/checksum-keeper.ts";
import { PodEndKeeper } from "./reconcile/attachments/pod-end-keeper.ts";
import { watchPodLinks } from "./reconcile/attachments/watch-pod-links.ts";
import { PanelName } from "./reconcile/base/panel-name.ts";
import { type StackKeeper, startStackKeeper } from "./reconcile/base/stack-keeper.ts";
import { TunnelAddress } from "./reconcile/base/tunnel-address.ts";
import { VtepAddress } from "./reconcile/base/vtep-address.ts";
import { type FlowKeeper, startFlowKeeper } from "./reconcile/flows/flow-keeper.ts";
import { type ForeignFlows, startForeignFlows } from "./reconcile/flows/foreign-flows.ts";
import { createMeterKeeper } from "./reconcile/flows/meters.ts";
import { type Infra, startInfra } from "./reconcile/infra/infra.ts";
import { watchInfraLinks } from "./reconcile/infra/watch-links.ts";
import { KnownLeases } from "./reconcile/leases/known-leases.ts";
import { createLeaseKeeper, type LeaseKeeper } from "./reconcile/leases/lease-keeper.ts";
import { LeaseMarks } from "./reconcile/leases/lease-marks.ts";
import { LeaseOffers } from "./reconcile/leases/lease-offers.ts";
import { type NodeLimits, openNodeLimits } from "./reconcile/limits/node-limits.ts";
import type { ConnectionLog } from "./report/connection-log/connection-log.ts";
import { startConnectionLog } from "./report/connection-log/start.ts";
import type { Metrics } from "./report/metrics/metrics.ts";
import { createReachability, type Reachability } from "./report/reachability.ts";
import { type NodeTraffic, startTraffic } from "./report/traffic/start.ts";
import type { NodeSettings } from "./settings.ts";
import type { NodeView } from "./view/node-view.ts";
import { createViewHolder, type ViewHolder } from "./view/view-holder.ts";

export interface NodeRuntimeOptions {
  readonly driver: OpenOvsDriver;
  readonly client: NodeClient;
  readonly settings: NodeSettings;
  readonly metrics: Metrics;
  /** Why runtimes cannot reach this process; undefined when they can. */
  readonly cniFault: () => string | undefined;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** The runtime with what the daemon's loops use. */
export interface OpenNodeRuntime extends NodeRuntime, Reachability, AsyncDisposable {
  readonly driver: OpenOvsDriver;
  readonly holder: ViewHolder;
  readonly flows: FlowKeeper;
  readonly leases: LeaseKeeper;
  readonly offers: LeaseOffers;
  readonly attached: AttachmentKeeper;
  readonly checksums: ChecksumKeeper;
  readonly infra: Infra;
  readonly limits: NodeLimits;
  readonly traffic: NodeTraffic;
  readonly connections: ConnectionLog;
  readonly stack: StackKeeper;
  readonly foreignFlows: ForeignFlows;
  readonly panelName: PanelName;
  readonly tunnel: TunnelAddress;
  readonly vtep: VtepAddress;
  /** The address of this node's tunnels; empty while there is none. */
  vtepIp(): string;
  /** Why runtimes cannot reach this process; undefined when they can. */
  cniFault(): string | undefined;
  /** Why what pods begin is not limited, although it should be. */
  connectionLimitFault(): string | undefined;
  neighbourLimitFault(): string | undefined;
}

type Report = (error: NetError) => void;

/** Puts the parts of a node together: view, flows, ports, leases. */
export async function openNodeRuntime(options: NodeRuntimeOptions): Promise<OpenNodeRuntime> {
  const { driver, settings, log } = options;
  const report: Report = (error) => log.warn({ code: error.code, error: error.message }, "switch");
  await closeAtStart(options);
  const panel = await openPanel(settings.panelNetns);
  log.info({ panel: settings.panelNetns, podEnd: panel.podEnd }, "patch panel");
  const pool = await openPool({ driver, panel, readyPortCount: settings.readyPorts, report });
  const records = new AttachmentRecords(recordsDirectoryOf(settings.cniSocketPath), log);
  const marks = new PortMarks({ ports: driver.ports, records });
  const holder = createViewHolder();
  const vtep = new VtepAddress({ driver, given: settings.vtepIp, netmasterUrls: settings.netmasterUrls });
  const vtepIp = () => vtep.current();
  const { nodeName, newConnectionsPerSecond, neighbourMessagesPerSecond } = settings;
  const machine = createMachineView({
    ...{ driver, nodeName, newConnectionsPerSecond, neighbourMessagesPerSecond },
    ...{ vtepIp, limitMeans: () => limits.means() },
  });
  const { meters, limits, traffic } = openLimits(options, { holder, machine, panel, report, flows: () => flows });
  const flows = startFlowKeeper({
    ...{ ...options, holder, machine, meters },
    generation: settings.pipelineGeneration,
    listConnections: connectionsOf(driver, settings.ovsRunDirectory),
  });
  const connections = startConnectionLog({
    ...{ ...options, view: holder.view, attachments: machine.attachments },
    limits: settings.connectionLog,
    samples: options.metrics.connectionSamples,
  });
  const ports = openCloser({ driver, signal: options.signal, machine, panel, pool, records, report });
  const isNeeded = driver.datapathType === "netdev";
  const repairs = options.metrics.attachmentRepairs;
  const checksums = new ChecksumKeeper({ ...options, repairs, panel, ports: driver.ports, isNeeded });
  const attached = openAttachments(options, {
    ...{ checksums, holder, machine, panel, pool, flows, limits, records, marks, report },
    closePort: ports.close,
    leases: () => leases,
  });
  const known = new KnownLeases({ nodeName, holder, marksOf: (port) => marks.of(port) });
  const offers = new LeaseOffers({ ...options, holder, known });
  const parts = { holder, machine, flows, attached, known, offers, marks, closePort: ports.close };
  const leases: LeaseKeeper = openLeases(options, parts);
  const infra = openInfra(options, { holder, machine, leases, report });
  const { stack, foreignFlows } = openGuards(options);
  const panelName = new PanelName({ panel, name: settings.panelNetns, log });
  const tunnel = new TunnelAddress({ netlink: driver.netlink, vtepIp, missing: () => vtep.missing(), log });
  const reachability = createReachability();
  return {
    ...{ driver, holder, flows, leases, attached, checksums, infra, limits, traffic, connections, stack, foreignFlows },
    ...{ tunnel, vtep, offers, pool, panel, panelName, log, nodeName, vtepIp },
    ...{ client: options.client, netlink: driver.netlink, datapathType: driver.datapathType },
    cniFault: options.cniFault,
    ...reachability,
    ...faultsOfPodLimits(settings, limits),
    view: holder.view,
    attachments: machine.attachments,
    notReady: () => options.cniFault() ?? whyNotReady({ driver, reachability, view: holder.view() }),
    markPort: (portName, ofPort) => marks.begin(portName, ofPort),
    removePort: ({ portName }, podEnd) => ports.remove(portName, podEnd),
    lowerIfIndex: (portName) => lowerIfIndex(driver, panel, portName),
    [Symbol.asyncDispose]: async () => {
      await ports[Symbol.asyncDispose]();
      await pool[Symbol.asyncDispose]();
      for (const { ended } of [flows, attached.loop, checksums, infra, stack, foreignFlows, limits, traffic])
        await ended;
      panel[Symbol.dispose]();
    },
  };
}

/** The datapath's tracked connections, one zone at a time, as vswitchd lists them. */
function connectionsOf({ datapathType }: OpenOvsDriver, runDirectory: string) {
  return async function* (zone: number | undefined, signal: AbortSignal) {
    const socketPath = await findControlSocket(runDirectory);
    yield* streamConnections({ socketPath, datapathType, zone }, { signal });
  };
}

/** What an earlier run or another program left open is closed before a port is made or taken over. */
async function closeAtStart({ driver, log }: NodeRuntimeOptions): Promise<void> {
  const tables = await driver.guard.repairTables();
  const open = [...tables, ...(await driver.guard.repairLinks())];
  if (open.length > 0) log.info({ first: open[0], more: open.length - 1 }, "closed to this node's kernel");
}

/** What looks after others' deeds: in the kernel's stack, and in the switch's flows. */
function openGuards({ driver, log, signal, metrics }: NodeRuntimeOptions) {
  const stack = startStackKeeper({
    ...{ guard: driver.guard, log, signal },
    onRepair: (what, count) => metrics.stackRepairs.inc({ what }, count),
  });
  const foreignFlows = startForeignFlows({
    ...{ log, signal },
    connection: () => (driver.flowConnection.connected ? driver.flowConnection.connection() : undefined),
  });
  driver.onChange(({ resync }) => (resync ? foreignFlows.compare() : undefined));
  return { stack, foreignFlows };
}

/** Limits of each pod that the switch cannot keep. */
function faultsOfPodLimits(settings: NodeSettings, limits: NodeLimits) {
  const { newConnectionsPerSecond, neighbourMessagesPerSecond } = settings;
  const faultOf = (perSecond: number, what: string) => () => {
    if (perSecond === 0 || limits.means()?.meters !== false) return undefined;
    return `this switch has no meters, so pods may ${what}`;
  };
  return {
    connectionLimitFault: faultOf(newConnectionsPerSecond, "begin any number of connections per second"),
    neighbourLimitFault: faultOf(
      neighbourMessagesPerSecond,
      "send any number of ARP and neighbour discovery messages per second",
    ),
  };
}

interface LimitParts {
  readonly flows: () => FlowKeeper;
  readonly holder: ViewHolder;
  readonly machine: MachineView;
  readonly panel: Panel;
  readonly report: Report;
}

/** What limits the pods, the switch's meters among it, and what is measured of it. */
function openLimits(options: NodeRuntimeOptions, { flows, holder, machine, panel, report }: LimitParts) {
  const { driver, log, signal, metrics } = options;
  const { attachments } = machine;
  const meters = createMeterKeeper({
    connection: driver.flowConnection.connection,
    wanted: () => wantedMeters({ view: holder.view(), machine: machine.machine(), attachments: attachments() }),
  });
  const limits = openNodeLimits({
    ...{ driver, panel, meters, attachments, log, signal, report },
    view: holder.view,
    onRepair: () => metrics.limitRepairs.inc(),
  });
  holder.onStep((changes) => limits.keeper.onView(changes));
  const traffic = startTraffic({
    ...{ driver, limits, attachments, signal, report },
    onFlowsLost: () => flows().loop.kick({ full: true }),
  });
  return { meters, limits, traffic };
}

interface AttachmentParts {
  readonly checksums: ChecksumKeeper;
  readonly holder: ViewHolder;
  readonly machine: MachineView;
  readonly panel: Panel;
  readonly pool: PortPool;
  readonly flows: FlowKeeper;
  readonly limits: NodeLimits;
  readonly records: AttachmentRecords;
  readonly marks: PortMarks;
  readonly leases: () => LeaseKeeper;
  readonly closePort: (portName: string) => void;
  readonly report: Report;
}

function openAttachments(options: NodeRuntimeOptions, parts: AttachmentParts): AttachmentKeeper {
  const { driver, signal } = options;
  const { checksums, holder, machine, panel, pool, flows, limits, records, marks, closePort, report } = parts;
  const onPluggedIn = () => {
    flows.loop.kick({ full: true });
    limits.compare();
  };
  const { nodeName } = options.settings;
  const repairs = options.metrics.attachmentRepairs;
  const podEnds = new PodEndKeeper({
    ...{ ...options, repairs, nodeName, machine, panel, pool, records, closePort, onPluggedIn },
    ...{ netlink: driver.netlink, datapathType: driver.datapathType },
    view: holder.view,
    leases: parts.leases,
    hasRebooted: driver.hasRebooted,
    markPort: (portName, ofPort) => marks.begin(portName, ofPort),
  });
  const attached = startAttachmentKeeper({
    ...{ ...options, repairs, nodeName, machine, panel, pool, podEnds, records, closePort, onPluggedIn },
    onChangedLinks: (ifindexes) => checksums.onLinks(ifindexes),
    ports: driver.ports,
    netlink: driver.netlink,
    view: holder.view,
    leases: parts.leases,
    isConnected: () => driver.connected,
    mtuBytes: portMtuBytes(driver),
  });
  driver.onChange(({ resync }) => (resync ? attached.loop.kick() : attached.onPorts()));
  holder.onStep(() => attached.onView());
  for (const netns of [undefined, panel.netns]) void watchPodLinks({ attached, netns, signal, report });
  return attached;
}

interface LeaseParts {
  readonly holder: ViewHolder;
  readonly machine: MachineView;
  readonly flows: FlowKeeper;
  readonly attached: AttachmentKeeper;
  readonly known: KnownLeases;
  readonly offers: LeaseOffers;
  readonly marks: PortMarks;
  readonly closePort: (portName: string) => void;
}

/** A lease ends when flows and connections of it have gone. */
function openLeases(
  options: NodeRuntimeOptions,
  { holder, machine, flows, attached, known, offers, marks, closePort }: LeaseParts,
): LeaseKeeper {
  const { driver, log } = options;
  const { attachments } = machine;
  return createLeaseKeeper({
    ...{ ...options, holder, known, offers, closePort, attachments },
    repairs: options.metrics.leaseRepairs,
    marks: new LeaseMarks({ ports: driver.ports.read, known, attachments, write: (all) => marks.write(all), log }),
    nodeName: options.settings.nodeName,
    isKernelKnown: () => attached.knowsAll,
    enforced: async (caller) => {
      await flows.loop.done(caller);
      await flows.connections.settled(caller);
    },
  });
}

interface InfraParts {
  readonly holder: ViewHolder;
  readonly machine: MachineView;
  readonly leases: LeaseKeeper;
  readonly report: Report;
}

function openInfra({ driver, client, settings, log, signal }: NodeRuntimeOptions, parts: InfraParts): Infra {
  const { holder, machine, leases, report } = parts;
  const infra = startInfra({
    nodeName: settings.nodeName,
    ports: driver.ports,
    netlink: driver.netlink,
    client,
    view: holder.view,
    attachments: machine.attachments,
    isConnected: () => driver.connected,
    applyReply: holder.applyReply,
    endLease: leases.end,
    log,
    signal,
  });
  void watchInfraLinks({ infra, signal, report });
  holder.onStep(infra.onView);
  driver.onChange(({ resync, uplinks }) => (resync || uplinks ? infra.kick() : infra.onPorts()));
  return infra;
}

interface Readiness {
  readonly driver: OpenOvsDriver;
  readonly reachability: Reachability;
  readonly view: NodeView;
}

function whyNotReady({ driver, reachability, view }: Readiness): string | undefined {
  const fault = driver.fault();
  if (fault !== undefined) return fault;
  if (!reachability.isRegistered()) {
    return `This node is not registered with netmaster yet: ${reachability.netmasterAway() ?? "netmaster has not answered yet; see --netmaster-urls"}`;
  }
  if (!view.complete) return "The first complete view has not arrived from netmaster yet";
  return undefined;
}
