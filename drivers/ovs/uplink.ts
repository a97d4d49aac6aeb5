import { deadline } from "../../state/deadline.ts";
import { asNetError, NetError } from "../../state/errors.ts";
import { isErrno } from "../netlink/errno.ts";
import type { LinkRow } from "../netlink/link-row.ts";
import type { Message } from "../netlink/message.ts";
import type { SocketPool } from "../netlink/pool.ts";
import type { StackGuard } from "../stack-guard/guard.ts";
import { creation, removeBridge } from "./bridge.ts";
import { type BridgeRow, configure, findBridge, portsOf, type SwitchDatabase } from "./database.ts";
import { INTEGRATION_BRIDGE, NIC_KEY, patchNames, ROLE_KEY, uplinkBridgeName } from "./names.ts";
import { byUuid, insert, mutate, type Operation } from "./ovsdb-client/operations.ts";
import { named } from "./ovsdb-client/values.ts";
import { OWNER_MARK, type Uplink } from "./types.ts";
import { closeUplinkNic, openUplinkNic } from "./uplink-closing.ts";
import {
  DeviceState,
  findLink,
  hasDefaultRoute,
  lacking,
  NO_STATE,
  putState,
  raise,
  readDeviceState,
  takeState,
} from "./uplink-state.ts";

export interface UplinkSpec {
  /** Physical network alias. */
  readonly alias: string;
  readonly nic: string;
}

export interface UplinkOptions {
  readonly database: SwitchDatabase;
  readonly netlink: SocketPool;
  readonly guard: StackGuard;
  readonly datapathType: "system" | "netdev";
  /** May a NIC that carries the default route be taken over? */
  readonly allowDefaultRoute: boolean;
  /** Called after the addresses have moved; when it rejects the move is undone. */
  readonly verify?: ((signal: AbortSignal) => Promise<void>) | undefined;
  readonly signal: AbortSignal;
}

const CONFIGURE_TIMEOUT_MS = 15_000;
const DEVICE_TIMEOUT_MS = 10_000;
const DEVICE_POLL_MS = 20;
const VERIFY_TIMEOUT_MS = 15_000;
/** The NIC's addresses and routes, written down before anything moves, so that a crash in the middle can be repaired. */
const SAVED_STATE_KEY = "contiv-nic-state";

/**
 * Plugs a NIC into its uplink bridge and joins that to the integration bridge; the NIC's addresses and routes move to the
 * bridge's own port. Doing it again repairs what is missing. When a step or `verify` fails, everything is put back.
 */
export async function ensureUplink(spec: UplinkSpec, options: UplinkOptions): Promise<Uplink> {
  const nic = await findLink(options.netlink, spec.nic);
  if (nic === undefined) {
    throw new NetError(
      "NOT_FOUND",
      `NIC "${spec.nic}" of physical network "${spec.alias}" does not exist on this node`,
    );
  }
  const fresh = findBridge(options.database, uplinkBridgeName(spec.nic)) === undefined;
  try {
    if (fresh) await takeOver(nic, options);
    await settleAddresses(nic, options);
    await closeUplinkNic(nic, options);
    if (fresh) await verified(options);
  } catch (error) {
    if (fresh) await undoUplink(spec.nic, options);
    throw asNetError(error, `take over NIC "${spec.nic}"`);
  }
  return describe(spec, nic, options);
}

async function takeOver(nic: LinkRow, options: UplinkOptions): Promise<void> {
  const state = await readDeviceState(options.netlink, nic.ifindex);
  refuseDefaultRoute(nic, state, options);
  if (nic.masterIfindex !== undefined && nic.masterIfindex !== 0) {
    throw new NetError(
      "CONFLICT",
      `NIC "${nic.name}" already belongs to a ${nic.masterKind ?? "bridge"}; take it out first`,
    );
  }
  await configure(options.database, [...uplinkBridge(nic, state, options), ...patch(nic.name, options.database)], {
    signal: options.signal,
    timeoutMs: CONFIGURE_TIMEOUT_MS,
    deed: `plug NIC "${nic.name}" into bridge "${uplinkBridgeName(nic.name)}"`,
  });
}

function refuseDefaultRoute(nic: LinkRow, state: DeviceState, options: UplinkOptions): void {
  if (options.allowDefaultRoute || !hasDefaultRoute(state)) return;
  throw new NetError(
    "CONFLICT",
    `NIC "${nic.name}" carries this node's default route; add --allow-default-route-uplink to move it with its routes, or name another NIC`,
  );
}

function uplinkBridge(nic: LinkRow, state: DeviceState, options: UplinkOptions): readonly Operation[] {
  const name = uplinkBridgeName(nic.name);
  const externalIds = { [NIC_KEY]: nic.name, [SAVED_STATE_KEY]: JSON.stringify(state) };
  return [
    ...creation({
      name,
      datapathType: options.datapathType,
      failMode: "standalone",
      mac: nic.mac,
      mtuBytes: nic.mtuBytes,
      externalIds,
    }),
    insert("Interface", { name: nic.name }, { as: "nic_interface" }),
    insert(
      "Port",
      { name: nic.name, interfaces: [named("nic_interface")], external_ids: mark("nic") },
      { as: "nic_port" },
    ),
    mutate("Bridge", [["name", "==", name]], [["ports", "insert", [named("nic_port")]]]),
  ];
}

