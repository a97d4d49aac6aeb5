import type { PodLink } from "../../drivers/pod-interface.ts";
import { contains, parseAddress, parseSubnet } from "../../state/address.ts";
import { cniFault } from "../cni/errors.ts";
import type { CheckRequest } from "../cni/request.ts";
import type { CniRoute } from "../cni/result.ts";
import { type AttachingNode, networkDriverOf } from "./attaching-node.ts";
import { attachmentsFor, attachmentsOf } from "./detach.ts";

/** Every interface that the call has made: its flows, the node's kernel, and the interface itself. */
export async function check(node: AttachingNode, request: CheckRequest, signal: AbortSignal): Promise<void> {
  const [first] = attachmentsFor(node, request);
  if (first === undefined) throw cniFault("container-unknown", `Container ${request.containerId} is not attached here`);
  for (const attachment of new Set([first, ...attachmentsOf(node, request)])) {
    await node.flows.check(attachment, signal);
    await node.stack.closed(signal);
    const wanted = linkFromResult(request, attachment.ifName);
    await networkDriverOf(node, attachment).check(attachment.portName, request.netns, wanted, signal);
  }
}

/**
 * What ADD said it made: the interface of that name in this namespace, its addresses and routes. A result does not say which interface a
 * route is of: where the pod has several it is the one whose subnet its gateway is in.
 */
function linkFromResult(request: CheckRequest, ifName: string): PodLink {
  const { interfaces, ips, routes } = request.prevResult;
  const index = interfaces.findIndex((each) => each.sandbox !== undefined && each.name === ifName);
  const found = interfaces[index];
  if (found === undefined) throw cniFault("invalid-config", `prevResult names no interface "${ifName}" in the pod`);
  const mine = ips.filter((ip) => ip.interfaceIndex === index || ip.interfaceIndex === undefined);
  const addresses = mine.map((ip) => ip.address);
  const isOnly = interfaces.every((each) => each === found || each.sandbox === undefined);
  const own = isOnly ? routes : routes.filter((route) => addresses.some((address) => leadsThrough(route, address)));
  return {
    ...{ ifName, mac: found.mac ?? "", mtuBytes: found.mtuBytes ?? 0, addresses },
    routes: own.map(({ destination, gateway }) => ({ destination, gateway })),
  };
}

/** Is the route's gateway in the subnet of this address, which has its prefix length? */
function leadsThrough({ gateway }: CniRoute, address: string): boolean {
  const family = address.includes(":") ? 6 : 4;
  const subnet = parseSubnet(family, address);
  const through = parseAddress(family, gateway ?? "");
  return subnet !== undefined && through !== undefined && contains(subnet, through);
}
