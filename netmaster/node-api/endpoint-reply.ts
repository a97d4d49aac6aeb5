import { formatAddress, type Subnet } from "../../state/address.ts";
import { NetError } from "../../state/errors.ts";
import type { EndpointRecord } from "../../state/kinds/endpoint.ts";
import type { NetworkRecord } from "../../state/kinds/network.ts";
import type { NodeRegistration } from "../../state/kinds/node.ts";
import { podMtuBytes } from "../../state/mtu.ts";
import { networkRanges } from "../../state/network-ranges.ts";
import type { EndpointReply } from "../../state/node-api.ts";
import type { Kind } from "../../state/records.ts";
import { groupKeyOf, networkKeyOf } from "../view/indexes.ts";
import type { ClusterView } from "../view/types.ts";
import { putMessage } from "./watch-lines.ts";

type Route = EndpointReply["routes"][number];

/** What a node needs to connect the pod of an endpoint, from a view that shows it. */
export function endpointReply(view: ClusterView, endpoint: EndpointRecord, node: NodeRegistration): EndpointReply {
  const network = view.records("network").get(networkKeyOf(endpoint));
  if (network === undefined) {
    throw new NetError("NOT_FOUND", `Network ${networkKeyOf(endpoint)} of endpoint ${endpoint.key} is gone`);
  }
  const { ipv4, ipv6 } = networkRanges(network.config);
  const { gateway, ipv6Gateway } = network.config;
  const reply: EndpointReply = {
    endpoint,
    ipv4: addressing(endpoint.ipv4, ipv4.subnet.prefixLength, gateway),
    routes: routesOf(network, ipv4.subnet, endpoint.ipv6 === undefined ? undefined : ipv6?.subnet),
    mtuBytes: mtuOf(network, node),
    revision: String(view.revision),
    objects: objectsFor(view, endpoint, network),
  };
  if (endpoint.ipv6 === undefined || ipv6 === undefined) return reply;
  return { ...reply, ipv6: addressing(endpoint.ipv6, ipv6.subnet.prefixLength, ipv6Gateway) };
}

/** Refuses what could not be answered, before anything is leased. */
export function checkMtu(view: ClusterView, networkKey: string, nodeName: string): void {
  const network = view.records("network").get(networkKey);
  const node = view.records("node").get(nodeName);
  if (network !== undefined && node !== undefined) mtuOf(network, node.registration);
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

function mtuOf({ config }: NetworkRecord, { underlayMtuBytes, vtepIp }: NodeRegistration): number {
  return podMtuBytes({ encap: config.encap, underlayMtuBytes, vtepIp, configuredMtuBytes: config.mtuBytes });
}

/** The objects that describe the endpoint, as the watch will deliver them. */
function objectsFor(view: ClusterView, endpoint: EndpointRecord, network: NetworkRecord): unknown[] {
  const groupKey = groupKeyOf(endpoint);
  const profileKey = groupKey === undefined ? undefined : netprofileKeyOf(view, groupKey);
  const wanted: readonly (readonly [Kind, string])[] = [
    ["global", "global"],
    ["tenant", endpoint.tenantName],
    ["network", network.key],
    ...(groupKey === undefined ? [] : ([["endpointGroup", groupKey]] as const)),
    ...(profileKey === undefined ? [] : ([["netprofile", profileKey]] as const)),
    ["endpoint", endpoint.key],
  ];
  return wanted.flatMap(([kind, key]) => {
    const record = view.records(kind).get(key);
    return record === undefined ? [] : [putMessage(view, kind, key, record)];
  });
}

/** The group's netprofile: its limits must hold from the pod's first packet on. */
function netprofileKeyOf(view: ClusterView, groupKey: string): string | undefined {
  const { tenantName = "", netProfile = "" } = view.records("endpointGroup").get(groupKey)?.config ?? {};
  return netProfile === "" ? undefined : `${tenantName}:${netProfile}`;
}
