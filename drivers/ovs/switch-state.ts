import type { SwitchConnection } from "./openflow/connection.ts";
import type { FragmentHandling } from "./openflow/switch-config.ts";

type Told = Pick<SwitchConnection, "portDesc" | "openPorts" | "fragmentHandling" | "setFragmentHandling">;

export interface StateOptions {
  readonly bridge: string;
  /** Ports of that bridge that are ours. */
  readonly ports: { has(name: string): boolean };
  /** How the bridge may show fragments to flows; the first is what it is set to otherwise. */
  readonly fragments: readonly [FragmentHandling, ...FragmentHandling[]];
  readonly signal: AbortSignal;
}

/** Puts back what any controller may tell a bridge and no database shows: closed ports, the handling of fragments. What was found. */
export async function repairSwitchState(
  connection: Told,
  { bridge, ports, fragments, signal }: StateOptions,
): Promise<readonly string[]> {
  const found: string[] = [];
  const handling = await connection.fragmentHandling({ signal });
  if (!fragments.includes(handling)) {
    found.push(`fragment handling ${handling} of bridge ${bridge}`);
    await connection.setFragmentHandling(fragments[0], { signal });
  }
  const all = await connection.portDesc(undefined, { signal });
  const closed = all.filter(({ name, closed }) => closed.length > 0 && ports.has(name));
  if (closed.length === 0) return found;
  await connection.openPorts(closed, { signal });
  return [...found, ...closed.map(({ name, closed }) => `${closed.join(", ")} of port ${name} of bridge ${bridge}`)];
}
