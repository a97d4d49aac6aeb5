import type { SocketPool } from "../../netlink/pool.ts";
import { findBridge, type SwitchDatabase } from "../database.ts";
import { uplinkBridgeName } from "../names.ts";
import { rememberState, savedState } from "./uplink-memory.ts";
import { type DeviceState, isEmptyState, joinedStates, NO_STATE, survivingState } from "./uplink-state.ts";

export interface RecoveryOptions {
  readonly database: SwitchDatabase;
  readonly netlink: SocketPool;
  /** NIC → what this process has last seen to be remembered of it. */
  readonly states: ReadonlyMap<string, DeviceState>;
  /** What was remembered was lost, and is remembered again. */
  readonly note: (found: string) => void;
  readonly signal: AbortSignal;
}

/**
 * Writes down again what is remembered of a NIC when the switch's database has lost it: from this process, or from the bridge's own port,
 * which outlives switch and database in the kernel. That comes before any bridge is made: with the first one the switch's kernel datapath
 * removes the ports that its database does not know.
 */
export async function recoverMemory(nic: string, options: RecoveryOptions): Promise<void> {
  const { database, states, note, signal } = options;
  const saved = savedState(nic, database);
  if (saved !== undefined && saved.addresses.length > 0) return;
  const state = states.get(nic) ?? (await stateOfLostBridge(nic, options));
  const operations = isEmptyState(state) ? [] : rememberState(nic, state, database);
  if (operations.length === 0) return;
  await database.transact([...operations], { signal });
  note(`what is remembered of NIC ${nic} (${state.addresses.join(", ")})`);
}

/** A bridge that the database has is compared with its port afterwards. */
async function stateOfLostBridge(nic: string, { database, netlink }: RecoveryOptions): Promise<DeviceState> {
  const bridge = uplinkBridgeName(nic);
  const onDevice = findBridge(database, bridge) === undefined ? await survivingState(bridge, netlink) : NO_STATE;
  return isEmptyState(onDevice) ? NO_STATE : joinedStates(onDevice, await survivingState(nic, netlink));
}
