import type { Logger } from "pino";
import type { NetworkDriver } from "../../drivers/driver.ts";
import { streamConnections } from "../../drivers/ovs/conntrack.ts";
import { findControlSocket } from "../../drivers/ovs/control-socket.ts";
import { TUNNEL_PORT } from "../../drivers/ovs/names.ts";
import { limitSurroundings, OvsNetworkDriver, portMtuBytes } from "../../drivers/ovs/pod-ports/network-driver.ts";
import { openPanel, type Panel } from "../../drivers/ovs/pod-ports/panel.ts";
import type { OpenOvsDriver } from "../../drivers/ovs/switch.ts";
import type { Certificates } from "../../state/certificates.ts";
import type { DriverName } from "../../state/driver-name.ts";
import type { NetError } from "../../state/errors.ts";
import type { AttachingNode } from "../attach/attaching-node.ts";
import { UnfinishedCalls, unfinishedDirectoryOf } from "../attach/unfinished-calls.ts";
import { wantedMeters } from "../desired/flow-set/wanted-meters.ts";
import { attachmentFromMarks, leaseOf } from "../machine/attachment.ts";
import { AttachmentRecords, recordsDirectoryOf } from "../machine/attachment-records.ts";
import { EndedLeases, endedDirectoryOf } from "../machine/ended-leases.ts";
import { aliasesOf } from "../machine/link-alias.ts";
import { createMachineView, type MachineView, type SwitchFacts } from "../machine/machine-view.ts";
import { PortMarks } from "../machine/port-marks.ts";
import type { NodeClient } from "../node-client/node-client.ts";
import { type AttachmentKeeper, startAttachmentKeeper } from "../reconcile/attachments/attachment-keeper.ts";
import { ChecksumKeeper } from "../reconcile/attachments/checksum-keeper.ts";
import { PodEndKeeper } from "../reconcile/attachments/pod-end-keeper.ts";
import { watchPodLinks } from "../reconcile/attachments/watch-pod-links.ts";
import { PanelName } from "../reconcile/base/panel-name.ts";
import { startStackKeeper } from "../reconcile/base/stack-keeper.ts";
import { TunnelAddress } from "../reconcile/base/tunnel-address.ts";
import { VtepAddress } from "../reconcile/base/vtep-address.ts";
import { type FlowKeeper, startFlowKeeper } from "../reconcile/flows/flow-keeper.ts";
import { startForeignFlows } from "../reconcile/flows/foreign-flows.ts";
import { createMeterKeeper } from "../reconcile/flows/meters.ts";
import { type Infra, startInfra } from "../reconcile/infra/infra.ts";
import { watchInfraLinks } from "../reconcile/infra/watch-links.ts";
import { KnownLeases } from "../reconcile/leases/known-leases.ts";
import { createLeaseKeeper, type LeaseKeeper } from "../reconcile/leases/lease-keeper.ts";
import { LeaseMarks } from "../reconcile/leases/lease-marks.ts";
import { LeaseOffers } from "../reconcile/leases/lease-offers.ts";
import { type NodeLimits, openNodeLimits } from "../reconcile/limits/node-limits.ts";
import { startConnectionLog } from "../report/connection-log/start.ts";
import { LastingFailures } from "../report/lasting-failures.ts";
import type { Metrics } from "../report/metrics/metrics.ts";
import type { Reachability } from "../report/reachability.ts";
import type { NodeReadiness } from "../report/readiness.ts";
import type { ToldNode } from "../report/told-node.ts";
import { startTraffic } from "../report/traffic/start.ts";
import type { NodeSettings } from "../settings.ts";
import { createViewHolder, type ViewHolder } from "../view/view-holder.ts";

