import type { Delta, Failures } from "../../state/delta.ts";
import { asNetError, NetError } from "../../state/errors.ts";
import { ROLE_MARK } from "../driver.ts";
import {
  bumpConfiguration,
  configure,
  findBridge,
  type PortRow,
  portOfRow,
  portsOf,
  rootRow,
  type SwitchDatabase,
} from "./database.ts";
import { INTEGRATION_BRIDGE } from "./names.ts";
import { byUuid, insert, mutate, type Operation, update } from "./ovsdb-client/operations.ts";
import { type NamedUuid, named, type Uuid } from "./ovsdb-client/values.ts";
import { OWNER_MARK, type Policing, type PortDriver, type PortSpec } from "./types.ts";

const PORT_TIMEOUT_MS = 15_000;
/** Roles that belong to the driver itself: they are not netplugin's to read or remove. */
const OWN_ROLES = new Set(["patch", "local"]);

/** The driver with what the database says of each port. */
export interface DatabasePorts extends PortDriver {
  read(): ReadonlyMap<string, PortRow>;
  /** With or without our mark. */
  named(name: string): PortRow | undefined;
}

/** Ports of the integration bridge, kept in the switch's database. */
export function createPortDriver(database: SwitchDatabase): DatabasePorts {
  const bridge = new IntegrationRows(database);
  return {
    read: () => bridge.marked(),
    named: (name) => bridge.all().get(name),
    apply: (delta, options = {}) => applyPorts(bridge, delta, options),
    mark: (marks) => markPorts(bridge, marks),
    police: (wanted, options = {}) => policePorts(bridge, wanted, options),
  };
}

/** A pod's port does not outlive its links: `ovs-ctl --delete-transient-ports` removes it when the host has started anew. */
const TRANSIENT = { transient: "true" };

interface IntegrationPorts {
  readonly database: SwitchDatabase;
  /** All of them, by name. */
  all(): ReadonlyMap<string, PortRow>;
  /** Those that are netplugin's; the same map until the database changes. */
  marked(): ReadonlyMap<string, PortRow>;
}

/** They are looked at many times for each change: only the rows that have changed are read anew. */
class IntegrationRows implements IntegrationPorts {
  readonly database: SwitchDatabase;
  #all: ReadonlyMap<string, PortRow> | undefined;
  #marked: ReadonlyMap<string, PortRow> = new Map();
  /** The ports of rows in Port and Interface. */
  #nameOf: ReadonlyMap<Uuid, string> = new Map();
  readonly #changed = new Set<Uuid>();

  constructor(database: SwitchDatabase) {
    this.database = database;
    database.onChange(({ rows, resynchronised }) => {
      if (resynchronised || rows.has("Bridge")) this.#all = undefined; // other ports, perhaps
      for (const table of ["Port", "Interface"]) for (const id of rows.get(table) ?? []) this.#changed.add(id);
    });
  }

  all(): ReadonlyMap<string, PortRow> {
    if (this.#all === undefined) return this.#readAll();
    if (this.#changed.size > 0) this.#all = this.#readChanged(this.#all);
    return this.#all;
  }

  marked(): ReadonlyMap<string, PortRow> {
    this.all();
    return this.#marked;
  }

  #readAll(): ReadonlyMap<string, PortRow> {
    const all = portsOf(this.database, findBridge(this.database, INTEGRATION_BRIDGE));
    this.#all = all;
    this.#marked = new Map([...all].filter(([, port]) => isOurs(port)));
    this.#nameOf = new Map(
      [...all].flatMap(([name, { uuid, interfaceUuid }]) => [
        [uuid, name],
        [interfaceUuid, name],
      ]),
    );
    this.#changed.clear();
    return all;
  }

  #readChanged(before: ReadonlyMap<string, PortRow>): ReadonlyMap<string, PortRow> {
    let all: Map<string, PortRow> | undefined;
    let marked: Map<string, PortRow> | undefined;
    for (const id of this.#changed) {
      const name = this.#nameOf.get(id);
      const port = name === undefined ? undefined : before.get(name);
      if (name === undefined || port === undefined) continue; // of another bridge
      const now = portOfRow(this.database, port.uuid);
      if (now === undefined || now.interfaceUuid !== port.interfaceUuid) return this.#readAll();
      if (now === port) continue;
      all ??= new Map(before);
      all.set(name, now);
      marked ??= new Map(this.#marked);
      if (isOurs(now)) marked.set(name, now);
      else marked.delete(name);
    }
    this.#changed.clear();
    this.#marked = marked ?? this.#marked;
    return all ?? before;
  }
}

function isOurs({ externalIds }: PortRow): boolean {
  return externalIds[OWNER_MARK.key] === OWNER_MARK.value && !OWN_ROLES.has(externalIds[ROLE_MARK] ?? "");
}

async function applyPorts(
  ports: IntegrationPorts,
  delta: Delta<PortSpec>,
  options: { readonly signal?: AbortSignal },
): Promise<Failures> {
  const { database } = ports;
  const bridge = findBridge(database, INTEGRATION_BRIDGE);
  const keys = [...delta.put.keys(), ...delta.remove];
  if (bridge === undefined) {
    const missing = new NetError("UNAVAILABLE", `Bridge "${INTEGRATION_BRIDGE}" is missing; it is being made again`);
    return new Map(keys.map((key) => [key, missing]));
  }
  const operations = portOperations(bridge.uuid, ports.all(), delta);
  if (operations.length === 0) return new Map();
  try {
    await database.transact([...operations, bumpConfiguration()], { timeoutMs: PORT_TIMEOUT_MS, ...options });
  } catch (error) {
    const failure = asNetError(error, "change ports of the integration bridge");
    return new Map(keys.map((key) => [key, failure]));
  }
  const wanted = rootRow(database).next_cfg;
  return pluggedIn(ports, delta, { ...options, hasActed: () => rootRow(database).cur_cfg >= wanted });
}

