import type { Action } from "../../../drivers/ovs/openflow/action.ts";
import type { Match } from "../../../drivers/ovs/openflow/match.ts";
import type { NetworkRecord } from "../../../state/kinds/network.ts";
import { answersDiscovery, type FlowContext, type FlowDraft, isProxying, isRouting } from "../engine/context.ts";
import { canonicalIpv6, Icmpv6, moveField, moveMac, output, setField } from "../pipeline/actions.ts";
import { Flag, GATEWAY_MAC, hasFlags, Priority, Register, Table } from "../pipeline/pipeline.ts";
import { AdvertisementFlags, arpAnswer, knownSourceFlows, ndAnswer } from "./neighbour.ts";

const ICMP_ECHO = { request: 8, reply: 0 } as const;
const ECHO_TTL = 64;
const IPV4_BIT_COUNT = 32;
const IPV6_BIT_COUNT = 128;
const ROUTER_ANSWER = AdvertisementFlags.router + AdvertisementFlags.solicited + AdvertisementFlags.override;

/**
 * A live network's gateway. With routing it is every node's switch: pods of the node get its address and can ping it, nobody else
 * hears of it. Without, it is a router on the underlay: its requests are let in (VLAN), and requests for it flood like any unknown.
 */
export function gatewayFlows(context: FlowContext, network: NetworkRecord): FlowDraft[] {
  const ipv4 = network.config.gateway;
  const ipv6 = canonicalIpv6(network.config.ipv6Gateway);
  if (isRouting(context)) {
    return [
      ...(ipv4 === "" ? [] : routerIpv4(network, ipv4)),
      ...(ipv6 === "" ? [] : routerIpv6(context, network, ipv6)),
    ];
  }
  if (!isProxying(context) || network.config.encap === "vxlan") return [];
  return knownSourceFlows(network.networkId, ipv4 === "" ? [] : [ipv4], ipv6 === "" ? [] : [ipv6]);
}

function routerIpv4(network: NetworkRecord, gateway: string): FlowDraft[] {
  const echo = echoFlow(network, { icmpType: ICMP_ECHO.request, icmpCode: 0, ipv4Dst: gateway }, [
    moveField("ipv4Src", "ipv4Dst", IPV4_BIT_COUNT),
    setField("ipv4Src", gateway),
    setField("icmpType", ICMP_ECHO.reply),
  ]);
  return [arpAnswer(routerAnswer(network), gateway), echo];
}

function routerIpv6(context: FlowContext, network: NetworkRecord, gateway: string): FlowDraft[] {
  const echo = echoFlow(network, { icmpv6Type: Icmpv6.echoRequest, icmpv6Code: 0, ipv6Dst: gateway }, [
    moveField("ipv6Src", "ipv6Dst", IPV6_BIT_COUNT),
    setField("ipv6Src", gateway),
    setField("icmpv6Type", Icmpv6.echoReply),
  ]);
  return answersDiscovery(context) ? [ndAnswer(routerAnswer(network), gateway, ROUTER_ANSWER), echo] : [echo];
}

function routerAnswer({ networkId }: NetworkRecord) {
  return { networkId, mac: GATEWAY_MAC, flags: hasFlags(Flag.fromPod) };
}

/** Any pod of the tenant may ping any of its gateways. */
function echoFlow({ tenantId }: NetworkRecord, request: Match, actions: readonly Action[]): FlowDraft {
  return {
    table: Table.route,
    priority: Priority.route.gatewayEcho,
    match: { [Register.tenantId]: tenantId, [Register.flags]: hasFlags(Flag.fromPod), ethDst: GATEWAY_MAC, ...request },
    actions: [
      moveMac("ethSrc", "ethDst"),
      setField("ethSrc", GATEWAY_MAC),
      ...actions,
      setField("ipTtl", ECHO_TTL),
      output("in_port"),
    ],
  };
}
