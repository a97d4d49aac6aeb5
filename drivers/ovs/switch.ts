import { asNetError, type NetError } from "../../state/errors.ts";
import { pause } from "../../state/waiting/pause.ts";
import { dumpAddresses } from "../netlink/address.ts";
import { dumpLinks } from "../netlink/link.ts";
import { createLinkDeleter } from "../netlink/link-deleter.ts";
import { openLinkMonitor } from "../netlink/link-monitor.ts";
import type { NetnsHandle } from "../netlink/netns.ts";
import { openSocketPool, type SocketPool } from "../netlink/pool.ts";
import type { StackGuard } from "../stack-guard/guard.ts";
import {
  chosenDatapath,
  ensureIntegration,
  foreignMirrors,
  integrationBridge,
  integrationFaults,
  isOfEarlierBoot,
  switchFault,
} from "./base.ts";
import { removeBridge } from "./bridge.ts";
import { findBridge, openDatabase, ownBridges, rootRow, type SwitchDatabase } from "./database.ts";
import { createFlowCache, type FlowCache } from "./flow-cache.ts";
import { FlowRestoreWait } from "./flow-restore.ts";
import { type FlowConnection, openFlowConnection } from "./flows.ts";
import { INTEGRATION_BRIDGE, NIC_KEY, patchNames, uplinkBridgeName } from "./names.ts";
import type { ReplicaChange } from "./ovsdb-client/replica.ts";
import { removePanel } from "./pod-ports/panel.ts";
import { isOurAlias } from "./pod-ports/port-pool.ts";
import { createPortDriver } from "./ports.ts";
import { type GuardParts, openGuard } from "./switch-guard.ts";
import { repairSwitchState } from "./switch-state.ts";
import type { DriverChange, OvsDriver, Uplink } from "./types.ts";
import { LeftOverUplinks } from "./uplinks/left-over.ts";
import { undoUplink } from "./uplinks/undo.ts";
import { ensureUplink, nothingSeen, type UplinkOptions, type UplinkSpec } from "./uplinks/uplink.ts";
import { uplinkRepairs } from "./uplinks/uplink-bridge.ts";
import { NO_TUNNELS } from "./uplinks/uplink-closing.ts";
import { recoverMemory } from "./uplinks/uplink-recovery.ts";

export interface OvsDriverOptions {
  /** The switch's run directory, with `db.sock` and the bridges' management sockets. */
  readonly runDirectory: string;
  /** `auto`: the kernel's when its module is loaded, the userspace one otherwise. */
  readonly datapath: "auto" | "system" | "netdev";
  readonly uplinks: readonly UplinkSpec[];
  readonly allowDefaultRouteUplink: boolean;
  /** UDP port of the tunnels; 4789 is VXLAN's (RFC 7348 §5). */
  readonly vxlanUdpPort: number;
  /** Flows whose cookie agrees in these bits are ours. */
  readonly cookie: bigint;
  readonly cookieMask: bigint;
  /** Does this node still reach what it needs after its addresses have moved? */
  readonly verifyUplink?: (signal: AbortSignal) => Promise<void>;
  /** The switch's network namespace; this process's own when absent. */
  readonly netns?: NetnsHandle | undefined;
  readonly signal: AbortSignal;
  /** How long its database may take to answer at first, in milliseconds; half a minute unless given. */
  readonly startTimeoutMs?: number;
  readonly report: (error: NetError) => void;
  /** Its database has answered for the first time. */
  readonly onDatabase?: () => void;
  /** Bridges or ports were not as they should be, and have been repaired: what was found. */
  readonly onRepair?: (found: readonly string[]) => void;
  /** Addresses, routes or NICs have been changed by somebody; the node goes along. */
  readonly onFollowed?: (changes: readonly string[]) => void;
  /** Somebody has set up what copies packets of our bridges; it is left alone. Told when it changes. */
  readonly onMirrors?: (mirrors: readonly string[]) => void;
}

