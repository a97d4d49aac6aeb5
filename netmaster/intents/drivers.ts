import { type DriverName, driverOf, namedDriver } from "../../state/driver-name.ts";
import { NetError } from "../../state/errors.ts";
import type { Network, NetworkRecord } from "../../state/kinds/network.ts";
import type { NodeRegistration } from "../../state/kinds/node.ts";
import type { ClusterView } from "../view/types.ts";

/** The drivers that this release has; the others have their names only, so that no object is misread by the releases that bring them. */
const USABLE: readonly DriverName[] = ["ovs"];

/** The network as it is stored; one whose driver this release does not have is refused: its pods would be attached by another. */
export function withUsableDriver(config: Network): Network {
  const { driver: _, ...rest } = config;
  const driver = driverOf(config);
  if (USABLE.includes(driver)) return { ...rest, ...namedDriver(driver) };
  const message = `driver "${driver}" cannot be used: this release attaches pods by ${USABLE.join(", ")} only; leave driver out, or upgrade netmaster and every netplugin to a release that has it`;
  throw new NetError("UNSUPPORTED", message, { reason: "unsupported", field: "driver" });
}

/**
 * Refuses a node that does not have the network's driver. A fault of the driver counts for nothing here: it is as old as the node's last
 * report, and the node itself refuses what it cannot do now.
 */
export function requireDriver(view: ClusterView, nodeName: string, { key, config }: NetworkRecord): void {
  const node = view.records("node").get(nodeName);
  const driver = driverOf(config);
  if (node === undefined || offered(node.registration).includes(driver)) return;
  const has = offered(node.registration).join(", ") || "none";
  const message = `Node ${nodeName} cannot attach pods to network ${key}: it has no driver "${driver}" (it has: ${has}); set the driver up there and restart its netplugin, or run the pod on a node that has it`;
  throw new NetError("UNSUPPORTED", message, { reason: "driver-absent" });
}

/** Agents of releases that do not tell their drivers have Open vSwitch. */
function offered({ drivers }: NodeRegistration): readonly string[] {
  return drivers === undefined ? ["ovs"] : Object.keys(drivers);
}
