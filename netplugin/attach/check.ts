import { checkPod, type PodLink } from "../../drivers/pod-interface.ts";
import { cniFault } from "../cni/errors.ts";
import type { CheckRequest } from "../cni/request.ts";
import type { NodeRuntime } from "./attaching-node.ts";
import { attachmentsFor } from "./detach.ts";

export async function check(runtime: NodeRuntime, request: CheckRequest, signal: AbortSignal): Promise<void> {
  const [attachment] = attachmentsFor(runtime, request);
  if (attachment === undefined)
    throw cniFault("container-unknown", `Container ${request.containerId} is not attached here`);
  await runtime.flows.check(attachment, signal);
  await runtime.stack.closed(signal);
  const wanted = linkFromResult(request);
  await checkPod(request.netns, wanted, await runtime.lowerIfIndex(attachment.portName));
}

/** What ADD said it made: the interface of that name in this namespace, its addresses and routes. */
function linkFromResult(request: CheckRequest): PodLink {
  const { interfaces, ips, routes } = request.prevResult;
  const index = interfaces.findIndex((each) => each.sandbox !== undefined && each.name === request.ifName);
  const found = interfaces[index];
  if (found === undefined)
    throw cniFault("invalid-config", `prevResult names no interface "${request.ifName}" in the pod`);
  const mine = ips.filter((ip) => ip.interfaceIndex === index || ip.interfaceIndex === undefined);
  return {
    ifName: request.ifName,
    mac: found.mac ?? "",
    mtuBytes: found.mtuBytes ?? 0,
    addresses: mine.map((ip) => ip.address),
    routes: routes.map(({ destination, gateway }) => ({ destination, gateway })),
  };
}