/** All of it as one transaction: new ports, changed marks, ports to remove. */
export function portOperations(
  bridge: Uuid,
  present: ReadonlyMap<string, PortRow>,
  delta: Delta<PortSpec>,
): readonly Operation[] {
  const operations: Operation[] = [];
  const added: NamedUuid[] = [];
  const removed: Uuid[] = [];
  for (const [name, spec] of delta.put) {
    const port = present.get(name);
    if (port !== undefined && port.type === interfaceType(spec)) {
      operations.push(...changes(port, spec));
      continue;
    }
    if (port !== undefined) removed.push(port.uuid);
    const id = `n${added.length}`;
    operations.push(insert("Interface", interfaceRow(name, spec), { as: `interface_${id}` }));
    const row = {
      ...{ name, interfaces: [named(`interface_${id}`)], external_ids: markedIds(spec.externalIds) },
      ...(spec.kind === "system" ? { other_config: TRANSIENT } : {}),
    };
    operations.push(insert("Port", row, { as: `port_${id}` }));
    added.push(named(`port_${id}`));
  }
  for (const name of delta.remove) {
    const port = present.get(name);
    if (port !== undefined) removed.push(port.uuid);
  }
  if (removed.length > 0) operations.push(mutate("Bridge", byUuid(bridge), [["ports", "delete", removed]]));
  if (added.length > 0) operations.push(mutate("Bridge", byUuid(bridge), [["ports", "insert", added]]));
  return operations;
}

function interfaceType(spec: PortSpec): string {
  return spec.kind === "system" ? "" : spec.kind;
}

function markedIds(externalIds: Readonly<Record<string, string>>): Record<string, string> {
  return { ...externalIds, [OWNER_MARK.key]: OWNER_MARK.value };
}

function changes(port: PortRow, spec: PortSpec): readonly Operation[] {
  const { name: _name, type: _type, ...settings } = interfaceRow(port.name, spec);
  const marks = update("Port", byUuid(port.uuid), { external_ids: markedIds(spec.externalIds) });
  return Object.keys(settings).length === 0
    ? [marks]
    : [marks, update("Interface", byUuid(port.interfaceUuid), settings)];
}

function interfaceRow(name: string, spec: PortSpec) {
  const row = { name, type: interfaceType(spec) };
  switch (spec.kind) {
    case "system":
      return row;
    case "internal":
      return { ...row, mac: spec.mac, mtu_request: spec.mtuBytes };
    case "vxlan":
      return { ...row, options: { remote_ip: "flow", key: "flow", dst_port: String(spec.udpPort) } };
  }
}

/** Waits until every new port has its number or the switch has said why not. */
async function pluggedIn(
  integration: IntegrationPorts,
  delta: Delta<PortSpec>,
  { hasActed, ...options }: { readonly signal?: AbortSignal; readonly hasActed: () => boolean },
): Promise<Failures> {
  const settled = () => {
    const ports = integration.all();
    return [...delta.put.keys()].every((name) => {
      const port = ports.get(name);
      if (port?.ofport !== undefined) return true;
      return (port === undefined || port.error !== undefined) && hasActed(); // before, it may be an earlier error
    });
  };
  const deed = `plug in ${delta.put.size} ports`;
  const late = await integration.database.waitFor(settled, { timeoutMs: PORT_TIMEOUT_MS, deed, ...options }).then(
    () => undefined,
    (error: unknown) => asNetError(error, deed),
  );
  const ports = integration.all();
  const failures = new Map<string, NetError>();
  for (const name of delta.put.keys()) {
    const port = ports.get(name);
    if (port?.ofport !== undefined) continue;
    const text = port?.error ?? late?.message ?? "it has vanished";
    failures.set(name, new NetError("REJECTED", `Cannot plug in port "${name}": ${text}`, { cause: late }));
  }
  return failures;
}

async function markPorts(
  integration: IntegrationPorts,
  marks: ReadonlyMap<string, Readonly<Record<string, string>>>,
): Promise<Failures> {
  const ports = integration.all();
  const operations: Operation[] = [];
  const failures = new Map<string, NetError>();
  for (const [name, externalIds] of marks) {
    const port = ports.get(name);
    if (port === undefined)
      failures.set(name, new NetError("NOT_FOUND", `Cannot mark port "${name}": it does not exist`));
    else operations.push(update("Port", byUuid(port.uuid), { external_ids: markedIds(externalIds) }));
  }
  if (operations.length > 0) await integration.database.transact(operations);
  return failures;
}

async function policePorts(
  integration: IntegrationPorts,
  wanted: ReadonlyMap<string, Policing | undefined>,
  options: { readonly signal?: AbortSignal },
): Promise<Failures> {
  const ports = integration.all();
  const operations: Operation[] = [];
  const failures = new Map<string, NetError>();
  for (const [name, policing] of wanted) {
    const port = ports.get(name);
    if (port === undefined) {
      failures.set(name, new NetError("NOT_FOUND", `Cannot police port "${name}": it does not exist`));
      continue;
    }
    const { rateKbitPerSecond, burstKbit } = policing ?? { rateKbitPerSecond: 0, burstKbit: 0 };
    const row = { ingress_policing_rate: rateKbitPerSecond, ingress_policing_burst: burstKbit };
    operations.push(update("Interface", byUuid(port.interfaceUuid), row));
  }
  if (operations.length === 0) return failures;
  await configure(integration.database, operations, {
    timeoutMs: PORT_TIMEOUT_MS,
    deed: `police ${operations.length} ports`,
    ...options,
  });
  return failures;
}
