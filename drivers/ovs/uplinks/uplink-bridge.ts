import { ROLE_MARK } from "../../driver.ts";
import { type BridgeSpec, bridgeFaults, bridgeRepairs } from "../bridge.ts";
import { findBridge, type PortRow, portNamed, type SwitchDatabase } from "../database.ts";
import { INTEGRATION_BRIDGE, NIC_KEY, patchNames, uplinkBridgeName } from "../names.ts";
import { byUuid, insert, mutate, type Operation, update } from "../ovsdb-client/operations.ts";
import { named, type Uuid } from "../ovsdb-client/values.ts";
import { OWNER_MARK } from "../types.ts";

/** What is wrong with an uplink's bridge and its ports, and the operations that repair all of it in one transaction. */
export interface Repairs {
  readonly found: readonly string[];
  readonly operations: readonly Operation[];
}

interface WantedPort {
  readonly name: string;
  readonly role: "nic" | "patch";
  /** The other end; undefined for a NIC. */
  readonly peer?: string;
}

/** Compares an uplink bridge that exists, its NIC's port and both patch ports with what they should be. */
export function uplinkRepairs(
  { name: nic, mac }: { readonly name: string; readonly mac?: string | undefined },
  { database, datapathType }: { readonly database: SwitchDatabase; readonly datapathType: "system" | "netdev" },
): Repairs {
  const { onIntegration, onUplink } = patchNames(nic);
  const name = uplinkBridgeName(nic);
  const bridge = findBridge(database, name);
  if (bridge === undefined) return { found: [`bridge ${name} is gone`], operations: [] };
  const plain = uplinkBridgeSpec(nic, datapathType);
  const spec = mac === undefined ? plain : { ...plain, mac };
  const parts: readonly Repairs[] = [
    { found: bridgeFaults(bridge, spec), operations: bridgeRepairs(bridge, spec) },
    portRepairs({ name: nic, role: "nic" }, name, database),
    portRepairs({ name: onUplink, role: "patch", peer: onIntegration }, name, database),
    portRepairs({ name: onIntegration, role: "patch", peer: onUplink }, INTEGRATION_BRIDGE, database),
  ];
  return { found: parts.flatMap(({ found }) => found), operations: parts.flatMap(({ operations }) => operations) };
}

/** The settings of an uplink bridge that do not depend on its NIC's state. */
export function uplinkBridgeSpec(nic: string, datapathType: "system" | "netdev"): BridgeSpec {
  const name = uplinkBridgeName(nic);
  return { name, datapathType, failMode: "standalone", externalIds: { [NIC_KEY]: nic } };
}

/** Operations that make a port and plug it into the bridge of that name. */
export function addition({ name, role, peer }: WantedPort, bridge: string): readonly Operation[] {
  const as = `new_${bridge}_${name}`.replaceAll(/[^a-zA-Z0-9_]/g, "_"); // RFC 7047 §3.1, <id>
  const settings = peer === undefined ? {} : { type: "patch", options: { peer } };
  return [
    insert("Interface", { name, ...settings }, { as: `${as}_interface` }),
    insert("Port", { name, interfaces: [named(`${as}_interface`)], external_ids: mark(role) }, { as: `${as}_port` }),
    mutate("Bridge", [["name", "==", bridge]], [["ports", "insert", [named(`${as}_port`)]]]),
  ];
}

function portRepairs(wanted: WantedPort, bridgeName: string, database: SwitchDatabase): Repairs {
  const bridge = findBridge(database, bridgeName);
  if (bridge === undefined) return { found: [], operations: [] }; // it is made anew with its ports
  const port = portNamed(database, bridge, wanted.name);
  const isNew = port === undefined || port.type !== typeOf(wanted);
  if (isNew) {
    const stray = port ?? strayPort(database, wanted.name);
    const removal = stray === undefined ? [] : [removalOf(stray.uuid)];
    const fault = `port ${wanted.name} of bridge ${bridgeName} is ${stray === undefined ? "gone" : "not as it should be"}`;
    return { found: [fault], operations: [...removal, ...addition(wanted, bridgeName)] };
  }
  const found = portFaults(wanted, port).map((what) => `${what} of port ${wanted.name} of bridge ${bridgeName}`);
  return { found, operations: found.length === 0 ? [] : changes(wanted, port) };
}

function typeOf({ role }: WantedPort): string {
  return role === "patch" ? "patch" : "";
}

function portFaults({ peer, role }: WantedPort, port: PortRow): readonly string[] {
  const isMarked = Object.entries(mark(role)).every(([key, value]) => port.externalIds[key] === value);
  return [
    ...(peer === undefined || port.options.peer === peer ? [] : [`peer "${port.options.peer ?? ""}"`]),
    ...(port.isPlain ? [] : ["VLAN settings or isolation"]),
    ...(isMarked ? [] : ["mark"]),
  ];
}

/** Frames of all VLANs pass as they are, to every other port. */
export const PLAIN = { tag: undefined, trunks: [], vlan_mode: undefined, protected: false } as const;

function changes({ peer, role }: WantedPort, port: PortRow): readonly Operation[] {
  const ids = { ...port.externalIds, ...mark(role) };
  return [
    update("Port", byUuid(port.uuid), { external_ids: ids, ...PLAIN }),
    ...(peer === undefined ? [] : [update("Interface", byUuid(port.interfaceUuid), { options: { peer } })]),
  ];
}

/** A name can be in one bridge only: one that somebody plugged in elsewhere comes back. */
function strayPort(database: SwitchDatabase, name: string): { readonly uuid: Uuid } | undefined {
  const row = [...database.rows("Port")].find(([, port]) => port.name === name);
  return row === undefined ? undefined : { uuid: row[0] };
}

function removalOf(port: Uuid): Operation {
  return mutate("Bridge", [["ports", "includes", [port]]], [["ports", "delete", [port]]]);
}

function mark(role: string): Record<string, string> {
  return { [OWNER_MARK.key]: OWNER_MARK.value, [ROLE_MARK]: role };
}
