import { ROLE_MARK } from "../driver.ts";
import { configure, type PortRow, type SwitchDatabase } from "./database.ts";
import { TUNNEL_PORT } from "./names.ts";
import { byUuid, type Operation, update } from "./ovsdb-client/operations.ts";
import { isHostName } from "./pod-ports/port-pool.ts";
import { PLAIN } from "./uplinks/uplink-bridge.ts";

/*
 * Ports of pods, ready ports, ports in infra networks and the tunnel's: what somebody has set on them that changes what passes through.
 * Columns that do no harm (other external_ids, lldp, bfd, …) are whose they are.
 */

const CONFIGURE_TIMEOUT_MS = 15_000;
const NAMED_MAX = 6;
const NONE: readonly string[] = [];

type Settings = Pick<PortRow, "name" | "type" | "mtuRequest" | "policing" | "foreign" | "externalIds">;

/** Rows never change, and are asked again with each change of the database. */
const known = new WeakMap<Settings, readonly string[]>();

/** What is set on a port that we have made otherwise, for the log. */
export function portFaults(port: Settings): readonly string[] {
  const before = known.get(port);
  if (before !== undefined) return before;
  const faults = findFaults(port);
  known.set(port, faults);
  return faults;
}

function findFaults(port: Settings): readonly string[] {
  const type = wantedType(port);
  const isTypeRight = port.type === type;
  const isSizeOurs = port.mtuRequest === undefined || type === "internal";
  const isPoliced = port.policing !== undefined && type === "internal"; // pods' ports are policed by limits
  if (isTypeRight && isSizeOurs && !isPoliced && port.foreign.length === 0) return NONE;
  const settings = [
    ...(isTypeRight ? [] : [`type ${port.type || "system"}`]),
    ...(isSizeOurs ? [] : [`mtu_request ${port.mtuRequest}`]),
    ...(isPoliced ? ["ingress_policing_rate"] : []),
    ...port.foreign,
  ];
  return settings.map((setting) => `${setting} of port ${port.name}`);
}

/** A type that differs from that of the tunnel makes another port of it: see there. */
function wantedType({ name, type, externalIds }: Settings): string {
  if (isHostName(name)) return "";
  return name === TUNNEL_PORT || externalIds[ROLE_MARK] === "tunnel" ? type : "internal";
}

/** All of them in few words, however many ports there are. */
export function allPortFaults(ports: Iterable<PortRow>): readonly string[] {
  const found: string[] = [];
  for (const port of ports) {
    const faults = portFaults(port);
    if (faults.length > 0) found.push(...faults); // hardly ever
  }
  if (found.length <= NAMED_MAX) return found;
  return [...found.slice(0, NAMED_MAX), `${found.length - NAMED_MAX} more settings of ports`];
}

/** Operations that give a port the settings that we make ports with. */
export function portRepairs(port: PortRow): readonly Operation[] {
  if (portFaults(port).length === 0) return [];
  const type = wantedType(port);
  const others = type === "internal" ? { ingress_policing_rate: 0 } : { mtu_request: undefined };
  return [
    update("Port", byUuid(port.uuid), { ...PLAIN, qos: undefined, interfaces: [port.interfaceUuid] }),
    update("Interface", byUuid(port.interfaceUuid), {
      ...{ type, ...others, ofport_request: undefined },
      ...{ ingress_policing_kpkts_rate: 0, ingress_policing_kpkts_burst: 0 },
    }),
  ];
}

/** Puts right what `portFaults` finds, all ports in one transaction, and waits until the switch has acted. */
export async function repairPorts(
  database: SwitchDatabase,
  ports: Iterable<PortRow>,
  options: { readonly signal: AbortSignal },
): Promise<void> {
  const operations = [...ports].flatMap(portRepairs);
  if (operations.length === 0) return;
  await configure(database, operations, {
    ...{ ...options, timeoutMs: CONFIGURE_TIMEOUT_MS },
    deed: "give ports of the integration bridge their settings back",
  });
}