/** The driver with what only the node agent's own parts use. */
export interface OpenOvsDriver extends OvsDriver {
  readonly flowConnection: FlowConnection;
  readonly flowCache: FlowCache;
  readonly netlink: SocketPool;
  /** Keeps what the switch reads from this node's kernel. */
  readonly guard: StackGuard;
  /** Makes or repairs bridges, tunnel port and uplinks; what fails is in `uplinkFailures`, the rest works. */
  ensureBase(): Promise<void>;
  /** Are bridges and ports in the switch's database as they should be, as far as it can be asked? */
  isBaseThere(): boolean;
  /** Has the host started anew since the ports in the switch's database were plugged in? */
  readonly hasRebooted: boolean;
}

const START_TIMEOUT_MS = 30_000;
/** Links are looked at no more often than this. */
const LINKS_SETTLE_MS = 1_000;

/** Opens the driver: integration bridge, tunnel port and uplinks are there when it resolves, or it says why not. */
export async function openOvsDriver(options: OvsDriverOptions): Promise<OpenOvsDriver> {
  const { signal, report } = options;
  const timeoutMs = options.startTimeoutMs ?? START_TIMEOUT_MS;
  const database = await openDatabase(options.runDirectory, { signal, report, timeoutMs });
  options.onDatabase?.();
  const netlink = openSocketPool({ netns: options.netns });
  try {
    return await openOn({ database, netlink }, options);
  } catch (error) {
    await database[Symbol.asyncDispose]();
    netlink[Symbol.dispose]();
    throw error;
  }
}

type Ground = Pick<GuardParts, "database" | "netlink">;

