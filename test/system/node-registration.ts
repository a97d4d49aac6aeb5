import { routerMacOf } from "../../netplugin/machine/machine-view.ts";
import type { NodeRegistration } from "../../state/kinds/node.ts";
import { NodeName } from "../../state/names.ts";

/** What a node of the tests says of itself. */
export function registration(name: string, vtepIp: string): NodeRegistration {
  return {
    name: NodeName.parse(name),
    vtepIp,
    underlayMtuBytes: 1500,
    physicalNetworks: { default: "eth0" },
    routerMac: routerMacOf(name),
    bootId: `boot-${name}`,
    version: "0.1.0",
    capabilities: {
      datapathType: "netdev",
      ovsVersion: "3.1.0",
      kernelRelease: "6.1.0",
      ingressPolicing: true,
      tbf: true,
      ifbRedirect: false,
      meters: true,
      conntrack: true,
    },
  };
}
