import { cniFault } from "../cni/errors.ts";
import type { CniHandler } from "../cni/handler.ts";
import { add } from "./add.ts";
import type { AttachingNode } from "./attaching-node.ts";
import { check } from "./check.ts";
import { collect } from "./collect.ts";
import { detach } from "./detach.ts";

/** How a pod is attached, given the node's node. */
export function createCniHandler(node: AttachingNode): CniHandler {
  return {
    add: (request, signal) => add(node, request, signal),
    del: (request, signal, note) => detach(node, request, { netnsPath: request.netns, signal, note }),
    check: (request, signal) => check(node, request, signal),
    gc: (request, signal) => collect(node, request, signal),
    status: async () => {
      const failure = node.readiness.whyNotReady();
      if (failure !== undefined) throw cniFault("not-available", failure);
    },
  };
}
