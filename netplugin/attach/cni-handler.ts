import { cniFault } from "../cni/errors.ts";
import type { CniHandler } from "../cni/handler.ts";
import { add } from "./add.ts";
import type { NodeRuntime } from "./attaching-node.ts";
import { check } from "./check.ts";
import { collect } from "./collect.ts";
import { detach } from "./detach.ts";

/** How a pod is attached, given the node's runtime. */
export function createCniHandler(runtime: NodeRuntime): CniHandler {
  return {
    add: (request, signal) => add(runtime, request, signal),
    del: (request, signal) => detach(runtime, request, { netnsPath: request.netns, signal }),
    check: (request, signal) => check(runtime, request, signal),
    gc: (request, signal) => collect(runtime, request, signal),
    status: async () => {
      const failure = runtime.notReady() ?? runtime.netmasterAway();
      if (failure !== undefined) throw cniFault("not-available", failure);
    },
  };
}
