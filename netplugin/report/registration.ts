import { release as kernelRelease } from "node:os";
import type { NetworkDriver } from "../../drivers/driver.ts";
import type { DriverReport, DriverReports, NodeCapabilities, NodeRegistration } from "../../state/kinds/node.ts";
import type { NodeName } from "../../state/names.ts";
import { VERSION } from "../../state/version.ts";
import { routerMacOf } from "../machine/machine-view.ts";

const DEFAULT_UNDERLAY_MTU_BYTES = 1_500;

/** What a node knows of itself. */
export interface KnownOfNode {
  readonly nodeName: NodeName;
  readonly bootId: string;
  /** Where its tunnels end; undefined while that is not known, so that what netmaster knows of it stays. */
  readonly vtepIp: string | undefined;
  readonly uplinks: Iterable<{ readonly alias: string; readonly nic: string; readonly mtuBytes: number }>;
  /** What was found out by probing kernel and switch. */
  readonly probed: Omit<NodeCapabilities, "datapathType" | "ovsVersion" | "kernelRelease">;
  /** Undefined: no switch has been seen since netplugin started. */
  readonly seenSwitch: Required<Pick<NodeCapabilities, "datapathType" | "ovsVersion">> | undefined;
  /** What pods can be attached by here. */
  readonly drivers: Iterable<ReportedDriver>;
}

/** What it says to netmaster. */
export function registrationOf(known: KnownOfNode): NodeRegistration {
  const { nodeName, bootId, vtepIp, probed, seenSwitch } = known;
  const uplinks = [...known.uplinks];
  const mtus = uplinks.map(({ mtuBytes }) => mtuBytes);
  return {
    name: nodeName,
    ...(vtepIp === undefined ? {} : { vtepIp }),
    underlayMtuBytes: mtus.length === 0 ? DEFAULT_UNDERLAY_MTU_BYTES : Math.min(...mtus),
    physicalNetworks: Object.fromEntries(uplinks.map(({ alias, nic }) => [alias, nic])),
    routerMac: routerMacOf(nodeName),
    bootId,
    version: VERSION,
    capabilities: { ...probed, ...seenSwitch, kernelRelease: kernelRelease() },
    drivers: driversOf(known),
  };
}

/** A driver as far as it is told. */
export type ReportedDriver = Pick<NetworkDriver, "name" | "capabilities" | "fault">;

function driversOf({ drivers }: KnownOfNode): DriverReports {
  return Object.fromEntries([...drivers].map((driver) => [driver.name, reportOf(driver)]));
}

function reportOf(driver: ReportedDriver): DriverReport {
  const { encaps, enforcesPolicies, setsMac, freeSlots } = driver.capabilities();
  const fault = driver.fault();
  return {
    ...{ encaps: [...encaps], enforcesPolicies, setsMac },
    ...(freeSlots === undefined ? {} : { freeSlots }),
    ...(fault === undefined ? {} : { fault: gistOf(fault) }),
  };
}

/** Without the details, which may change with each attempt: every change of a registration is written to the store and reaches all peers. */
function gistOf(fault: string): string {
  return fault.split(": ", 1)[0] ?? fault;
}
