import { NetError } from "../../state/errors.ts";
import type { CniHandler } from "../cni/handler.ts";

/** Before the node's parts are up every call is told to come again; DEL and GC too, for nothing is known of the ports yet. */
export function startingHandler(current: () => CniHandler | undefined, whyNot: () => string | undefined): CniHandler {
  const ready = () => {
    const handler = current();
    if (handler !== undefined) return handler;
    throw new NetError(
      "UNAVAILABLE",
      whyNot() ?? "netplugin is starting on this node: its CNI calls are accepted in a moment",
    );
  };
  return {
    add: async (request, signal) => ready().add(request, signal),
    del: async (request, signal, note) => ready().del(request, signal, note),
    check: async (request, signal) => ready().check(request, signal),
    gc: async (request, signal) => ready().gc(request, signal),
    status: async (request, signal) => ready().status(request, signal),
  };
}