export interface NodeOptions {
  readonly ovs: OpenOvsDriver;
  readonly client: NodeClient;
  readonly settings: NodeSettings;
  readonly metrics: Metrics;
  /** What this process knows of netmaster's ear; the presence writes it. */
  readonly reachability: Reachability;
  readonly readiness: NodeReadiness;
  readonly certificates: Certificates;
  /** Why runtimes cannot reach this process; undefined when they can. */
  readonly cniFault: () => string | undefined;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** The parts of a node, put together. */
export interface Node extends AsyncDisposable {
  /** For whoever attaches and detaches pods. */
  readonly attaching: AttachingNode;
  /** For whoever tells of the node. */
  readonly told: ToldNode;
  readonly panel: Panel;
  readonly base: BaseParts;
  readonly leases: LeaseKeeper;
  /** Each begins a comparison of what it keeps with the machine. */
  readonly comparisons: readonly (() => void)[];
}

/** What is looked at with the bridges. */
export interface BaseParts {
  readonly panelName: PanelName;
  readonly tunnel: TunnelAddress;
}

type Report = (error: NetError) => void;

/** Puts the parts of a node together: drivers, view, flows, limits, attachments, leases. */
export async function openNode(options: NodeOptions): Promise<Node> {
  const core = await openCore(options);
  const keepers = openKeepers(options, core);
  const { panel, network, flows, limits, traffic } = core;
  const { attached, checksums, infra, stack, foreignFlows, leases, panelName, tunnel } = keepers;
  return {
    ...{ panel, leases, base: { panelName, tunnel } },
    ...facesOf(options, core, keepers),
    comparisons: [
      () => flows.loop.kick({ full: true }),
      () => infra.kick(),
      () => attached.loop.kick(),
      () => checksums.compare(),
      () => limits.compare(),
      () => stack.compare(),
      () => foreignFlows.compare(),
    ],
    [Symbol.asyncDispose]: async () => {
      await network[Symbol.asyncDispose]();
      const all = [flows, attached.loop, checksums, infra, stack, foreignFlows, limits, traffic];
      for (const { ended } of all) await ended;
      panel[Symbol.dispose]();
    },
  };
}

type Core = Awaited<ReturnType<typeof openCore>>;
type Keepers = ReturnType<typeof openKeepers>;

/** What the others stand on: the drivers, what is known of the machine and of the store, limits and flows. */
async function openCore(options: NodeOptions) {
  const { ovs, settings, log, signal, metrics } = options;
  const report: Report = (error) => {
    const told = { code: error.code, error: error.message };
    // While the switch is away it has a line of its own.
    if (ovs.fault() !== undefined) log.debug(told, "A task on ports, limits or links failed");
    else log.warn(told, "A task on ports, limits or links failed");
  };
  await closeAtStart(options);
  const panel = await openPanel(settings.panelNetns);
  log.info({ panel: settings.panelNetns, podEnd: panel.podEnd }, "The network namespace for ready ports is set up");
  const records = new AttachmentRecords(recordsDirectoryOf(settings.cniSocketPath), log);
  const ended = new EndedLeases(endedDirectoryOf(settings.cniSocketPath), log);
  for (const attachment of records.all()) if (ended.has(leaseOf(attachment))) records.forget(attachment.portName);
  const marks = new PortMarks({ ports: ovs.ports, records });
  const network = await openNetwork(options, { panel, marks, report, onRelease: (port) => onRelease(port) });
  const onRelease = (portName: string) => {
    records.forget(portName);
    machine.forget(portName);
  };
  const drivers = new Map<DriverName, NetworkDriver>([[network.name, network]]);
  const holder = createViewHolder();
  const vtep = new VtepAddress({ driver: ovs, given: settings.vtepIp, netmasterUrls: settings.netmasterUrls });
  const { nodeName, newConnectionsPerSecond, neighbourMessagesPerSecond } = settings;
  const podLimits = { newConnectionsPerSecond, neighbourMessagesPerSecond };
  const machine = createMachineView({
    ...{ nodeName, ...podLimits, vtepIp: () => vtep.current(), limitMeans: () => limits.means() },
    ovs: switchFacts(ovs),
    drivers: [...drivers.values()],
    isEnded: (attachment) => ended.has(leaseOf(attachment)),
  });
  const { meters, limits, traffic } = openLimits(options, {
    holder,
    machine,
    network,
    panel,
    report,
    flows: () => flows,
  });
  const flows = startFlowKeeper({
    ...{ driver: ovs, holder, machine, meters, metrics, log, signal },
    generation: settings.pipelineGeneration,
    listConnections: connectionsOf(ovs, settings.ovsRunDirectory),
  });
  return {
    ...{ panel, records, ended, marks, network, drivers, holder, vtep, podLimits, machine },
    ...{ limits, traffic, flows, report },
  };
}

/** What keeps pods, leases and the rest as they should be. */
function openKeepers(options: NodeOptions, core: Core) {
  const { ovs, client, settings, log, signal, metrics } = options;
  const { panel, marks, ended, network, holder, vtep, machine, flows, report } = core;
  const { nodeName } = settings;
  const connections = startConnectionLog({
    ...{ driver: ovs, view: holder.view, attachments: machine.attachments, log, signal },
    limits: settings.connectionLog,
    samples: metrics.connectionSamples,
  });
  const isNeeded = ovs.datapathType === "netdev";
  const repairs = metrics.attachmentRepairs;
  const checksums = new ChecksumKeeper({ panel, ports: ovs.ports, isNeeded, repairs, log, signal });
  const attached = openAttachments(options, { ...core, checksums, leases: () => leases });
  const known = new KnownLeases({ nodeName, holder, marksOf: (port) => marks.of(port) });
  const offers = new LeaseOffers({ client, holder, known, log });
  const closePort = (portName: string) => network.release(portName);
  const leases: LeaseKeeper = openLeases(options, {
    holder,
    machine,
    flows,
    attached,
    known,
    offers,
    marks,
    ended,
    closePort,
  });
  const infra = openInfra(options, { holder, machine, leases, report });
  const panelName = new PanelName({ panel, name: settings.panelNetns, log });
  const tunnel = new TunnelAddress({
    ...{ netlink: ovs.netlink, log },
    vtepIp: () => vtep.current(),
    missing: () => vtep.missing(),
  });
  return { connections, checksums, attached, offers, leases, infra, panelName, tunnel, ...openGuards(options) };
}

/** What is shown to those who attach, and to those who tell. */
function facesOf(options: NodeOptions, core: Core, keepers: Keepers): Pick<Node, "attaching" | "told"> {
  const { ovs, client, settings, log, reachability, readiness, certificates, cniFault } = options;
  const { network, drivers, holder, vtep, podLimits, machine, limits, traffic, flows } = core;
  const { connections, attached, offers, leases, infra, stack, foreignFlows, panelName, tunnel } = keepers;
  const shared = {
    ...{ nodeName: settings.nodeName, log, client, drivers, holder, flows },
    view: holder.view,
    attachments: machine.attachments,
    readiness,
  };
  return {
    attaching: {
      ...{ ...shared, stack, leases, limits: limits.keeper, datapathType: ovs.datapathType },
      unfinished: new UnfinishedCalls(unfinishedDirectoryOf(settings.cniSocketPath), log),
      knowsAll: async (signal) => {
        if (!attached.knowsAll) await attached.loop.done(signal).catch(() => signal.throwIfAborted());
        return attached.knowsAll;
      },
    },
    told: {
      ...{ ...shared, ovs, offers, attached, infra, limits, traffic, connections, foreignFlows },
      ...{ panelName, tunnel, vtep, reachability, certificates, podLimits, cniFault },
      lasting: new LastingFailures(),
      readyPorts: () => network.pool.size,
    },
  };
}

interface NetworkParts {
  readonly panel: Panel;
  readonly marks: PortMarks;
  readonly report: Report;
  readonly onRelease: (portName: string) => void;
}

function openNetwork({ ovs, settings, signal }: NodeOptions, { panel, marks, report, onRelease }: NetworkParts) {
  return OvsNetworkDriver.open({
    ...{ ovs, panel, signal, report, onRelease },
    readyPortCount: settings.readyPorts,
    mark: (portName, ofPort) => marks.begin(portName, ofPort),
    aliasOf: (ofPort) => {
      const facts = attachmentFromMarks({ name: "", ofport: undefined, externalIds: ofPort });
      return facts === undefined ? undefined : aliasesOf(facts)?.far;
    },
  });
}

function switchFacts(ovs: OpenOvsDriver): SwitchFacts {
  return {
    ...{ datapathType: ovs.datapathType, ports: ovs.ports },
    uplinks: () => ovs.uplinks(),
    tunnelOfport: () => ovs.ports.read().get(TUNNEL_PORT)?.ofport,
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
async function closeAtStart({ ovs, log }: NodeOptions): Promise<void> {
  const tables = await ovs.guard.repairTables();
  const open = [...tables, ...(await ovs.guard.repairLinks())];
  if (open.length > 0)
    log.info(
      { first: open[0], more: open.length - 1 },
      "Links and tables that were open to this node's kernel are closed to it",
    );
}

/** What looks after others' deeds: in the kernel's stack, and in the switch's flows. */
function openGuards({ ovs, log, signal, metrics }: NodeOptions) {
  const stack = startStackKeeper({
    ...{ guard: ovs.guard, log, signal },
    onRepair: (what, count) => metrics.stackRepairs.inc({ what }, count),
  });
  const foreignFlows = startForeignFlows({
    ...{ log, signal },
    connection: () => (ovs.flowConnection.connected ? ovs.flowConnection.connection() : undefined),
  });
  ovs.onChange(({ resync }) => (resync ? foreignFlows.compare() : undefined));
  return { stack, foreignFlows };
}

interface LimitParts {
  readonly flows: () => FlowKeeper;
  readonly holder: ViewHolder;
  readonly machine: MachineView;
  readonly network: OvsNetworkDriver;
  readonly panel: Panel;
  readonly report: Report;
}

/** What limits the pods, the switch's meters among it, and what is measured of it. */
function openLimits(options: NodeOptions, { flows, holder, machine, network, panel, report }: LimitParts) {
  const limiter = network.limits;
  const { ovs, log, signal, metrics } = options;
  const { attachments } = machine;
  const meters = createMeterKeeper({
    connection: ovs.flowConnection.connection,
    wanted: () => wantedMeters({ view: holder.view(), machine: machine.machine(), attachments: attachments() }),
  });
  const limits = openNodeLimits({
    ...{ limiter, meters, attachments, log, signal, report },
    onChange: (listener) => ovs.onChange(listener),
    isConnected: () => ovs.connected,
    surroundings: () => limitSurroundings(ovs, panel),
    view: holder.view,
    onRepair: () => metrics.limitRepairs.inc(),
  });
  holder.onStep((changes) => limits.keeper.onView(changes));
  const traffic = startTraffic({
    ...{ driver: ovs, limiter, limits, attachments, signal, report },
    onFlowsLost: () => flows().loop.kick({ full: true }),
  });
  return { meters, limits, traffic };
}

interface AttachmentParts {
  readonly checksums: ChecksumKeeper;
  readonly holder: ViewHolder;
  readonly machine: MachineView;
  readonly panel: Panel;
  readonly network: OvsNetworkDriver;
  readonly flows: FlowKeeper;
  readonly limits: NodeLimits;
  readonly records: AttachmentRecords;
  readonly ended: EndedLeases;
  readonly leases: () => LeaseKeeper;
  readonly report: Report;
}

function openAttachments(options: NodeOptions, parts: AttachmentParts): AttachmentKeeper {
  const { ovs, signal } = options;
  const { checksums, holder, machine, panel, network, flows, limits, records, ended, report } = parts;
  const onPluggedIn = () => {
    flows.loop.kick({ full: true });
    limits.compare();
  };
  const { nodeName } = options.settings;
  const repairs = options.metrics.attachmentRepairs;
  const podEnds = new PodEndKeeper({
    ...{ ...options, repairs, nodeName, machine, panel, network, records, onPluggedIn },
    ...{ netlink: ovs.netlink, datapathType: ovs.datapathType },
    view: holder.view,
    leases: parts.leases,
    hasRebooted: ovs.hasRebooted,
  });
  const attached = startAttachmentKeeper({
    ...{ ...options, repairs, nodeName, machine, panel, podEnds, records, ended, onPluggedIn },
    pool: network.pool,
    closePort: (portName) => network.release(portName),
    isReleasing: (portName) => network.isReleasing(portName),
    onChangedLinks: (ifindexes) => checksums.onLinks(ifindexes),
    ports: ovs.ports,
    netlink: ovs.netlink,
    view: holder.view,
    leases: parts.leases,
    isConnected: () => ovs.connected,
    mtuBytes: portMtuBytes(ovs),
  });
  ovs.onChange(({ resync }) => (resync ? attached.loop.kick() : attached.onPorts()));
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
  readonly ended: EndedLeases;
  readonly closePort: (portName: string) => void;
}

/** A lease ends when flows and connections of it have gone. */
function openLeases(
  options: NodeOptions,
  { holder, machine, flows, attached, known, offers, marks, ended, closePort }: LeaseParts,
): LeaseKeeper {
  const { ovs, log } = options;
  const { attachments } = machine;
  return createLeaseKeeper({
    ...{ ...options, holder, known, offers, ended, closePort, attachments },
    repairs: options.metrics.leaseRepairs,
    marks: new LeaseMarks({ ports: ovs.ports.read, known, attachments, write: (all) => marks.write(all), log }),
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

function openInfra({ ovs, client, settings, log, signal }: NodeOptions, parts: InfraParts): Infra {
  const { holder, machine, leases, report } = parts;
  const infra = startInfra({
    nodeName: settings.nodeName,
    ports: ovs.ports,
    netlink: ovs.netlink,
    client,
    view: holder.view,
    attachments: machine.attachments,
    isConnected: () => ovs.connected,
    applyReply: holder.applyReply,
    endLease: leases.end,
    log,
    signal,
  });
  void watchInfraLinks({ infra, signal, report });
  holder.onStep(infra.onView);
  ovs.onChange(({ resync, uplinks }) => (resync || uplinks ? infra.kick() : infra.onPorts()));
  return infra;
}
