import { formatAddress, type Subnet } from "./address.ts";
import type { EndpointRecord } from "./kinds/endpoint.ts";
import type { NetworkRecord } from "./kinds/network.ts";
import type { NodeRegistration } from "./kinds/node.ts";
import { podMtuBytes } from "./mtu.ts";
import { networkRanges } from "./network-ranges.ts";
import type { EndpointReply } from "./node-api.ts";

/** What an endpoint's interface is given, as far as it follows from the store. */
export type EndpointAddressing = Pick<EndpointReply, "ipv4" | "ipv6" | "routes">;

type Route = EndpointReply["routes"][number];

/** Addresses with prefix lengths and gateways, and routes, of an endpoint in its network. */
export function endpointAddressing(endpoint: EndpointRecord, network: NetworkRecord): EndpointAddressing {
  const { ipv4, ipv6 } = networkRanges(network.config);
  const { gateway, ipv6Gateway } = network.config;
  const addresses = {
    ipv4: addressing(endpoint.ipv4, ipv4.subnet.prefixLength, gateway),
    routes: routesOf(network, ipv4.subnet, endpoint.ipv6 === undefined ? undefined : ipv6?.subnet),
  };
  if (endpoint.ipv6 === undefined || ipv6 === undefined) return addresses;
  return { ...addresses, ipv6: addressing(endpoint.ipv6, ipv6.subnet.prefixLength, ipv6Gateway) };
}

/** MTU of a pod's interface in that network on that node, in bytes. @throws NetError as podMtuBytes */
export function endpointMtuBytes({ config }: NetworkRecord, { underlayMtuBytes, vtepIp }: NodeRegistration): number {
  return podMtuBytes({ encap: config.encap, underlayMtuBytes, vtepIp, configuredMtuBytes: config.mtuBytes });
}

function addressing(address: string, prefixLength: number, gateway: string): EndpointReply["ipv4"] {
  const withLength = { address: `${address}/${prefixLength}` };
  return gateway === "" ? withLength : { ...withLength, gateway };
}

/** The subnet on the link; everything else by the gateway, when there is one. */
function routesOf(network: NetworkRecord, ipv4: Subnet, ipv6: Subnet | undefined): Route[] {
  const { gateway, ipv6Gateway } = network.config;
  const routes: Route[] = [onLink(ipv4)];
  if (gateway !== "") routes.push({ destination: "0.0.0.0/0", gateway });
  if (ipv6 === undefined) return routes;
  routes.push(onLink(ipv6));
  if (ipv6Gateway !== "") routes.push({ destination: "::/0", gateway: ipv6Gateway });
  return routes;
}

function onLink({ family, first, prefixLength }: Subnet): Route {
  return { destination: `${formatAddress(family, first)}/${prefixLength}` };
}
