import { NetError } from "../../state/errors.ts";
import { boolean, integer, mapOf, optional, type RowOf, setOf, string, uuid } from "./ovsdb-client/columns.ts";
import { openReplica } from "./ovsdb-client/open-replica.ts";
import { mutate, type Operation } from "./ovsdb-client/operations.ts";
import type { Replica } from "./ovsdb-client/replica.ts";
import type { Uuid } from "./ovsdb-client/values.ts";
import { OWNER_MARK, type Policing } from "./types.ts";

const TABLES = {
  Open_vSwitch: {
    bridges: setOf(uuid),
    cur_cfg: integer,
    next_cfg: integer,
    ovs_version: optional(string),
    external_ids: mapOf(string, string),
    other_config: mapOf(string, string),
  },
  Bridge: {
    name: string,
    ports: setOf(uuid),
    datapath_type: string,
    fail_mode: optional(string),
    external_ids: mapOf(string, string),
    other_config: mapOf(string, string),
    controller: setOf(uuid),
    stp_enable: boolean,
    rstp_enable: boolean,
    mcast_snooping_enable: boolean,
    protocols: setOf(string),
    mirrors: setOf(uuid),
  },
  Mirror: { name: string },
  Port: {
    name: string,
    interfaces: setOf(uuid),
    external_ids: mapOf(string, string),
    tag: optional(integer),
    trunks: setOf(integer),
    vlan_mode: optional(string),
    protected: boolean,
    qos: optional(uuid),
  },
  Interface: {
    name: string,
    type: string,
    ofport: optional(integer),
    error: optional(string),
    options: mapOf(string, string),
    ingress_policing_rate: integer,
    ingress_policing_burst: integer,
    ingress_policing_kpkts_rate: integer,
    mtu_request: optional(integer),
    ofport_request: optional(integer),
  },
} as const;

/** The part of the switch's database that the driver looks at. */
export type SwitchDatabase = Replica<typeof TABLES>;

export type BridgeRow = ReturnType<typeof bridgeRows>[number];

/**
 * A port with its (only) interface. What says that it is ours stands in the port's `external_ids`: the switch looks at those of an
 * interface and goes through its whole configuration when they change, at those of a port it does not look.
 */
export interface PortRow {
  readonly uuid: Uuid;
  readonly interfaceUuid: Uuid;
  readonly name: string;
  readonly type: string;
  readonly ofport: number | undefined;
  readonly error: string | undefined;
  readonly externalIds: Readonly<Record<string, string>>;
  readonly options: Readonly<Record<string, string>>;
  readonly policing: Policing | undefined;
  /** Does the port carry frames of all VLANs as they are, to every other port? */
  readonly isPlain: boolean;
  /** What the switch is told to make of the device's MTU, in bytes. */
  readonly mtuRequest: number | undefined;
  /** Columns that somebody has set which change what passes through a port, and which are empty on ports that we make. */
  readonly foreign: readonly string[];
}

/** OVS writes -1 where it could not plug an interface in. */
const OFPORT_FAILED = -1;

export interface DatabaseOptions {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
  readonly report?: ((error: NetError) => void) | undefined;
}

/** Opens the replica of `<runDir>/db.sock`. */
export function openDatabase(runDirectory: string, options: DatabaseOptions): Promise<SwitchDatabase> {
  return openReplica(`${runDirectory}/db.sock`, { tables: TABLES, ...options });
}

function bridgeRows(database: SwitchDatabase) {
  return [...database.rows("Bridge")].map(([id, row]) => ({ uuid: id, ...row }));
}

export function findBridge(database: SwitchDatabase, name: string): BridgeRow | undefined {
  for (const [id, row] of database.rows("Bridge")) if (row.name === name) return { uuid: id, ...row };
  return undefined;
}

/** Bridges that we made. */
export function ownBridges(database: SwitchDatabase): readonly BridgeRow[] {
  return bridgeRows(database).filter((bridge) => bridge.external_ids.get(OWNER_MARK.key) === OWNER_MARK.value);
}

/** The ports of one bridge, by name, its own local port included. */
export function portsOf(database: SwitchDatabase, bridge: BridgeRow | undefined): ReadonlyMap<string, PortRow> {
  const found = new Map<string, PortRow>();
  const rows = rowsOfPorts(database);
  for (const portId of bridge?.ports ?? []) {
    const row = portRow(rows, portId);
    if (row !== undefined) found.set(row.name, row);
  }
  return found;
}

/** One port of a bridge. */
export function portNamed(database: SwitchDatabase, bridge: BridgeRow | undefined, name: string): PortRow | undefined {
  const rows = database.rows("Port");
  const portId = bridge?.ports.find((id) => rows.get(id)?.name === name);
  return portId === undefined ? undefined : portRow(rowsOfPorts(database), portId);
}

