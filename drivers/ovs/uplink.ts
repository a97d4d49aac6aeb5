import { deadline } from "../../state/deadline.ts";
import { asNetError, NetError } from "../../state/errors.ts";
import { isErrno } from "../netlink/errno.ts";
import type { LinkRow } from "../netlink/link-row.ts";
import type { Message } from "../netlink/message.ts";
import type { SocketPool } from "../netlink/pool.ts";
import type { StackGuard } from "../stack-guard/guard.ts";
import { creation, removeBridge } from "./bridge.ts";
import { configure, findBridge, portsOf, rootRow, type SwitchDatabase } from "./database.ts";
import { INTEGRATION_BRIDGE, patchNames, uplinkBridgeName } from "./names.ts";
import { byUuid, mutate, type Operation } from "./ovsdb-client/operations.ts";
import type { Uplink } from "./types.ts";
import { addition, uplinkBridgeSpec, uplinkRepairs } from "./uplink-bridge.ts";
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
/** linux/if.h */
const IFF_LOOPBACK = 0x8;
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
    else await repairBridge(nic.name, options);
    await settleAddresses(nic, options);
    await closeUplinkNic(nic, options);
    if (fresh) await verified(options);
  } catch (error) {
    if (fresh) await undoUplink(spec.nic, options);
    throw asNetError(error, `take over NIC "${spec.nic}"`);
  }
  return describe(spec, nic, options);
}

/** Puts right what somebody changed in the bridge; the copy of what is remembered is kept up, for bridges made by earlier releases. */
async function repairBridge(nic: string, options: UplinkOptions): Promise<void> {
  const { database, signal } = options;
  const { operations } = uplinkRepairs(nic, database);
  const all = [...operations, ...remember(nic, savedState(nic, database), database)];
  if (all.length === 0) return;
  await configure(database, all, {
    signal,
    timeoutMs: CONFIGURE_TIMEOUT_MS,
    deed: `repair the bridge of NIC "${nic}"`,
  });
}

async function takeOver(nic: LinkRow, options: UplinkOptions): Promise<void> {
  const onNic = await readDeviceState(options.netlink, nic.ifindex);
  refuseDefaultRoute(nic, onNic, options);
  refuseUnfit(nic);
  if (nic.masterIfindex !== undefined && nic.masterIfindex !== 0) {
    throw new NetError(
      "CONFLICT",
      `NIC "${nic.name}" already belongs to a ${nic.masterKind ?? "bridge"}; take it out first`,
    );
  }
  const state = onNic.addresses.length > 0 ? onNic : (remembered(nic.name, options.database) ?? onNic);
  await configure(options.database, uplinkBridge(nic, state, options), {
    signal: options.signal,
    timeoutMs: CONFIGURE_TIMEOUT_MS,
    deed: `plug NIC "${nic.name}" into bridge "${uplinkBridgeName(nic.name)}"`,
  });
}

/** Loopback, bridges and ports of the switch carry no VLANs of a network to other nodes. */
function refuseUnfit({ name, kind, flags }: LinkRow): void {
  if ((flags & IFF_LOOPBACK) === 0 && kind !== "bridge" && kind !== "openvswitch") return;
  const what = (flags & IFF_LOOPBACK) !== 0 ? "the loopback interface" : `a device of kind ${kind}`;
  throw new NetError("INVALID", `"${name}" is ${what} and cannot be an uplink; name a NIC, a bond or a veth`);
}

function refuseDefaultRoute(nic: LinkRow, state: DeviceState, options: UplinkOptions): void {
  if (options.allowDefaultRoute || !hasDefaultRoute(state)) return;
  throw new NetError(
    "CONFLICT",
    `NIC "${nic.name}" carries this node's default route; add --allow-default-route-uplink to move it with its routes, or name another NIC`,
  );
}

