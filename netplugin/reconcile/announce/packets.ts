import type { Action } from "../../../drivers/ovs/openflow/action.ts";
import type { PacketOut } from "../../../drivers/ovs/openflow/packet.ts";
import type { EndpointRecord } from "../../../state/kinds/endpoint.ts";
import type { NetworkRecord } from "../../../state/kinds/network.ts";
import { type FlowContext, isProxying, networkFault, uplinkOfport } from "../../desired/engine/context.ts";
import { canonicalIpv6, output, setField, tagVlan } from "../../desired/pipeline/actions.ts";
import { Flag, Register, Table } from "../../desired/pipeline/pipeline.ts";
import { networkOf } from "../../view/query.ts";
import { gratuitousArp, unsolicitedAdvertisement } from "./frame.ts";

/**
 * What tells the others where an endpoint of this node is now; empty when nobody needs to hear it.
 *
 * Flooding: the frames begin in the switch table as if the endpoint had sent them, so they go wherever its broadcasts go (the
 * network's other ports, uplink or tunnels; never back to the endpoint). Proxying: neighbours ask and are answered by flows, only
 * the underlay of a VLAN is told, for its switches learn where the MAC is. A VXLAN then needs nothing.
 */
export function announcementOf(context: FlowContext, endpoint: EndpointRecord): readonly PacketOut[] {
  const network = networkOf(context.view, endpoint.networkId);
  const ofport = context.machine.ports.get(endpoint.key);
  if (network === undefined || ofport === undefined || networkFault(context, network) !== undefined) return [];
  const actions = isProxying(context) ? toUnderlay(context, network) : throughSwitch(network);
  if (actions.length === 0) return [];
  return framesOf(endpoint).map((data) => ({ inPort: ofport, actions, data }));
}

function toUnderlay(context: FlowContext, network: NetworkRecord): readonly Action[] {
  const uplink = uplinkOfport(context, network);
  return uplink === undefined ? [] : [...tagVlan(network.tag), output(uplink)];
}

function throughSwitch({ networkId, tenantId }: NetworkRecord): readonly Action[] {
  return [
    setField(Register.networkId, networkId),
    setField(Register.tenantId, tenantId),
    setField(Register.flags, Flag.fromPod),
    { kind: "resubmit", table: Table.switch },
  ];
}

function framesOf({ mac, ipv4, ipv6 }: EndpointRecord): readonly Buffer[] {
  const arp = gratuitousArp(mac, ipv4);
  return ipv6 === undefined ? [arp] : [arp, unsolicitedAdvertisement(mac, canonicalIpv6(ipv6))];
}
