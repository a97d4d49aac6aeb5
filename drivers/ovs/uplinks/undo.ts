import type { SocketPool } from "../../netlink/pool.ts";
import type { StackGuard } from "../../stack-guard/guard.ts";
import { removeBridge } from "../bridge.ts";
import { findBridge, portsOf, type SwitchDatabase } from "../database.ts";
import { INTEGRATION_BRIDGE, patchNames, uplinkBridgeName } from "../names.ts";
import { byUuid, mutate } from "../ovsdb-client/operations.ts";
import { compareDevice } from "./uplink-changes.ts";
import { openUplinkNic } from "./uplink-closing.ts";
import { forgetNic, savedSettings, savedStateOrNone } from "./uplink-memory.ts";
import {
  type DeviceState,
  findLink,
  lacking,
  putState,
  raise,
  readDeviceState,
  survivingState,
} from "./uplink-state.ts";

export interface UndoOptions {
  readonly database: SwitchDatabase;
  readonly netlink: SocketPool;
  readonly guard: StackGuard;
}

/** Takes the NIC out of its bridge, removes the bridge and gives the NIC its addresses and routes back. Doing it again ends what was begun. */
export async function undoUplink(nicName: string, options: UndoOptions): Promise<void> {
  const { database, netlink } = options;
  const state = await ownState(nicName, options);
  const settings = savedSettings(nicName, database);
  await removePatch(nicName, database);
  await removeBridge(database, uplinkBridgeName(nicName));
  const nic = await findLink(netlink, nicName);
  if (nic === undefined) return;
  await openUplinkNic(nic, settings, options);
  const missing = lacking(state, await readDeviceState(netlink, nic.ifindex));
  await netlink.execute([raise(nic.ifindex), ...putState(nic.ifindex, missing)]);
  const forgetting = forgetNic(nicName, database);
  if (forgetting.length > 0) await database.transact(forgetting);
}

/** What the NIC had, with what somebody has changed on purpose since it was written down: nobody may have looked since. */
async function ownState(nic: string, { database, netlink }: UndoOptions): Promise<DeviceState> {
  const saved = savedStateOrNone(nic, database);
  const onDevice = await survivingState(uplinkBridgeName(nic), netlink);
  return saved.addresses.length > 0 ? compareDevice(saved, onDevice).state : onDevice;
}

async function removePatch(nic: string, database: SwitchDatabase): Promise<void> {
  const integration = findBridge(database, INTEGRATION_BRIDGE);
  const port = portsOf(database, integration).get(patchNames(nic).onIntegration);
  if (integration === undefined || port === undefined) return;
  await database.transact([mutate("Bridge", byUuid(integration.uuid), [["ports", "delete", [port.uuid]]])]);
}
