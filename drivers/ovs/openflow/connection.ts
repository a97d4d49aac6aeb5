import { NetError } from "../../../state/errors.ts";
import { type CallOptions, type Limit, limitOf } from "../../../state/waiting/limit.ts";
import { type BundleOptions, type OpenBundle, openBundle, runBundle, runMods } from "./bundle.ts";
import { putBytes, type Writer } from "./bytes.ts";
import { type Channel, createChannel, endChannel, post, takeXids } from "./channel.ts";
import { type CtFilter, putCtFlush } from "./ct-flush.ts";
import { barrier, multipart, request, tell, tellAll } from "./exchange.ts";
import type { Flow } from "./flow.ts";
import type { FlowCount } from "./flow-count.ts";
import type { FlowFilter, FlowMod, FlowStats } from "./flow-mod.ts";
import type { Group, GroupMod, GroupStats } from "./group.ts";
import { openSocket, shakeHands } from "./handshake.ts";
import { OFPT } from "./message.ts";
import type { Meter, MeterFeatures, MeterMod, MeterStats } from "./meter.ts";
import type { PackedFlow } from "./packed-flow.ts";
import type { PacketIn, PacketOut } from "./packet.ts";
import { NXT, putExperimenter, putPacketOut } from "./packet-codec.ts";
import { listenToPackets } from "./packet-in.ts";
import {
  flowCountsPart,
  flowStatsPart,
  flowsPart,
  groupStatsPart,
  groupsPart,
  meterFeaturesPart,
  meterStatsPart,
  metersPart,
  packedFlowsPart,
  portStatsPart,
  portsPart,
  tableCountsPart,
} from "./parts.ts";
import type { PortDescription, PortStats } from "./port.ts";
import { putPortOpening } from "./port-codec.ts";
import { type FragmentHandling, fragmentHandling, setFragmentHandling } from "./switch-config.ts";
import type { TableCount } from "./table-count.ts";
import type { Port } from "./values.ts";

export interface ConnectOptions extends CallOptions {
  /** Silence after which the switch is asked whether it lives; when it leaves three such questions open the connection ends. */
  readonly echoIntervalMs?: number;
}

/**
 * One OpenFlow 1.5 connection. Every call rejects with NetError: REJECTED with the switch's own error name, TIMEOUT, CLOSED
 * (closed here or aborted), UNAVAILABLE (the switch went away), PROTOCOL, INVALID (what was asked cannot be encoded).
 */
export interface SwitchConnection extends AsyncDisposable {
  /** Resolves when the connection is over: with the cause, or with undefined after `close`. */
  readonly closed: Promise<NetError | undefined>;
  close(): Promise<void>;
  /** All or nothing, in one step; the error names the message that was refused. */
  bundle(mods: readonly (FlowMod | GroupMod)[], options?: BundleOptions): Promise<void>;
  /** Begins a bundle to which messages are added as they become known; each of its waits has a limit of its own. */
  openBundle(options?: Omit<BundleOptions, keyof CallOptions>): OpenBundle;
  /** One by one, then a barrier: those not refused are applied, the first refused one is thrown. */
  sendMods(mods: readonly (FlowMod | GroupMod)[], options?: CallOptions): Promise<void>;
  /** Meters cannot be in bundles; otherwise as `sendMods`. */
  meterMods(mods: readonly MeterMod[], options?: CallOptions): Promise<void>;
  barrier(options?: CallOptions): Promise<void>;
  dumpFlows(filter?: FlowFilter, options?: CallOptions): Promise<Flow[]>;
  /** The same in packed form. */
  dumpPackedFlows(filter?: FlowFilter, options?: CallOptions): Promise<PackedFlow[]>;
  dumpFlowStats(filter?: FlowFilter, options?: CallOptions): Promise<FlowStats[]>;
  /** Counters of the flows that packets have met. */
  dumpFlowCounts(filter?: FlowFilter, options?: CallOptions): Promise<FlowCount[]>;
  /** How many flows each table has, others' included: one small answer, however many there are. */
  tableCounts(options?: CallOptions): Promise<TableCount[]>;
  dumpGroups(options?: CallOptions): Promise<Group[]>;
  groupStats(group?: number, options?: CallOptions): Promise<GroupStats[]>;
  dumpMeters(options?: CallOptions): Promise<Meter[]>;
  meterStats(meter?: number, options?: CallOptions): Promise<MeterStats[]>;
  meterFeatures(options?: CallOptions): Promise<MeterFeatures>;
  portDesc(port?: Port, options?: CallOptions): Promise<PortDescription[]>;
  portStats(port?: Port, options?: CallOptions): Promise<PortStats[]>;
  /** Takes back what was closed of ports. */
  openPorts(ports: readonly Pick<PortDescription, "port" | "mac">[], options?: CallOptions): Promise<void>;
  /** Forgets conntrack entries that a filter describes: all when it is empty. One barrier for any number of filters. */
  ctFlush(filters: CtFilter | readonly CtFilter[], options?: CallOptions): Promise<void>;
  /** Resolves once the switch has acted on it. */
  packetOut(packet: PacketOut, options?: CallOptions): Promise<void>;
  /** Lets a paused packet go on through the pipeline. */
  resume(packet: PacketIn, options?: CallOptions): Promise<void>;
  /** Calls the listener for every packet sent to the controller, once the promise resolves; the result ends that. */
  onPacketIn(listener: (packet: PacketIn) => void, options?: CallOptions): Promise<() => void>;
  /** What flows see in fragments: a setting of the bridge, which a switch that starts anew has lost. */
  setFragmentHandling(handling: FragmentHandling, options?: CallOptions): Promise<void>;
  fragmentHandling(options?: CallOptions): Promise<FragmentHandling>;
  /** Round trip to the switch and back. */
  echo(options?: CallOptions): Promise<void>;
}