/** Makes what is missing, and begins to watch it; what it has opened itself goes with the signal, or when it is disposed of. */
async function openOn({ database, netlink }: Ground, options: OvsDriverOptions): Promise<OpenOvsDriver> {
  const { signal, report } = options;
  const before = findBridge(database, INTEGRATION_BRIDGE);
  const datapathType = chosenDatapath(options.datapath, { bridge: before });
  const spec = integrationBridge(datapathType);
  const hasRebooted = isOfEarlierBoot(before, spec);
  const ports = createPortDriver(database);
  const integration = { database, ports, spec, vxlanUdpPort: options.vxlanUdpPort };
  const guard = openGuard({ database, netlink, netns: options.netns, vxlanUdpPort: options.vxlanUdpPort });
  const uplinks = new Map<string, Uplink>();
  const uplinkFailures = new Map<string, NetError>();
  const seen = nothingSeen();
  const listeners = new Set<(change: DriverChange) => void>();
  const tell: Tell = (change) => {
    for (const listener of listeners) listener({ resync: false, uplinks: false, base: false, ...change });
  };

  const restoreWait = new FlowRestoreWait({
    ...{ database, signal },
    isConnected: () => isOpen && database.connected && flowConnection.connected,
    wake: () => tell({ base: true }),
  });
  const parts = { database, netlink, guard, datapathType };
  const leftOvers = new LeftOverUplinks({ ...parts, uplinks: options.uplinks });
  async function ensureBase(): Promise<void> {
    const found = [...baseFaults()];
    const changes: string[] = [];
    const notes = { note: (what: string) => found.push(what), follow: (what: string) => changes.push(what) };
    try {
      for (const what of await restoreWait.look()) found.push(what);
      await guard.keepTables();
      const memory = { database, netlink, states: seen.states, note: notes.note, signal };
      for (const { nic } of options.uplinks) await recoverMemory(nic, memory);
      await ensureIntegration(integration, { signal });
      for (const spec of options.uplinks) await bringUplink(spec, notes);
      await leftOvers.giveBackAsked(notes);
      for (const what of await repairState()) found.push(what);
    } finally {
      if (isOpen && found.length > 0) options.onRepair?.(found);
      if (isOpen && changes.length > 0) options.onFollowed?.(changes);
      tellMirrors();
    }
  }

  async function repairState(): Promise<readonly string[]> {
    if (!isOpen || !flowConnection.connected) return [];
    const state = { bridge: INTEGRATION_BRIDGE, fragments: ["nx-match"], ports: ownNames(), signal } as const;
    return await repairSwitchState(flowConnection.connection(), state);
  }

  /** Ports of the integration bridge that we have made. */
  function ownNames(): ReadonlySet<string> {
    return new Set([...ports.read().keys(), ...options.uplinks.map(({ nic }) => patchNames(nic).onIntegration)]);
  }

  let mirrors = "";
  function tellMirrors(): void {
    const found = foreignMirrors(
      database,
      options.uplinks.map(({ nic }) => nic),
    );
    if (found.length > 0 && found.join() !== mirrors) options.onMirrors?.(found);
    mirrors = found.join();
  }

  async function bringUplink(spec: UplinkSpec, notes: Pick<UplinkOptions, "note" | "follow">): Promise<void> {
    try {
      uplinks.set(spec.alias, await ensureUplink(spec, { ...parts, ...notes, seen, ...uplinkOptions(options) }));
      uplinkFailures.delete(spec.alias);
    } catch (error) {
      uplinks.delete(spec.alias);
      uplinkFailures.set(spec.alias, asNetError(error, `set up physical network "${spec.alias}"`));
    }
  }

  /** What is not as it should be of bridges and ports that were made; uplinks that failed are looked at with their devices. */
  function baseFaults(): readonly string[] {
    return [
      ...integrationFaults(integration),
      ...[...uplinks.values()].flatMap(({ nic }) => uplinkRepairs({ name: nic }, parts).found),
    ];
  }

  let isOpen = false;
  await ensureBase();
  isOpen = true;
  const flowConnection = openFlowConnection({
    socketPath: `${options.runDirectory}/${INTEGRATION_BRIDGE}.mgmt`,
    cookie: options.cookie,
    cookieMask: options.cookieMask,
    signal,
    report,
    onConnect: () => {
      restoreWait.restart();
      tell({ resync: true });
    },
  });
  const isBaseThere = () => baseFaults().length === 0;
  const isWell = () => isBaseThere() && restoreWait.fault() === undefined;
  const isAsked = () => leftOvers.isAsked();
  const stopWatching = watchChanges({ database, netlink, options, tell, isWell, isAsked });

  return {
    ports,
    flows: flowConnection,
    flowConnection,
    flowCache: createFlowCache({ runDirectory: options.runDirectory, datapathType, signal, report }),
    netlink,
    guard,
    datapathType,
    ensureBase,
    hasRebooted,
    get ovsVersion() {
      return rootRow(database).ovs_version ?? "unknown";
    },
    get connected() {
      return database.connected && flowConnection.connected;
    },
    fault: () => switchFault({ database, flowConnection, faults: baseFaults, held: () => restoreWait.fault() }),
    isBaseThere,
    uplinks: () => uplinks,
    uplinkFailures: () => uplinkFailures,
    leftOverUplinks: () => leftOvers.list(),
    onChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    [Symbol.asyncDispose]: async () => {
      stopWatching();
      restoreWait.restart();
      await flowConnection[Symbol.asyncDispose]();
      await database[Symbol.asyncDispose]();
      netlink[Symbol.dispose]();
    },
  };
}

function uplinkOptions(options: OvsDriverOptions) {
  return {
    allowDefaultRoute: options.allowDefaultRouteUplink,
    verify: options.verifyUplink,
    runDirectory: options.runDirectory,
    netns: options.netns,
    signal: options.signal,
  };
}

type Tell = (change: Partial<DriverChange>) => void;

interface WatchParts {
  readonly database: SwitchDatabase;
  readonly netlink: SocketPool;
  readonly options: OvsDriverOptions;
  readonly tell: Tell;
  readonly isWell: () => boolean;
  /** Does somebody want a NIC back? */
  readonly isAsked: () => boolean;
}