/** A bridge that is made anew while the NIC is bare stands in for one that was deleted: what was remembered of the NIC still holds. */
function uplinkBridge(nic: LinkRow, state: DeviceState, options: UplinkOptions): readonly Operation[] {
  const { database, datapathType } = options;
  if (findBridge(database, INTEGRATION_BRIDGE) === undefined) {
    throw new NetError("UNAVAILABLE", `Bridge "${INTEGRATION_BRIDGE}" is missing`);
  }
  const spec = uplinkBridgeSpec(nic.name, datapathType);
  const externalIds = { ...spec.externalIds, [SAVED_STATE_KEY]: JSON.stringify(state) };
  const { onIntegration, onUplink } = patchNames(nic.name);
  const present = portsOf(database, findBridge(database, INTEGRATION_BRIDGE)).has(onIntegration);
  return [
    ...creation({ ...spec, mac: nic.mac, mtuBytes: nic.mtuBytes, externalIds }),
    ...addition({ name: nic.name, role: "nic" }, spec.name),
    ...addition({ name: onUplink, role: "patch", peer: onIntegration }, spec.name),
    ...(present ? [] : addition({ name: onIntegration, role: "patch", peer: onUplink }, INTEGRATION_BRIDGE)),
    ...remember(nic.name, state, database),
  ];
}

/**
 * Gives the bridge's own port what was written down and what the NIC still has, and takes it off the NIC. A userspace switch that
 * restarts makes that port anew and bare, so this runs after each of its restarts.
 */
async function settleAddresses(nic: LinkRow, options: UplinkOptions): Promise<void> {
  const name = uplinkBridgeName(nic.name);
  const device = await deviceOf(name, options);
  const wanted = savedState(nic.name, options.database);
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

/** What was written down of a NIC: in its bridge, and in the root row for the case that somebody deletes the bridge. */
function savedState(nic: string, database: SwitchDatabase): DeviceState {
  const bridge = findBridge(database, uplinkBridgeName(nic));
  const text = bridge?.external_ids.get(SAVED_STATE_KEY);
  return text === undefined ? (remembered(nic, database) ?? NO_STATE) : DeviceState.parse(JSON.parse(text));
}

function remembered(nic: string, database: SwitchDatabase): DeviceState | undefined {
  const text = rootRow(database).external_ids.get(`${SAVED_STATE_KEY}:${nic}`);
  return text === undefined ? undefined : DeviceState.parse(JSON.parse(text));
}

/** Operations that write down a NIC's state where deleting its bridge does not reach; undefined forgets it. */
function remember(nic: string, state: DeviceState | undefined, database: SwitchDatabase): readonly Operation[] {
  const key = `${SAVED_STATE_KEY}:${nic}`;
  const ids = new Map(rootRow(database).external_ids);
  const text = state === undefined ? undefined : JSON.stringify(state);
  if (ids.get(key) === text) return [];
  const removal = ids.has(key) ? [["external_ids", "delete", { [key]: ids.get(key) ?? "" }] as const] : [];
  const addition = text === undefined ? [] : [["external_ids", "insert", { [key]: text }] as const];
  return [mutate("Open_vSwitch", [], [...removal, ...addition])];
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
  const saved = savedState(nicName, options.database);
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
  const forgetting = remember(nicName, undefined, options.database);
  if (forgetting.length > 0) await options.database.transact(forgetting);
}

async function removePatch(nic: string, database: SwitchDatabase): Promise<void> {
  const integration = findBridge(database, INTEGRATION_BRIDGE);
  const port = portsOf(database, integration).get(patchNames(nic).onIntegration);
  if (integration === undefined || port === undefined) return;
  await database.transact([mutate("Bridge", byUuid(integration.uuid), [["ports", "delete", [port.uuid]]])]);
}

/** Without carrier a NIC loses what is sent; the switch does not say so. */
function warningOf({ name, operState }: LinkRow): string | undefined {
  if (operState !== "down" && operState !== "lowerlayerdown") return undefined;
  return `NIC "${name}" has no carrier (state ${operState}): nothing leaves this node there; see cable and switch port`;
}

async function describe(spec: UplinkSpec, nic: LinkRow, options: UplinkOptions): Promise<Uplink> {
  const { database, signal } = options;
  const { onIntegration } = patchNames(spec.nic);
  const ofport = () => portsOf(database, findBridge(database, INTEGRATION_BRIDGE)).get(onIntegration)?.ofport;
  const deed = `plug in patch port "${onIntegration}"`;
  const patchOfport = await database.waitFor(ofport, { signal, timeoutMs: CONFIGURE_TIMEOUT_MS, deed });
  return {
    alias: spec.alias,
    nic: spec.nic,
    bridge: uplinkBridgeName(spec.nic),
    patchOfport,
    mtuBytes: nic.mtuBytes,
    addresses: savedState(spec.nic, database).addresses,
    warning: warningOf(nic),
  };
}