const CONNECT_TIMEOUT_MS = 5_000;
const CALL_TIMEOUT_MS = 10_000;
/** A switch that has 20,000 flows to put in does not answer echoes meanwhile. */
const BULK_TIMEOUT_MS = 30_000;
const ECHO_INTERVAL_MS = 5_000;
const SILENT_INTERVALS = 3;

/** Connects to a bridge's management socket, `<rundir>/<bridge>.mgmt`. `signal` and `timeoutMs` bound the connecting only. */
export async function connectSwitch(socketPath: string, options: ConnectOptions = {}): Promise<SwitchConnection> {
  const limit = limitOf(`connect to the switch at ${socketPath}`, options, CONNECT_TIMEOUT_MS);
  const channel = createChannel(await openSocket(socketPath, limit), socketPath);
  try {
    await shakeHands(channel, limit);
  } catch (error) {
    endChannel(channel, error instanceof NetError ? error : undefined);
    throw error;
  }
  keepAlive(channel, options.echoIntervalMs ?? ECHO_INTERVAL_MS);
  return connectionOf(channel);
}

/**
 * Asks after silence, ends the connection when several questions stay open. Intervals are counted, not time: a process that was
 * stopped for a minute has heard nothing, but has not asked either. The timer does not keep the process alive.
 */
function keepAlive(channel: Channel, intervalMs: number): void {
  let heardAtMs = channel.heardAtMs;
  let unansweredCount = 0;
  const timer = setInterval(() => {
    const isHeard = channel.heardAtMs !== heardAtMs || channel.frames.queuedBytes > 0;
    heardAtMs = channel.heardAtMs;
    unansweredCount = isHeard ? 0 : unansweredCount + 1;
    if (unansweredCount > SILENT_INTERVALS) {
      const text = `Connection to ${channel.name} ended: the switch was silent for ${unansweredCount * intervalMs} ms`;
      endChannel(channel, new NetError("TIMEOUT", text));
    } else if (!isHeard) post(channel, OFPT.echoRequest, takeXids(channel, 1));
  }, intervalMs);
  timer.unref();
  void channel.closed.then(() => clearInterval(timer));
}

function connectionOf(channel: Channel): SwitchConnection {
  const close = async () => endChannel(channel, undefined);
  return {
    ...{ closed: channel.closed, close, [Symbol.asyncDispose]: close },
    ...callsOfFlows(channel),
    ...callsOfState(channel),
  };
}

function within(doing: string, options: CallOptions = {}, timeoutMs = CALL_TIMEOUT_MS): Limit {
  return limitOf(doing, options, timeoutMs);
}

