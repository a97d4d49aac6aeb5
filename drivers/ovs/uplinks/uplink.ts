import { asNetError, NetError } from "../../../state/errors.ts";
import { deadline } from "../../../state/waiting/deadline.ts";
import { poll } from "../../../state/waiting/repeat.ts";
import { isErrno } from "../../netlink/errno.ts";
import type { LinkRow } from "../../netlink/link-row.ts";
import type { Message } from "../../netlink/message.ts";
import type { NetnsHandle } from "../../netlink/netns.ts";
import type { SocketPool } from "../../netlink/pool.ts";
import { writeSysctl } from "../../netlink/sysctl.ts";
import type { StackGuard } from "../../stack-guard/guard.ts";
import { creation } from "../bridge.ts";
import { configure, findBridge, portNamed, portsOf, type SwitchDatabase } from "../database.ts";
import { INTEGRATION_BRIDGE, patchNames, uplinkBridgeName } from "../names.ts";
import { type Operation, update } from "../ovsdb-client/operations.ts";
import type { Uplink } from "../types.ts";
import { type PutBack, putBackAgain, putBackWarning } from "./put-back.ts";
import { undoUplink } from "./undo.ts";
import { addition, uplinkBridgeSpec, uplinkRepairs } from "./uplink-bridge.ts";
import { compareDevice } from "./uplink-changes.ts";
import { closeUplinkNic } from "./uplink-closing.ts";
import { ensureForwarding, type ForwardingOptions } from "./uplink-forwarding.ts";
import { completeMemory, memoryOfNewBridge, rememberState, savedState, savedStateOrNone } from "./uplink-memory.ts";
import { missingNic, type SeenNics } from "./uplink-nic.ts";
import {
  type DeviceState,
  findLink,
  hasDefaultRoute,
  isEmptyState,
  joinedStates,
  lacking,
  putState,
  raise,
  readDeviceState,
  survivingState,
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
  /** The switch's network namespace; this process's own when absent. */
  readonly netns?: NetnsHandle | undefined;
  /** The switch's run directory, where the bridges' management sockets are. */
  readonly runDirectory: string;
  /** Something was not as it should be, and is being repaired. */
  readonly note: (found: string) => void;
  /** Something has been changed on purpose, and is followed. */
  readonly follow: (change: string) => void;
  /** What this process has seen of uplinks and their NICs; kept by the caller. */
  readonly seen: SeenUplinks;
  readonly signal: AbortSignal;
}

export interface SeenUplinks {
  readonly nics: SeenNics;
  /** NIC → what is remembered of it. */
  readonly states: Map<string, DeviceState>;
  /** NIC → what was put back last. */
  readonly putBack: Map<string, PutBack>;
}

export function nothingSeen(): SeenUplinks {
  return { nics: new Map(), states: new Map(), putBack: new Map() };
}

const CONFIGURE_TIMEOUT_MS = 15_000;
const DEVICE_TIMEOUT_MS = 10_000;
const DEVICE_POLL_MS = 20;
const VERIFY_TIMEOUT_MS = 15_000;
/** linux/if.h */
const IFF_LOOPBACK = 0x8;

/**
 * Plugs a NIC into its uplink bridge and joins that to the integration bridge; the NIC's addresses and routes move to the
 * bridge's own port. Doing it again repairs what is missing. When a step or `verify` fails, everything is put back.
 */
export async function ensureUplink(spec: UplinkSpec, options: UplinkOptions): Promise<Uplink> {
  const nic = await findLink(options.netlink, spec.nic);
  if (nic === undefined) throw await missingNic(spec, options);
  const fresh = findBridge(options.database, uplinkBridgeName(spec.nic)) === undefined;
  try {
    if (fresh) await takeOver(nic, options);
    else await repairBridge(nic, options);
    await settleAddresses(nic, options);
    await closeUplinkNic(nic, options);
    if (fresh) await verified(options);
  } catch (error) {
    if (fresh) await undoUplink(spec.nic, options);
    if (fresh) options.seen.states.delete(spec.nic); // the NIC has them again
    throw asNetError(error, `take over NIC "${spec.nic}"`);
  }
  await noteFacts(nic, options);
  return describe(spec, nic, options);
}