/** The port of a row in Port. */
export function portOfRow(database: SwitchDatabase, portId: Uuid): PortRow | undefined {
  return portRow(rowsOfPorts(database), portId);
}

function rowsOfPorts(database: SwitchDatabase) {
  return { ports: database.rows("Port"), interfaces: database.rows("Interface") };
}

function portRow({ ports, interfaces }: ReturnType<typeof rowsOfPorts>, portId: Uuid): PortRow | undefined {
  const port = ports.get(portId);
  if (port === undefined) return undefined;
  const known = joinedRows.get(port);
  if (known !== undefined && interfaces.get(known.row.interfaceUuid) === known.device) return known.row;
  const ofItsName = port.interfaces.find((id) => interfaces.get(id)?.name === port.name);
  const interfaceId = ofItsName ?? port.interfaces[0];
  const device = interfaceId === undefined ? undefined : interfaces.get(interfaceId);
  if (interfaceId === undefined || device === undefined) return undefined;
  const row = joined({ portId, port, interfaceId, device });
  joinedRows.set(port, { device, row });
  return row;
}

interface Rows {
  readonly portId: Uuid;
  readonly port: DatabasePort;
  readonly interfaceId: Uuid;
  readonly device: DatabaseInterface;
}

type DatabasePort = RowOf<(typeof TABLES)["Port"]>;
type DatabaseInterface = RowOf<(typeof TABLES)["Interface"]>;

/** Rows never change, they are replaced: what was joined from the same two rows is still right. */
const joinedRows = new WeakMap<DatabasePort, { readonly device: DatabaseInterface; readonly row: PortRow }>();

function joined({ portId, port, interfaceId, device }: Rows): PortRow {
  return {
    uuid: portId,
    interfaceUuid: interfaceId,
    name: port.name,
    type: device.type,
    ofport: device.ofport === undefined || device.ofport === OFPORT_FAILED ? undefined : device.ofport,
    error: device.error,
    externalIds: Object.fromEntries(port.external_ids),
    options: Object.fromEntries(device.options),
    policing: policingOf(device),
    isPlain: vlanSettings(port).length === 0 && !port.protected,
    mtuRequest: device.mtu_request,
    foreign: foreignSettings(port, device),
  };
}

function vlanSettings({ tag, trunks, vlan_mode }: DatabasePort): readonly string[] {
  return [
    ...(tag === undefined ? [] : [`tag ${tag}`]),
    ...(trunks.length === 0 ? [] : ["trunks"]),
    ...(vlan_mode === undefined ? [] : [`vlan_mode ${vlan_mode}`]),
  ];
}

function foreignSettings(port: DatabasePort, device: DatabaseInterface): readonly string[] {
  const { ofport_request, ingress_policing_kpkts_rate } = device;
  return [
    ...vlanSettings(port),
    ...(port.protected ? ["protected"] : []),
    ...(port.qos === undefined ? [] : ["qos"]),
    ...(port.interfaces.length === 1 ? [] : ["more interfaces"]),
    ...(ofport_request === undefined ? [] : [`ofport_request ${ofport_request}`]),
    ...(ingress_policing_kpkts_rate === 0 ? [] : [`ingress_policing_kpkts_rate ${ingress_policing_kpkts_rate}`]),
  ];
}

/** A rate of 0 is the database's word for none. */
function policingOf({ ingress_policing_rate, ingress_policing_burst }: DatabaseInterface): Policing | undefined {
  if (ingress_policing_rate === 0) return undefined;
  return { rateKbitPerSecond: ingress_policing_rate, burstKbit: ingress_policing_burst };
}

/** The one row of the root table. */
export function rootRow(database: SwitchDatabase) {
  const [row] = database.rows("Open_vSwitch").values();
  if (row === undefined) throw new NetError("UNAVAILABLE", "The switch database has no Open_vSwitch row yet");
  return row;
}

/** Ends a transaction that the switch must act on; its daemon copies `next_cfg` to `cur_cfg` when it has. */
export function bumpConfiguration(): Operation {
  return mutate("Open_vSwitch", [], [["next_cfg", "+=", 1]]);
}

/** Runs operations and waits until the switch has acted on them. */
export async function configure(
  database: SwitchDatabase,
  operations: readonly Operation[],
  options: { readonly signal?: AbortSignal | undefined; readonly timeoutMs: number; readonly deed: string },
): Promise<void> {
  await database.transact([...operations, bumpConfiguration()], options);
  const wanted = rootRow(database).next_cfg;
  await database.waitFor(() => rootRow(database).cur_cfg >= wanted, options);
}