/** Flows, groups and meters. */
function callsOfFlows(channel: Channel) {
  const { name } = channel;
  return {
    bundle: (mods, options = {}) => {
      const limit = within(`apply a bundle of ${mods.length} changes to ${name}`, options, BULK_TIMEOUT_MS);
      return runBundle(channel, mods, options, limit);
    },
    openBundle: (options) => openBundle(channel, options),
    sendMods: (mods, options) =>
      runMods(channel, mods, within(`apply ${mods.length} changes to ${name}`, options, BULK_TIMEOUT_MS)),
    meterMods: (mods, options) =>
      runMods(channel, mods, within(`apply ${mods.length} meter changes to ${name}`, options)),
    barrier: (options) => barrier(channel, within(`pass a barrier at ${name}`, options, BULK_TIMEOUT_MS)),
    dumpFlows: (filter = {}, options) =>
      multipart(channel, flowsPart(filter), within(`list flows of ${name}`, options, BULK_TIMEOUT_MS)),
    dumpPackedFlows: (filter = {}, options) =>
      multipart(channel, packedFlowsPart(filter), within(`list flows of ${name}`, options, BULK_TIMEOUT_MS)),
    dumpFlowStats: (filter = {}, options) =>
      multipart(channel, flowStatsPart(filter), within(`count flows of ${name}`, options, BULK_TIMEOUT_MS)),
    dumpFlowCounts: async (filter = {}, options) => {
      const limit = within(`count flows of ${name}`, options, BULK_TIMEOUT_MS);
      const counts = await multipart(channel, flowCountsPart(filter), limit);
      return counts.filter((count) => count !== undefined);
    },
    tableCounts: (options) => multipart(channel, tableCountsPart(), within(`count the flows of ${name}`, options)),
    dumpGroups: (options) => multipart(channel, groupsPart(), within(`list groups of ${name}`, options)),
    groupStats: (group, options) =>
      multipart(channel, groupStatsPart(group), within(`read group counters of ${name}`, options)),
    dumpMeters: (options) => multipart(channel, metersPart(), within(`list meters of ${name}`, options)),
    meterStats: (meter, options) =>
      multipart(channel, meterStatsPart(meter), within(`read meter counters of ${name}`, options)),
    meterFeatures: (options) => meterFeatures(channel, within(`ask for meters of ${name}`, options)),
  } satisfies Partial<SwitchConnection>;
}

/** Ports, packets and what the switch is told beside its flows. */
function callsOfState(channel: Channel) {
  const { name } = channel;
  return {
    portDesc: (port, options) => multipart(channel, portsPart(port), within(`list ports of ${name}`, options)),
    portStats: (port, options) =>
      multipart(channel, portStatsPart(port), within(`read port counters of ${name}`, options)),
    openPorts: (ports, options) => {
      const puts = ports.map((port) => (out: Writer) => putPortOpening(out, port));
      return tellAll(channel, OFPT.portMod, puts, within(`open ports of ${name}`, options));
    },
    ctFlush: (filters, options) => {
      const limit = within(`flush connections of ${name}`, options);
      const puts = [filters].flat().map((filter) => (out: Writer) => putCtFlush(out, filter));
      return tellAll(channel, OFPT.experimenter, puts, limit);
    },
    packetOut: (packet, options) => {
      const limit = within(`send a packet through ${name}`, options);
      return tell(channel, OFPT.packetOut, (out) => putPacketOut(out, packet), limit);
    },
    resume: (packet, options) => resume(channel, packet, within(`resume a packet in ${name}`, options)),
    onPacketIn: (listener, options) => {
      const limit = within(`receive packets from ${name}`, options);
      return listenToPackets(channel, listener, limit);
    },
    setFragmentHandling: (handling, options) =>
      setFragmentHandling(channel, handling, within(`set the fragment handling of ${name}`, options)),
    fragmentHandling: (options) =>
      fragmentHandling(channel, within(`ask for the fragment handling of ${name}`, options)),
    echo: async (options) => {
      const limit = within(`hear an echo of ${name}`, options);
      await request(channel, { type: OFPT.echoRequest, replyType: OFPT.echoReply }, limit);
    },
  } satisfies Partial<SwitchConnection>;
}

async function meterFeatures(channel: Channel, limit: Limit): Promise<MeterFeatures> {
  const [features] = await multipart(channel, meterFeaturesPart(), limit);
  if (features === undefined) throw new NetError("PROTOCOL", `Cannot ${limit.doing}: the answer is empty`);
  return features;
}

/** The switch takes back the packet-in's own properties (nicira-ext.h, NXT_RESUME). */
async function resume(channel: Channel, packet: PacketIn, limit: Limit): Promise<void> {
  const { continuation } = packet;
  if (continuation === undefined) throw new NetError("INVALID", `Cannot ${limit.doing}: it is not paused`);
  const put = (out: Writer) => {
    putExperimenter(out, NXT.resume);
    putBytes(out, continuation);
  };
  await tell(channel, OFPT.experimenter, put, limit);
}