/** Puts right what somebody changed in the bridge, and writes again what is remembered where a copy of it is lost. */
async function repairBridge(nic: LinkRow, options: UplinkOptions): Promise<void> {
  const { database, signal, runDirectory, note } = options;
  const { operations } = uplinkRepairs(nic, options); // what they repair has been told by who asked for this
  const bridge = uplinkBridgeName(nic.name);
  const all = [...operations, ...(await mtuRepairs(nic, options)), ...completeMemory(nic.name, database)];
  const deed = `repair the bridge of NIC "${nic.name}"`;
  if (all.length > 0) await configure(database, all, { signal, timeoutMs: CONFIGURE_TIMEOUT_MS, deed });
  const ports = new Set([nic.name, bridge, patchNames(nic.name).onUplink]);
  for (const found of await forwardingRepairs({ socketPath: `${runDirectory}/${bridge}.mgmt`, bridge, ports, signal }))
    note(found);
}

/** A switch that is away has lost its flows anyway, and makes this one itself when it is back. */
async function forwardingRepairs(options: ForwardingOptions): Promise<readonly string[]> {
  try {
    return await ensureForwarding(options);
  } catch (error) {
    if (error instanceof NetError && error.code === "UNAVAILABLE") return [];
    throw error;
  }
}

/** The bridge's own port carries what the NIC does. A switch that cannot do that is asked once for each size. */
async function mtuRepairs(nic: LinkRow, { netlink, seen }: UplinkOptions): Promise<readonly Operation[]> {
  const bridge = uplinkBridgeName(nic.name);
  if (seen.nics.get(nic.name)?.mtuBytes === nic.mtuBytes) return [];
  const device = await findLink(netlink, bridge);
  if (device === undefined || device.mtuBytes === nic.mtuBytes) return [];
  return [update("Interface", [["name", "==", bridge]], { mtu_request: nic.mtuBytes })];
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
  const before = savedState(nic.name, options.database);
  const present = joinedStates(await survivingState(uplinkBridgeName(nic.name), options.netlink), onNic);
  const state = before === undefined ? present : compareDevice(before, present).state;
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
  const externalIds = { ...spec.externalIds, ...memoryOfNewBridge(nic.name, state, database) };
  const { onIntegration, onUplink } = patchNames(nic.name);
  const present = portsOf(database, findBridge(database, INTEGRATION_BRIDGE)).has(onIntegration);
  return [
    ...creation({ ...spec, mac: nic.mac, mtuBytes: nic.mtuBytes, externalIds }),
    ...addition({ name: nic.name, role: "nic" }, spec.name),
    ...addition({ name: onUplink, role: "patch", peer: onIntegration }, spec.name),
    ...(present ? [] : addition({ name: onIntegration, role: "patch", peer: onUplink }, INTEGRATION_BRIDGE)),
    ...rememberState(nic.name, state, database),
  ];
}

/**
 * Gives the bridge's own port what is remembered and what the NIC still has, and takes it off the NIC. A userspace switch that restarts
 * makes that port anew and bare, so this runs after each of its restarts. What somebody has changed on purpose is followed.
 */
async function settleAddresses(nic: LinkRow, options: UplinkOptions): Promise<void> {
  const { netlink, database, signal } = options;
  const device = await deviceOf(uplinkBridgeName(nic.name), options);
  if (options.seen.nics.get(nic.name)?.deviceIfindex !== device.ifindex) await keepSecondaries(device, options);
  await raiseLinks([nic, device], options);
  const onNic = await readDeviceState(netlink, nic.ifindex);
  const onDevice = await readDeviceState(netlink, device.ifindex);
  const saved = savedStateOrNone(nic.name, database);
  const { state, followed, missing } = compareDevice(saved, joinedStates(onDevice, onNic));
  if (followed.length > 0) {
    await database.transact([...rememberState(nic.name, state, database)], { signal });
    for (const change of followed) options.follow(`NIC ${nic.name}: ${change}`);
  }
  await tolerant(options, takeState(nic.ifindex, onNic), ["ESRCH", "EADDRNOTAVAIL"]);
  const wanted = { addresses: [...new Set([...state.addresses, ...onNic.addresses])], routes: state.routes };
  const lost = lacking(wanted, await readDeviceState(netlink, device.ifindex));
  noteLost({ nic, device, missing }, options);
  await tolerant(options, putState(device.ifindex, lost), ["EEXIST"]);
}

/** Whoever changes an address adds the new one and deletes the old one: with that the kernel would delete both (ip-sysctl.rst). */
async function keepSecondaries({ name }: LinkRow, { netns }: UplinkOptions): Promise<void> {
  await writeSysctl(`ipv4/conf/${name}/promote_secondaries`, "1", netns);
}

