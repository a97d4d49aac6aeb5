import { readFileSync } from "node:fs";
import { ROLE_MARK } from "../driver.ts";
import { type BridgeSpec, bridgeFaults, detectDatapathType, ensureBridge } from "./bridge.ts";
import { type BridgeRow, findBridge, type SwitchDatabase } from "./database.ts";
import type { FlowConnection } from "./flows.ts";
import { INTEGRATION_BRIDGE, TUNNEL_PORT, uplinkBridgeName } from "./names.ts";
import { allPortFaults, repairPorts } from "./port-settings.ts";
import type { DatabasePorts } from "./ports.ts";
import { OWNER_MARK } from "./types.ts";

/** Which start of the host the ports of the bridge belong to. */
const BOOT_KEY = "contiv-boot-id";
const BOOT_ID_FILE = "/proc/sys/kernel/random/boot_id";
/** The datapath that was chosen for this node's bridges. */
const DATAPATH_KEY = "contiv-datapath";
/** Options of the tunnel port that an admin may add: they change the outer header only. */
const FREE_TUNNEL_OPTIONS: ReadonlySet<string> = new Set(["tos", "ttl", "csum", "df_default"]);

export type DatapathType = "system" | "netdev";

/** The datapath asked for; with `auto` the one that the node's bridge was made with, as far as this kernel has it. */
export function chosenDatapath(
  wanted: "auto" | DatapathType,
  {
    bridge,
    detected = detectDatapathType(),
  }: { readonly bridge: BridgeRow | undefined; readonly detected?: DatapathType },
): DatapathType {
  if (wanted !== "auto") return wanted;
  if (detected === "netdev" || bridge === undefined) return detected;
  const known = bridge.external_ids.get(DATAPATH_KEY) ?? bridge.datapath_type;
  return known === "netdev" ? "netdev" : "system";
}

/** The integration bridge as it should be. */
export function integrationBridge(datapathType: DatapathType): BridgeSpec {
  const bootId = readFileSync(BOOT_ID_FILE, "utf8").trim();
  const externalIds = { [BOOT_KEY]: bootId, [DATAPATH_KEY]: datapathType };
  return { name: INTEGRATION_BRIDGE, datapathType, failMode: "secure", externalIds };
}

/** Was the bridge set up before the host was started last? */
export function isOfEarlierBoot(bridge: BridgeRow | undefined, spec: BridgeSpec): boolean {
  const lastBoot = bridge?.external_ids.get(BOOT_KEY);
  return lastBoot !== undefined && lastBoot !== spec.externalIds[BOOT_KEY];
}

export interface IntegrationParts {
  readonly database: SwitchDatabase;
  readonly ports: DatabasePorts;
  readonly spec: BridgeSpec;
  readonly vxlanUdpPort: number;
}

/** What of the integration bridge, its tunnel port and the ports in it is not as we made it, for the log. */
export function integrationFaults(parts: IntegrationParts): readonly string[] {
  const { database, spec } = parts;
  const present = findBridge(database, spec.name);
  if (present === undefined) return [`bridge ${spec.name} is gone`];
  return [
    ...bridgeFaults(present, spec),
    ...(hasTunnelPort(parts) ? [] : [`port ${TUNNEL_PORT} is gone or has other options`]),
    ...allPortFaults(parts.ports.read().values()),
  ];
}

/** Makes or repairs the integration bridge, its tunnel port and the settings of the ports in it. */
export async function ensureIntegration(
  parts: IntegrationParts,
  options: { readonly signal: AbortSignal },
): Promise<void> {
  await ensureBridge(parts.database, parts.spec, options);
  await ensureTunnelPort(parts);
  await repairPorts(parts.database, parts.ports.read().values(), options);
}

/** The tunnel port as the database shows it: marked as ours, of the right kind, plugged in. */
function hasTunnelPort({ ports, vxlanUdpPort }: IntegrationParts): boolean {
  const port = ports.named(TUNNEL_PORT);
  if (port?.ofport === undefined || port.type !== "vxlan") return false;
  const { remote_ip: remote, key, dst_port: udpPort, ...others } = port.options;
  const isMarked = port.externalIds[OWNER_MARK.key] === OWNER_MARK.value && port.externalIds[ROLE_MARK] === "tunnel";
  const isAlone = Object.keys(others).every((option) => FREE_TUNNEL_OPTIONS.has(option));
  return isMarked && isAlone && remote === "flow" && key === "flow" && udpPort === String(vxlanUdpPort);
}

async function ensureTunnelPort(parts: IntegrationParts): Promise<void> {
  if (hasTunnelPort(parts)) return;
  const spec = {
    kind: "vxlan",
    udpPort: parts.vxlanUdpPort,
    externalIds: { [ROLE_MARK]: "tunnel" },
  } as const;
  const failures = await parts.ports.apply({ put: new Map([[TUNNEL_PORT, spec]]), remove: new Set() });
  for (const failure of failures.values()) throw failure;
}

/** What somebody has set up on bridges of ours that an admin may want, and that copies pods' packets. */
export function foreignMirrors(database: SwitchDatabase, nics: readonly string[]): readonly string[] {
  const names = [INTEGRATION_BRIDGE, ...nics.map(uplinkBridgeName)];
  const mirrors = database.rows("Mirror");
  return names.flatMap((name) =>
    (findBridge(database, name)?.mirrors ?? []).map((id) => `mirror ${mirrors.get(id)?.name ?? id} of bridge ${name}`),
  );
}

interface FaultParts {
  readonly database: Pick<SwitchDatabase, "connected">;
  readonly flowConnection: Pick<FlowConnection, "connected" | "failure">;
  readonly faults: () => readonly string[];
  /** Why it forwards nothing although it can be told things. */
  readonly held: () => string | undefined;
}

/** Why the switch cannot be told anything, or does nothing of what it is told. */
export function switchFault({ database, flowConnection, faults, held }: FaultParts): string | undefined {
  if (!database.connected) return "Open vSwitch does not answer on this node; see that ovsdb-server runs";
  if (flowConnection.connected) return held();
  const found = faults();
  const reason = flowConnection.failure?.message ?? "the connection has not been made yet";
  const advice =
    found.length > 0
      ? `found and being repaired: ${found.join(", ")}`
      : "see that ovs-vswitchd runs, and what its log says of the bridge";
  return `Open vSwitch does not answer for bridge ${INTEGRATION_BRIDGE}: ${reason}; ${advice}`;
}
