import { addressOf, formatAddress } from "../../state/address.ts";
import { Mac } from "../../state/ids.ts";
import type { NodeRegistration } from "../../state/kinds/node.ts";
import { specialUseOf } from "../../state/special-addresses.ts";
import type { ClusterView } from "../view/types.ts";
import { conflict, invalid } from "./errors.ts";

/** Refuses addresses that no node can have, and those of other nodes. */
export function checkRegistration(view: ClusterView, registration: NodeRegistration): void {
  if (registration.vtepIp !== undefined) checkTunnelAddress(registration.vtepIp);
  checkRouterMac(registration.routerMac);
  for (const [otherKey, { registration: other }] of view.records("node").entries()) {
    if (otherKey !== registration.name) refuseSame(registration, other, otherKey);
  }
}

function checkTunnelAddress(vtepIp: string): void {
  const family = vtepIp.includes(":") ? 6 : 4;
  const address = addressOf(family, vtepIp);
  const problem = specialUseOf(family, { first: address, last: address });
  if (problem === undefined) return;
  const hint = "give the node's uplink an address that other nodes can reach";
  throw invalid("vtepIp", `${vtepIp} cannot be a tunnel address: it ${problem}; ${hint}`);
}

const ZERO_MAC = "00:00:00:00:00:00";
/** Group bit of the first octet (IEEE 802 clause 8.2): multicast and broadcast. */
const GROUP_BIT = 1;

function checkRouterMac(routerMac: string): void {
  if (!Mac.safeParse(routerMac).success) {
    throw invalid("routerMac", `must be a MAC address like 02:03:0a:0b:0c:0d, not "${routerMac.slice(0, 40)}"`);
  }
  const isGroup = (Number.parseInt(routerMac.slice(0, 2), 16) & GROUP_BIT) !== 0;
  if (isGroup) throw invalid("routerMac", `${routerMac} is a multicast address; a node needs one of its own`);
  if (routerMac === ZERO_MAC) throw invalid("routerMac", `${routerMac} is no node's address`);
}

function refuseSame(ours: NodeRegistration, other: NodeRegistration, otherKey: string): void {
  if (ours.vtepIp !== undefined && canonical(ours.vtepIp) === canonical(other.vtepIp)) {
    const message = `vtepIp: ${ours.vtepIp} is the tunnel address of node ${otherKey}; give this node another one, or delete ${otherKey}`;
    throw conflict("vtep-taken", message, "vtepIp");
  }
  if (ours.routerMac === other.routerMac) {
    const message = `routerMac: ${ours.routerMac} is that of node ${otherKey}; it is made from the node's name, so give this node another name, or delete ${otherKey}`;
    throw conflict("router-mac-taken", message, "routerMac");
  }
}

/** One address has many spellings in IPv6. */
function canonical(address: string | undefined): string | undefined {
  return address?.includes(":") ? formatAddress(6, addressOf(6, address)) : address;
}