interface Lost {
  readonly nic: LinkRow;
  readonly device: LinkRow;
  readonly missing: readonly string[];
}

/** A device that a restarted switch has made anew is bare, and nobody has taken anything from it. */
function noteLost({ nic, device, missing }: Lost, { note, seen }: UplinkOptions): void {
  const isSameDevice = seen.nics.get(nic.name)?.deviceIfindex === device.ifindex;
  if (missing.length === 0 || !isSameDevice) return;
  const what = `${missing.join(", ")} of ${device.name}`;
  note(what);
  seen.putBack.set(nic.name, putBackAgain(seen.putBack.get(nic.name), what, Date.now()));
}

async function raiseLinks(links: readonly LinkRow[], { netlink, note, signal, seen }: UplinkOptions): Promise<void> {
  const down = links.filter(({ up }) => !up);
  if (down.length === 0) return;
  for (const { name, ifindex } of down) {
    const isKnown = [...seen.nics.values()].some((each) => each.ifindex === ifindex || each.deviceIfindex === ifindex);
    if (isKnown) note(`link ${name} was down`);
  }
  await netlink.execute(
    down.map(({ ifindex }) => raise(ifindex)),
    { signal },
  );
}

/** Facts of the NIC that have changed since the last look. */
async function noteFacts(nic: LinkRow, { seen, follow, netlink, database }: UplinkOptions): Promise<void> {
  const state = savedStateOrNone(nic.name, database);
  if (!isEmptyState(state)) seen.states.set(nic.name, state); // a database that has just been lost says nothing
  const before = seen.nics.get(nic.name);
  const { ifindex, mac, mtuBytes } = nic;
  if (before !== undefined && before.mac !== mac) follow(`NIC ${nic.name}: MAC ${before.mac} is ${mac} now`);
  if (before !== undefined && before.mtuBytes !== mtuBytes) {
    const effect = "pods that are attached from now on follow it, others keep theirs";
    follow(`NIC ${nic.name}: MTU ${before.mtuBytes} is ${mtuBytes} now; ${effect}`);
  }
  const device = await findLink(netlink, uplinkBridgeName(nic.name));
  seen.nics.set(nic.name, { ifindex, mac, mtuBytes, deviceIfindex: device?.ifindex });
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
  const wait = { everyMs: DEVICE_POLL_MS, timeoutMs: DEVICE_TIMEOUT_MS, signal: options.signal };
  const device = await poll(() => findLink(options.netlink, bridge), wait);
  if (device !== undefined) return device;
  throw new NetError("TIMEOUT", `The switch has not made device "${bridge}" within ${DEVICE_TIMEOUT_MS} ms`);
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

/** Without carrier a NIC loses what is sent; the switch does not say so. */
function warningOf({ name, operState }: LinkRow, { putBack }: SeenUplinks): string | undefined {
  if (operState !== "down" && operState !== "lowerlayerdown") {
    return putBackWarning(putBack.get(name), { bridge: uplinkBridgeName(name), nowMs: Date.now() });
  }
  return `NIC "${name}" has no carrier (state ${operState}): nothing leaves this node there; see cable and switch port`;
}

async function describe(spec: UplinkSpec, nic: LinkRow, options: UplinkOptions): Promise<Uplink> {
  const { database, signal } = options;
  const { onIntegration } = patchNames(spec.nic);
  const patchPort = () => portNamed(database, findBridge(database, INTEGRATION_BRIDGE), onIntegration);
  const isSettled = () => patchPort() === undefined || patchPort()?.ofport !== undefined;
  const deed = `plug in patch port "${onIntegration}"`;
  await database.waitFor(isSettled, { signal, timeoutMs: CONFIGURE_TIMEOUT_MS, deed });
  const patchOfport = patchPort()?.ofport;
  // Nobody waits for what has been deleted meanwhile: its deletion is the next thing to be repaired.
  if (patchOfport === undefined) throw new NetError("UNAVAILABLE", `Patch port "${onIntegration}" has vanished`);
  return {
    alias: spec.alias,
    nic: spec.nic,
    bridge: uplinkBridgeName(spec.nic),
    patchOfport,
    mtuBytes: nic.mtuBytes,
    addresses: savedStateOrNone(spec.nic, database).addresses,
    warning: warningOf(nic, options.seen),
  };
}
