import type { PodLink } from "../../drivers/pod-interface.ts";
import type { EndpointReply } from "../../state/node-api.ts";
import { cniFault } from "../cni/errors.ts";
import type { AddRequest, CheckRequest } from "../cni/request.ts";
import { type CniResult, NO_DNS } from "../cni/result.ts";

/** RFC 8200 §5. */
const IPV6_MTU_MIN_BYTES = 1_280;

export function podLink(request: AddRequest | CheckRequest, reply: EndpointReply): PodLink {
  return {
    ifName: request.ifName,
    mac: reply.endpoint.mac,
    mtuBytes: mtuOf(request, reply),
    addresses: [reply.ipv4.address, ...(reply.ipv6 === undefined ? [] : [reply.ipv6.address])],
    routes: reply.routes,
  };
}

/** The configuration may ask for a smaller MTU, never for one that the underlay does not carry. */
function mtuOf(request: AddRequest | CheckRequest, reply: EndpointReply): number {
  const asked = request.mtuBytes ?? 0;
  if (asked === 0) return reply.mtuBytes;
  if (asked < IPV6_MTU_MIN_BYTES && reply.ipv6 !== undefined) {
    const reason = `this network has IPv6, which needs ${IPV6_MTU_MIN_BYTES} bytes or more`;
    throw cniFault("invalid-config", `mtu ${asked} is too small: ${reason}; raise it or leave it out`);
  }
  if (asked <= reply.mtuBytes) return asked;
  throw cniFault("invalid-config", `mtu ${asked} is more than the ${reply.mtuBytes} bytes that this network carries`);
}

export function resultOf(request: AddRequest, reply: EndpointReply, hostName: string): CniResult {
  const link = podLink(request, reply);
  const mtuBytes = link.mtuBytes;
  const gateways = [reply.ipv4.gateway, reply.ipv6?.gateway];
  return {
    interfaces: [
      { name: hostName, mac: undefined, mtuBytes, sandbox: undefined },
      { name: link.ifName, mac: link.mac, mtuBytes, sandbox: request.netns },
    ],
    ips: link.addresses.map((address, index) => ({ address, gateway: gateways[index], interfaceIndex: 1 })),
    routes: reply.routes.map(({ destination, gateway }) => ({ destination, gateway })),
    dns: request.dns ?? NO_DNS,
  };
}
