import { z } from "zod";
import type { NicSettings } from "../../stack-guard/nic.ts";
import { findBridge, rootRow, type SwitchDatabase } from "../database.ts";
import { uplinkBridgeName } from "../names.ts";
import { byUuid, mutate, type Operation } from "../ovsdb-client/operations.ts";
import { DeviceState, NO_STATE } from "./uplink-state.ts";

/*
 * What is remembered of a NIC while its bridge has it stands twice in the switch's database: in the bridge's external_ids, and under
 * `<key>:<NIC>` in those of the root row, which deleting the bridge does not reach. A copy that is lost is written again from the other.
 */

/** The NIC's addresses and routes, written down before anything moves, so that a crash in the middle can be repaired. */
const STATE_KEY = "contiv-nic-state";
/** What a NIC's settings were before it was closed to the kernel. */
const SETTINGS_KEY = "contiv-nic-settings";
const KEYS = [STATE_KEY, SETTINGS_KEY] as const;

const NicSettingsText = z.object({ disable_ipv6: z.int(), arp_ignore: z.int(), rp_filter: z.int() });

/** Addresses and routes that the NIC had, as far as anything is remembered: a copy without an address stands back behind one that has some. */
export function savedState(nic: string, database: SwitchDatabase): DeviceState | undefined {
  const copies = recall(STATE_KEY, DeviceState, { nic, database });
  return copies.find(({ addresses }) => addresses.length > 0) ?? copies[0];
}

export function savedStateOrNone(nic: string, database: SwitchDatabase): DeviceState {
  return savedState(nic, database) ?? NO_STATE;
}

export function savedSettings(nic: string, database: SwitchDatabase): NicSettings | undefined {
  return recall(SETTINGS_KEY, NicSettingsText, { nic, database })[0];
}

/** External ids of a bridge that is being made for the NIC: what is remembered already, and its state. */
export function memoryOfNewBridge(nic: string, state: DeviceState, database: SwitchDatabase): Record<string, string> {
  const settings = savedSettings(nic, database);
  return {
    [STATE_KEY]: JSON.stringify(state),
    ...(settings === undefined ? {} : { [SETTINGS_KEY]: JSON.stringify(settings) }),
  };
}

/** Operations that write the state in both places. */
export function rememberState(nic: string, state: DeviceState, database: SwitchDatabase): readonly Operation[] {
  return write(STATE_KEY, JSON.stringify(state), { nic, database });
}

export function rememberSettings(nic: string, settings: NicSettings, database: SwitchDatabase): readonly Operation[] {
  return write(SETTINGS_KEY, JSON.stringify(settings), { nic, database });
}

/** Operations after which both places say the same again; none when they do. */
export function completeMemory(nic: string, database: SwitchDatabase): readonly Operation[] {
  const [state, settings] = [savedState(nic, database), savedSettings(nic, database)];
  return [
    ...(state === undefined ? [] : rememberState(nic, state, database)),
    ...(settings === undefined ? [] : rememberSettings(nic, settings, database)),
  ];
}

/** Operations that forget the NIC, once it has got back what it had. */
export function forgetNic(nic: string, database: SwitchDatabase): readonly Operation[] {
  const ids = rootRow(database).external_ids;
  const removals = KEYS.flatMap((key) => replacement(ids, `${key}:${nic}`, undefined));
  return removals.length === 0 ? [] : [mutate("Open_vSwitch", [], removals)];
}

interface Place {
  readonly nic: string;
  readonly database: SwitchDatabase;
}

/** The bridge's copy, then the other one; one that is gone or cannot be read is left out. */
function recall<T>(key: string, schema: z.ZodType<T>, { nic, database }: Place): readonly T[] {
  const bridge = findBridge(database, uplinkBridgeName(nic));
  const texts = [bridge?.external_ids.get(key), rootRow(database).external_ids.get(`${key}:${nic}`)];
  return texts.flatMap((text) => {
    const value = text === undefined ? undefined : schema.safeParse(parsed(text));
    return value?.success === true ? [value.data] : [];
  });
}

/** Anything may have been written there by hand. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // the other copy is asked
  }
}

function write(key: string, text: string, { nic, database }: Place): readonly Operation[] {
  const bridge = findBridge(database, uplinkBridgeName(nic));
  const inRoot = replacement(rootRow(database).external_ids, `${key}:${nic}`, text);
  const inBridge = bridge === undefined ? [] : replacement(bridge.external_ids, key, text);
  return [
    ...(inRoot.length === 0 ? [] : [mutate("Open_vSwitch", [], inRoot)]),
    ...(bridge === undefined || inBridge.length === 0 ? [] : [mutate("Bridge", byUuid(bridge.uuid), inBridge)]),
  ];
}

type Mutation = Parameters<typeof mutate>[2][number];

/** A map's insert keeps the value of a key that is there (RFC 7047 §5.1): it is deleted first. Undefined only deletes. */
export function replacement(
  ids: ReadonlyMap<string, string>,
  key: string,
  text: string | undefined,
): readonly Mutation[] {
  const present = ids.get(key);
  if (present === text) return [];
  return [
    ...(present === undefined ? [] : [["external_ids", "delete", { [key]: present }] as const]),
    ...(text === undefined ? [] : [["external_ids", "insert", { [key]: text }] as const]),
  ];
}