/** Database and link events both only say "look again". */
function watchChanges(parts: WatchParts): () => void {
  const { database, options, tell, isAsked } = parts;
  const isWell = baseWatch(parts);
  const stops = [
    database.onReconnect(() => tell({ resync: true })),
    database.onChange((change) => tell({ resync: change.resynchronised, base: !isWell(change), uplinks: isAsked() })),
  ];
  const closing = new AbortController();
  void watchUplinks(parts, AbortSignal.any([options.signal, closing.signal]));
  return () => {
    closing.abort();
    for (const stop of stops) stop();
  };
}

const TABLES_OF_BASE = ["Bridge", "Port", "Interface", "Mirror"];

/** Most changes are of the switch's progress in the root row: what was well before them still is. */
function baseWatch({ database, isWell }: WatchParts): (change: Pick<ReplicaChange, "rows">) => boolean {
  let wasWell = false;
  let ids: unknown;
  let config: unknown;
  return ({ rows }) => {
    const [root] = database.rows("Open_vSwitch").values();
    const isSameRoot = root?.external_ids === ids && root?.other_config === config;
    if (wasWell && isSameRoot && !TABLES_OF_BASE.some((table) => rows.has(table))) return true;
    wasWell = isWell();
    [ids, config] = [root?.external_ids, root?.other_config];
    return wasWell;
  };
}

/** Pods' links come and go all the time: they are looked at together, and only a change of an uplink's devices is told. */
async function watchUplinks({ netlink, options, tell }: WatchParts, signal: AbortSignal): Promise<void> {
  const devices = new Set(options.uplinks.flatMap(({ nic }) => [nic, uplinkBridgeName(nic)]));
  try {
    using monitor = openLinkMonitor({ withAddresses: true, netns: options.netns });
    let known = await summarise(netlink, devices);
    while (!signal.aborted) {
      await monitor.next({ signal });
      const now = await summarise(netlink, devices);
      if (now !== known) tell({ uplinks: true });
      known = now;
      await pause(LINKS_SETTLE_MS, signal);
    }
  } catch (error) {
    if (!signal.aborted) options.report(asNetError(error, "watch this node's links"));
  }
}

async function summarise(netlink: SocketPool, devices: ReadonlySet<string>): Promise<string> {
  const links = (await netlink.dump(dumpLinks())).filter((link) => devices.has(link.name));
  const ours = new Set(links.map((link) => link.ifindex));
  const addresses = (await netlink.dump(dumpAddresses())).filter((row) => ours.has(row.ifindex) && row.permanent);
  return JSON.stringify([
    links.map(({ ifindex, name, mac, mtuBytes, up, operState }) => [ifindex, name, mac, mtuBytes, up, operState]),
    addresses.map(({ ifindex, address, prefixLengthBits }) => [ifindex, address, prefixLengthBits]),
  ]);
}

export interface RemovalOptions {
  readonly runDirectory: string;
  readonly panelNetns: string;
  /** The switch's network namespace; this process's own when absent. */
  readonly netns?: NetnsHandle | undefined;
}

/** Takes a node out of service: every bridge and link of ours goes, and the NICs get their addresses back. */
export async function removeEverything({
  runDirectory,
  panelNetns,
  netns,
}: RemovalOptions): Promise<readonly string[]> {
  await using database = await openDatabase(runDirectory, { timeoutMs: START_TIMEOUT_MS });
  using netlink = openSocketPool({ netns });
  const guard = openGuard({ database, netlink, netns, vxlanUdpPort: NO_TUNNELS });
  const removed: string[] = [];
  for (const bridge of ownBridges(database)) {
    const nic = bridge.external_ids.get(NIC_KEY);
    if (nic === undefined) await removeBridge(database, bridge.name);
    else await undoUplink(nic, { database, netlink, guard });
    removed.push(bridge.name);
  }
  const links = (await netlink.dump(dumpLinks({ kind: "veth" }))).filter((link) => isOurAlias(link.alias));
  using deleter = createLinkDeleter({ netns });
  await deleter.deleteLinks(links.map((link) => link.ifindex));
  await guard.remove();
  await removePanel(panelNetns);
  return [...removed, ...links.map((link) => link.name)];
}
