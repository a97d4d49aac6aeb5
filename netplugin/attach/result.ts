import type { PodLink } from "../../drivers/pod-interface.ts";
import type { EndpointReply } from "../../state/node-api.ts";
import { cniFault } from "../cni/errors.ts";
import type { AddRequest, CheckRequest } from "../cni/request.ts";
import { type CniResult, NO_DNS } from "../cni/result.ts";
import type { Made } from "./made.ts";

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

/** What the runtime is told: of each interface its host's device and the one in the pod, its addresses and routes. */
export function resultOf(request: AddRequest, made: readonly Made[]): CniResult {
  return {
    interfaces: made.flatMap(({ wish, reply, hostDevice }) => {
      const { ifName, mac, mtuBytes } = podLink(wish, reply);
      return [
        { name: hostDevice, mac: undefined, mtuBytes, sandbox: undefined },
        { name: ifName, mac, mtuBytes, sandbox: wish.netns },
      ];
    }),
    ips: made.flatMap(({ reply: { ipv4, ipv6 } }, index) =>
      [ipv4, ...(ipv6 === undefined ? [] : [ipv6])].map(({ address, gateway }) => ({
        ...{ address, gateway },
        interfaceIndex: 2 * index + 1,
      })),
    ),
    routes: made.flatMap(({ reply }) => reply.routes.map(({ destination, gateway }) => ({ destination, gateway }))),
    dns: request.dns ?? NO_DNS,
  };
}