function patch(nic: string, database: SwitchDatabase): readonly Operation[] {
  const integration = findBridge(database, INTEGRATION_BRIDGE);
  if (integration === undefined) throw new NetError("UNAVAILABLE", `Bridge "${INTEGRATION_BRIDGE}" is missing`);
  const { onIntegration, onUplink } = patchNames(nic);
  const present = portsOf(database, integration).has(onIntegration);
  return [
    ...patchPort(onUplink, onIntegration, "patch_uplink"),
    mutate("Bridge", [["name", "==", uplinkBridgeName(nic)]], [["ports", "insert", [named("patch_uplink_port")]]]),
    ...(present ? [] : patchPort(onIntegration, onUplink, "patch_integration")),
    ...(present
      ? []
      : [mutate("Bridge", byUuid(integration.uuid), [["ports", "insert", [named("patch_integration_port")]]])]),
  ];
}

function patchPort(name: string, peer: string, as: string): readonly Operation[] {
  return [
    insert("Interface", { name, type: "patch", options: { peer } }, { as: `${as}_interface` }),
    insert("Port", { name, interfaces: [named(`${as}_interface`)], external_ids: mark("patch") }, { as: `${as}_port` }),
  ];
}

function mark(role: string): Record<string, string> {
  return { [OWNER_MARK.key]: OWNER_MARK.value, [ROLE_KEY]: role };
}

/**
 * Gives the bridge's own port what was written down and what the NIC still has, and takes it off the NIC. A userspace switch that
 * restarts makes that port anew and bare, so this runs after each of its restarts.
 */
async function settleAddresses(nic: LinkRow, options: UplinkOptions): Promise<void> {
  const name = uplinkBridgeName(nic.name);
  const device = await deviceOf(name, options);
  const wanted = savedState(findBridge(options.database, name));
  const onNic = await readDeviceState(options.netlink, nic.ifindex);
  await options.netlink.execute([raise(nic.ifindex), raise(device.ifindex)], options);
  await tolerant(options, takeState(nic.ifindex, onNic), ["ESRCH", "EADDRNOTAVAIL"]);
  const missing = lacking(wanted, await readDeviceState(options.netlink, device.ifindex));
  await options.netlink.execute(putState(device.ifindex, missing), options);
}

/** Removing an address removes its routes with it; that the kernel was faster is no failure. */
async function tolerant(
  options: UplinkOptions,
  messages: readonly Message[],
  errnos: readonly string[],
): Promise<void> {
  const outcomes = await options.netlink.use((socket) => socket.settle(messages, options), options);
  const failed = outcomes.find(({ error }) => error !== undefined && !isErrno(error, ...errnos));
  if (failed?.error !== undefined) throw failed.error;
}

/** The switch makes the device a moment after the database says so. */
async function deviceOf(bridge: string, options: UplinkOptions): Promise<LinkRow> {
  const deadline = Date.now() + DEVICE_TIMEOUT_MS;
  for (;;) {
    const device = await findLink(options.netlink, bridge);
    if (device !== undefined) return device;
    options.signal.throwIfAborted();
    if (Date.now() > deadline) {
      throw new NetError("TIMEOUT", `The switch has not made device "${bridge}" within ${DEVICE_TIMEOUT_MS} ms`);
    }
    await new Promise((resolve) => setTimeout(resolve, DEVICE_POLL_MS));
  }
}

function savedState(bridge: BridgeRow | undefined): DeviceState {
  const text = bridge?.external_ids.get(SAVED_STATE_KEY);
  return text === undefined ? NO_STATE : DeviceState.parse(JSON.parse(text));
}

async function verified(options: UplinkOptions): Promise<void> {
  if (options.verify === undefined) return;
  using limit = deadline(VERIFY_TIMEOUT_MS, options.signal);
  try {
    await options.verify(limit.signal);
  } catch (error) {
    throw asNetError(error, "reach netmaster over the uplink bridge; the move is undone", "UNAVAILABLE");
  }
}

/** Takes the NIC out of its bridge, removes the bridge and gives the NIC its addresses and routes back. */
export async function undoUplink(
  nicName: string,
  options: Pick<UplinkOptions, "database" | "netlink" | "guard">,
): Promise<void> {
  const name = uplinkBridgeName(nicName);
  const bridge = findBridge(options.database, name);
  const device = await findLink(options.netlink, name);
  const onDevice = device === undefined ? NO_STATE : await readDeviceState(options.netlink, device.ifindex);
  const saved = savedState(bridge);
  await removePatch(nicName, options.database);
  await removeBridge(options.database, name);
  const nic = await findLink(options.netlink, nicName);
  if (nic === undefined) return;
  await openUplinkNic(nic, bridge, options);
  const missing = lacking(
    saved.addresses.length > 0 ? saved : onDevice,
    await readDeviceState(options.netlink, nic.ifindex),
  );
  await options.netlink.execute([raise(nic.ifindex), ...putState(nic.ifindex, missing)]);
}

async function removePatch(nic: string, database: SwitchDatabase): Promise<void> {
  const integration = findBridge(database, INTEGRATION_BRIDGE);
  const port = portsOf(database, integration).get(patchNames(nic).onIntegration);
  if (integration === undefined || port === undefined) return;
  await database.transact([mutate("Bridge", byUuid(integration.uuid), [["ports", "delete", [port.uuid]]])]);
}

async function describe(spec: UplinkSpec, nic: LinkRow, options: UplinkOptions): Promise<Uplink> {
  const { database, signal } = options;
  const { onIntegration } = patchNames(spec.nic);
  const ofport = () => portsOf(database, findBridge(database, INTEGRATION_BRIDGE)).get(onIntegration)?.ofport;
  const deed = `plug in patch port "${onIntegration}"`;
  const patchOfport = await database.waitFor(ofport, { signal, timeoutMs: CONFIGURE_TIMEOUT_MS, deed });
  const bridge = findBridge(database, uplinkBridgeName(spec.nic));
  return {
    alias: spec.alias,
    nic: spec.nic,
    bridge: uplinkBridgeName(spec.nic),
    patchOfport,
    mtuBytes: nic.mtuBytes,
    addresses: savedState(bridge).addresses,
  };
}
