import { existsSync } from "node:fs";
import { NetError } from "../../state/errors.ts";
import { type BridgeRow, configure, findBridge, portsOf, type SwitchDatabase } from "./database.ts";
import { byUuid, deleteRows, insert, mutate, type Operation, update } from "./ovsdb-client/operations.ts";
import { named } from "./ovsdb-client/values.ts";
import { OWNER_MARK } from "./types.ts";

/** A bridge that should exist. */
export interface BridgeSpec {
  readonly name: string;
  readonly datapathType: "system" | "netdev";
  /** `secure`: without flows nothing passes. `standalone`: without a controller it is a learning switch. */
  readonly failMode: "secure" | "standalone";
  /** Hardware address of the bridge's own port; the switch chooses when absent. */
  readonly mac?: string;
  /** MTU of the bridge's own port, in bytes. */
  readonly mtuBytes?: number;
  readonly externalIds: Readonly<Record<string, string>>;
}

const CONFIGURE_TIMEOUT_MS = 15_000;

/** The kernel datapath when its module is loaded, the userspace one otherwise. */
export function detectDatapathType(): "system" | "netdev" {
  return existsSync("/sys/module/openvswitch") ? "system" : "netdev";
}

/** Makes the bridge, or brings an existing one of ours to the wanted settings. A foreign bridge of that name is an error. */
export async function ensureBridge(
  database: SwitchDatabase,
  spec: BridgeSpec,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const present = findBridge(database, spec.name);
  if (present !== undefined) refuseForeign(database, present);
  const operations = present === undefined ? creation(spec) : bridgeRepairs(present, spec);
  if (operations.length === 0) return;
  const deed = `set up bridge "${spec.name}"`;
  await configure(database, operations, { ...options, timeoutMs: CONFIGURE_TIMEOUT_MS, deed });
}

/** A bridge whose mark somebody has removed is still ours while ports of ours are in it. */
function refuseForeign(database: SwitchDatabase, bridge: BridgeRow): void {
  if (bridge.external_ids.get(OWNER_MARK.key) === OWNER_MARK.value) return;
  const ports = [...portsOf(database, bridge).values()];
  if (ports.some(({ externalIds }) => externalIds[OWNER_MARK.key] === OWNER_MARK.value)) return;
  throw new NetError(
    "CONFLICT",
    `Bridge "${bridge.name}" exists and is not marked as ours; remove it (ovs-vsctl del-br ${bridge.name}) or set external_ids:${OWNER_MARK.key}=${OWNER_MARK.value} on it`,
  );
}

/** Operations that make a new bridge with its own port. */
export function creation(spec: BridgeSpec): readonly Operation[] {
  const mtu = spec.mtuBytes === undefined ? {} : { mtu_request: spec.mtuBytes };
  return [
    insert("Interface", { name: spec.name, type: "internal", ...mtu }, { as: "local_interface" }),
    insert("Port", { name: spec.name, interfaces: [named("local_interface")] }, { as: "local_port" }),
    insert("Bridge", { name: spec.name, ports: [named("local_port")], ...settings(spec) }, { as: "bridge" }),
    mutate("Open_vSwitch", [], [["bridges", "insert", [named("bridge")]]]),
  ];
}

function settings(spec: BridgeSpec) {
  return {
    datapath_type: spec.datapathType,
    fail_mode: spec.failMode,
    external_ids: markedIds(spec),
    other_config: otherConfig(spec),
    ...OURS_ALONE,
  };
}

/** No controller but us gives a bridge of ours flows, and no protocol of the switch blocks its ports. */
const OURS_ALONE = { controller: [], stp_enable: false, rstp_enable: false, mcast_snooping_enable: false };

/** What netplugin speaks; an empty column offers it too. */
const OUR_PROTOCOL = "OpenFlow15";

function isSpoken({ protocols }: BridgeRow): boolean {
  return protocols.length === 0 || protocols.includes(OUR_PROTOCOL);
}

function markedIds(spec: BridgeSpec): Record<string, string> {
  return { ...spec.externalIds, [OWNER_MARK.key]: OWNER_MARK.value };
}

function otherConfig(spec: BridgeSpec): Record<string, string> {
  return { "disable-in-band": "true", ...(spec.mac === undefined ? {} : { hwaddr: spec.mac }) };
}

/** What of an existing bridge is not as wanted, for the log. */
export function bridgeFaults(present: BridgeRow, spec: BridgeSpec): readonly string[] {
  const wanted = settings(spec);
  const faults = {
    [`datapath type ${present.datapath_type || "system"}`]:
      (present.datapath_type || "system") === wanted.datapath_type,
    [`protocols ${present.protocols.join(" ")}`]: isSpoken(present),
    "fail mode": present.fail_mode === wanted.fail_mode,
    external_ids: holds(present.external_ids, wanted.external_ids),
    other_config: holds(present.other_config, wanted.other_config),
    "foreign controller": present.controller.length === 0,
    STP: !present.stp_enable,
    RSTP: !present.rstp_enable,
    "multicast snooping": !present.mcast_snooping_enable,
  };
  return Object.entries(faults).flatMap(([what, isRight]) => (isRight ? [] : [`${what} of bridge ${spec.name}`]));
}

/** Another datapath type makes the bridge and its ports anew: they are without flows until those are put in again. */
export function bridgeRepairs(present: BridgeRow, spec: BridgeSpec): readonly Operation[] {
  if (bridgeFaults(present, spec).length === 0) return [];
  const wanted = settings(spec);
  return [
    update("Bridge", byUuid(present.uuid), {
      ...wanted,
      protocols: isSpoken(present) ? present.protocols : [...present.protocols, OUR_PROTOCOL],
      external_ids: { ...Object.fromEntries(present.external_ids), ...wanted.external_ids },
      other_config: { ...Object.fromEntries(present.other_config), ...wanted.other_config },
    }),
  ];
}

function holds(actual: ReadonlyMap<string, string>, wanted: Readonly<Record<string, string>>): boolean {
  return Object.entries(wanted).every(([key, value]) => actual.get(key) === value);
}

/** Removes a bridge of ours with everything plugged into it; an absent one counts as removed. */
export async function removeBridge(
  database: SwitchDatabase,
  name: string,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const present = findBridge(database, name);
  if (present === undefined) return;
  refuseForeign(database, present);
  const operations = [
    mutate("Open_vSwitch", [], [["bridges", "delete", [present.uuid]]]),
    deleteRows("Bridge", byUuid(present.uuid)),
  ];
  await configure(database, operations, {
    ...options,
    timeoutMs: CONFIGURE_TIMEOUT_MS,
    deed: `remove bridge "${name}"`,
  });
}
