import { release as kernelRelease } from "node:os";
import type { DriverReport, DriverReports, NodeCapabilities, NodeRegistration } from "../../state/kinds/node.ts";
import type { NodeName } from "../../state/names.ts";
import { VERSION } from "../../state/version.ts";
import { routerMacOf } from "../machine/machine-view.ts";

const DEFAULT_UNDERLAY_MTU_BYTES = 1_500;

/** What Open vSwitch can do for a pod, once it is there. */
const OVS: DriverReport = { encaps: ["vxlan", "vlan"], enforcesPolicies: true, setsMac: true };

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
  /** Why the switch can do nothing now, in words that stay the same while the fault is the same: each change is written to the store. */
  readonly switchFault: string | undefined;
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

function driversOf({ switchFault }: KnownOfNode): DriverReports {
  return { ovs: switchFault === undefined ? OVS : { ...OVS, fault: switchFault } };
}
