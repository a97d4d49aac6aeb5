import { openNetns } from "../../drivers/netlink/netns.ts";
import { NetError } from "../../state/errors.ts";
import type { AddRequest } from "../cni/request.ts";
import type { CniResult } from "../cni/result.ts";
import { attachAll } from "./attach-all.ts";
import type { AttachingNode } from "./attaching-node.ts";
import { refuseUnsupported } from "./lease-request.ts";
import { resultOf } from "./result.ts";

/** Every interface that the call wants, or none of them. */
export async function add(node: AttachingNode, request: AddRequest, signal: AbortSignal): Promise<CniResult> {
  const failure = node.readiness.whyNoAdd();
  if (failure !== undefined) throw new NetError("UNAVAILABLE", failure);
  refuseUnsupported(request);
  using netns = openNetns(request.netns);
  const made = await attachAll(node, { call: request, netns, wishes: wishesOf(request) }, signal);
  return resultOf(request, made);
}

/** What a call wants, interface by interface; one pod has one network yet. */
function wishesOf(request: AddRequest): readonly AddRequest[] {
  return [request];
}
